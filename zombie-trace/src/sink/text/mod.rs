//! Text for people: a row a zombie, or a line an interval, and a summary at the end.

mod columns;
mod comparison;
mod fit;
mod intervals;
mod look;
mod notes;
mod processes;
mod row;
mod summary;
mod table;
mod tables;
mod worst_containers;
mod worst_parents;

use std::io;

pub use comparison::comparison;
pub use intervals::Intervals;
pub use look::Look;
pub use processes::{Process, process_table};
pub use table::Table;
pub use tables::Tables;

use super::{Medium, Sink};
use crate::{
    aggregate::{Interval, Summary},
    model::{Alive, Loss, Running, Start, Zombie},
};

/// Writes text.
#[derive(Debug)]
pub struct Text<W> {
    out: W,
    look: Look,
    table: Option<Table>,
    intervals: Option<Intervals>,
    tables: Tables,
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
        }
    }

    /// With these tables in the summary.
    pub fn with_tables(self, tables: Tables) -> Self {
        Self { tables, ..self }
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
    fn start(&mut self, _start: &Start) -> io::Result<()> {
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
        if self.table.is_some() || self.intervals.is_some() {
            self.out.write_all(b"\n")?;
        }
        self.out
            .write_all(summary::render(summary, self.look, self.tables).as_bytes())
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
