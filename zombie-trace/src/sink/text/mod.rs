//! Text for people: a row a zombie, or a line an interval, and a summary at the end.

mod columns;
mod comparison;
mod fit;
mod intervals;
mod lifetime;
mod look;
mod notes;
mod parent;
mod processes;
mod ranking;
mod row;
mod summary;
mod table;
mod tables;
mod verdict;

use std::io;

pub use comparison::comparison;
pub use intervals::Intervals;
pub use look::Look;
pub use processes::{Process, process_table};
pub use table::Table;
pub use tables::Tables;
pub(crate) use verdict::{leaks, verdict};

use super::{Medium, Sink};
use crate::{
    aggregate::{Interval, Summary},
    kernel::Backend,
    model::{Alive, FilterLine, Loss, Running, Start, Zombie},
};
use summary::Manner;

/// Writes text.
#[derive(Debug)]
pub struct Text<W> {
    out: W,
    look: Look,
    table: Option<Table>,
    intervals: Option<Intervals>,
    tables: Tables,
    /// What a zombie time is exact to, in ns.
    error_ns: u64,
    /// Which zombies are listed.
    filter: Option<FilterLine>,
}

impl<W: Medium> Text<W> {
    /// Writes to `out`; without a table, only the summary.
    pub fn new(out: W, look: Look, table: Option<Table>) -> Self {
        Self {
            out,
            look,
            table,
            intervals: None,
            tables: Tables::default(),
            error_ns: 0,
            filter: None,
        }
    }

    /// With these tables in the summary.
    pub fn with_tables(self, tables: Tables) -> Self {
        Self { tables, ..self }
    }

    /// What a zombie time is exact to, in ns, where no [`start`](Sink::start) comes that says so.
    pub fn with_error(self, error_ns: u64) -> Self {
        Self { error_ns, ..self }
    }

    /// Writes intervals, too.
    pub fn with_intervals(self, intervals: Intervals) -> Self {
        Self {
            intervals: Some(intervals),
            ..self
        }
    }
}

impl<W: Medium> Sink for Text<W> {
    fn start(&mut self, start: &Start) -> io::Result<()> {
        self.error_ns = error_of(&start.backend);
        self.filter.clone_from(&start.filter);
        if let Some(table) = &self.table {
            self.out.write_all(table.header().as_bytes())?;
        }
        match &self.intervals {
            Some(intervals) => self.out.write_all(intervals.header().as_bytes()),
            None => Ok(()),
        }
    }

    fn zombie(&mut self, zombie: &Zombie) -> io::Result<()> {
        match &self.table {
            Some(table) => self.out.write_all(table.zombie(zombie).as_bytes()),
            None => Ok(()),
        }
    }

    fn alive(&mut self, alive: &Alive) -> io::Result<()> {
        match &self.table {
            Some(table) => self.out.write_all(table.alive(alive).as_bytes()),
            None => Ok(()),
        }
    }

    /// Loss goes to stderr at once, and into the summary.
    fn loss(&mut self, _loss: &Loss) -> io::Result<()> {
        Ok(())
    }

    fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        match &mut self.intervals {
            Some(intervals) => self.out.write_all(intervals.interval(interval).as_bytes()),
            None => Ok(()),
        }
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let follows = self.table.is_some() || self.intervals.is_some();
        if follows {
            self.out.write_all(b"\n")?;
        }
        let manner = Manner {
            look: self.look,
            tables: self.tables,
            error_ns: self.error_ns,
            filter: self.filter.clone().filter(|_| self.table.is_some()),
            follows,
        };
        self.out
            .write_all(summary::render(summary, &manner).as_bytes())
    }

    fn running(&mut self, running: &[Running]) -> io::Result<()> {
        self.out.write_all(summary::running(running).as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn has_room(&mut self) -> bool {
        self.out.has_room()
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.end()
    }
}

/// What a zombie time of this backend is exact to, in ns; 0 if it is not known.
fn error_of(backend: &str) -> u64 {
    let mut all = Backend::ALL.into_iter();
    all.find(|one| one.name() == backend)
        .map_or(0, Backend::error_ns)
}
