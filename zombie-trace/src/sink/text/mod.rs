//! Text for people: a row a zombie, or a line an interval, and a summary at the end.

mod columns;
mod comparison;
mod doing;
mod fit;
mod flow;
mod intervals;
mod lifetime;
mod lingering;
mod look;
mod notes;
mod parent;
mod processes;
mod ranking;
mod row;
mod summary;
mod table;
mod tables;
mod unended;
mod verdict;

use std::io;

use jiff::Timestamp;

pub use comparison::comparison;
pub(crate) use doing::coverage;
pub use intervals::Intervals;
pub use look::Look;
pub use processes::{Process, dying_table, process_table};
pub(crate) use summary::lost_statuses;
pub use table::Table;
pub use tables::Tables;
pub(crate) use verdict::{leaks, verdict};

use super::{Medium, Sink};
use crate::{
    aggregate::{Interval, Summary, WhatParentsDid},
    kernel::Backend,
    lifecycle::LingeringParent,
    model::{Alive, Doing, Dying, FilterLine, Loss, Running, Stack, Start, Zombie},
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
    /// A line per living zombie, instead of one per parent.
    each: bool,
    /// What a zombie time is exact to, in ns.
    error_ns: u64,
    /// Which zombies are listed.
    filter: Option<FilterLine>,
    /// Processes that did not come to their end, with when they were seen: where nothing is listed, the
    /// summary has those that are left.
    unended: Vec<(Timestamp, String)>,
    /// What samples of parents found.
    did: Option<WhatParentsDid>,
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
            each: false,
            error_ns: 0,
            filter: None,
            unended: Vec::new(),
            did: None,
        }
    }

    /// With these tables in the summary.
    pub fn with_tables(self, tables: Tables) -> Self {
        Self { tables, ..self }
    }

    /// With a line per living zombie if `each`, or else one per parent.
    pub fn with_each(self, each: bool) -> Self {
        Self { each, ..self }
    }

    /// What a zombie time is exact to, in ns, where no [`start`](Sink::start) comes that says so.
    pub fn with_error(self, error_ns: u64) -> Self {
        Self { error_ns, ..self }
    }

    /// What samples of parents found, where no [`doing`](Sink::doing) comes that says so.
    pub fn with_samples(self, did: WhatParentsDid) -> Self {
        Self {
            did: Some(did),
            ..self
        }
    }

    /// Writes intervals, too.
    pub fn with_intervals(self, intervals: Intervals) -> Self {
        Self {
            intervals: Some(intervals),
            ..self
        }
    }
}

impl<W: Medium> Text<W> {
    /// Writes about a process that does not come to its end, now or in the summary.
    fn unended(&mut self, ts: Timestamp, text: &str) -> io::Result<()> {
        match &self.table {
            Some(table) => {
                let text = unended::line(text, ts, table.zone(), self.look);
                self.out.write_all(text.as_bytes())
            }
            None => {
                // Only those of the last look count.
                self.unended.retain(|(seen, _)| *seen == ts);
                self.unended.push((ts, text.to_owned()));
                Ok(())
            }
        }
    }

    /// Follows the width of the terminal. If that changes the columns, there is a new header.
    fn resize(&mut self) -> io::Result<()> {
        let screen = self.out.screen();
        if screen.width.is_none() || screen.width == self.look.width {
            return Ok(());
        }
        self.look.width = screen.width;
        if let Some(table) = &mut self.table
            && table.resize(screen.width)
        {
            self.out.write_all(table.header().as_bytes())?;
        }
        if let Some(intervals) = &mut self.intervals
            && intervals.resize(screen.width, screen.height)
        {
            self.out.write_all(intervals.header().as_bytes())?;
        }
        Ok(())
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

    fn dying(&mut self, dying: &Dying) -> io::Result<()> {
        self.unended(dying.ts, &unended::dying(dying))
    }

    fn alive(&mut self, alive: &Alive) -> io::Result<()> {
        if !alive.is_reapable() {
            return self.unended(alive.ts, &unended::without_leader(alive));
        }
        match &self.table {
            Some(table) if self.each => self.out.write_all(table.alive(alive).as_bytes()),
            _ => Ok(()),
        }
    }

    fn wants_lingering(&self) -> bool {
        self.table.is_some() && !self.each
    }

    fn lingering(&mut self, parents: &[LingeringParent]) -> io::Result<()> {
        let zone = self.table.as_ref().and_then(Table::zone);
        for parent in parents {
            let text = lingering::lingering(parent, self.look, zone);
            self.out.write_all(text.as_bytes())?;
        }
        Ok(())
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

    fn doing(&mut self, stacks: &[Stack], doing: &[Doing]) -> io::Result<()> {
        self.did = Some(WhatParentsDid::of(stacks, doing));
        Ok(())
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        self.resize()?;
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
            .write_all(summary::render(summary, self.did.as_ref(), &manner).as_bytes())?;
        for (ts, text) in std::mem::take(&mut self.unended) {
            if ts == summary.ts {
                let text = unended::line(&text, ts, None, self.look);
                self.out.write_all(text.as_bytes())?;
            }
        }
        Ok(())
    }

    fn running(&mut self, running: &[Running]) -> io::Result<()> {
        self.out.write_all(summary::running(running).as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.resize()?;
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
