//! Where results go. A sink knows nothing of where they come from.

#[cfg(feature = "cli")]
mod compressor;
#[cfg(feature = "cli")]
mod encoded;
#[cfg(feature = "cli")]
mod json;
#[cfg(feature = "serve")]
mod metrics;
#[cfg(feature = "cli")]
mod options;
#[cfg(feature = "cli")]
mod output;
#[cfg(feature = "cli")]
mod queue;
#[cfg(feature = "cli")]
mod text;
#[cfg(feature = "cli")]
mod watched;

use std::io;

#[cfg(feature = "cli")]
pub use self::{
    encoded::Encoded,
    json::Json,
    options::{Options, new},
    output::{Medium, Output, Screen},
    queue::{Progress, Queue},
    text::{Intervals, Look, Process, Table, Tables, Text, comparison, dying_table, process_table},
};
#[cfg(feature = "cli")]
pub(crate) use self::{
    json::to_json,
    text::{coverage, leaks, lost_statuses, verdict},
};
#[cfg(feature = "serve")]
pub use metrics::Metrics;
#[cfg(feature = "cli")]
pub(crate) use watched::Watched;

use crate::{
    aggregate::{Interval, ParentKey, Summary},
    lifecycle::{LingeringParent, Standing, TaskId},
    model::{Alive, Doing, Dying, Loss, Running, Stack, Start, Unlisted, Zombie},
};

/// Takes the results of a run, in order.
pub trait Sink {
    /// The run begins.
    fn start(&mut self, start: &Start) -> io::Result<()>;
    /// A process was reaped.
    fn zombie(&mut self, zombie: &Zombie) -> io::Result<()>;
    /// A zombie still exists.
    fn alive(&mut self, alive: &Alive) -> io::Result<()>;
    /// The same, with what distinguishes this process from all others in `Standing::living`.
    fn identified(&mut self, _: TaskId, zombie: &Zombie) -> io::Result<()> {
        self.zombie(zombie)
    }
    /// The command line of a parent was read. Its owner can set it to anything.
    fn named(&mut self, _parent: ParentKey, _cmdline: &str) {}
    /// Whether [`lingering`](Self::lingering) is of use.
    fn wants_lingering(&self) -> bool {
        false
    }
    /// Parents whose zombies linger, each when there is something new about it.
    fn lingering(&mut self, _parents: &[LingeringParent]) -> io::Result<()> {
        Ok(())
    }
    /// Whether [`unlisted`](Self::unlisted) is of use.
    fn wants_unlisted(&self) -> bool {
        false
    }
    /// Processes were reaped that a filter leaves out of the list.
    fn unlisted(&mut self, _: &Unlisted) -> io::Result<()> {
        Ok(())
    }
    /// Whether [`standing`](Self::standing) is of use.
    fn wants_standing(&self) -> bool {
        false
    }
    /// What is now; told every second or so.
    fn standing(&mut self, _: &Standing) -> io::Result<()> {
        Ok(())
    }
    /// Whether it can take another line. If not, nobody reads the output, or not fast enough.
    fn has_room(&mut self) -> bool {
        true
    }
    /// Whether [`dying`](Self::dying) is of use.
    fn wants_dying(&self) -> bool {
        true
    }
    /// A process was killed or has begun to exit, and does not come to its end.
    fn dying(&mut self, _: &Dying) -> io::Result<()> {
        Ok(())
    }
    /// Something was lost.
    fn loss(&mut self, loss: &Loss) -> io::Result<()>;
    /// An interval ends. A sink may have no use for it.
    fn interval(&mut self, _interval: &Interval) -> io::Result<()> {
        Ok(())
    }
    /// What parents did while zombies waited for them, the most zombie time first, and the stacks that these
    /// refer to. Once, right before the summary.
    fn doing(&mut self, _stacks: &[Stack], _doing: &[Doing]) -> io::Result<()> {
        Ok(())
    }
    /// The run ends.
    fn summary(&mut self, summary: &Summary) -> io::Result<()>;
    /// Descendants of the traced process that run on, after the summary.
    fn running(&mut self, _running: &[Running]) -> io::Result<()> {
        Ok(())
    }
    /// A batch is through: what was written should become visible.
    fn flush(&mut self) -> io::Result<()>;
    /// Nothing more comes.
    fn end(&mut self) -> io::Result<()> {
        self.flush()
    }
}
