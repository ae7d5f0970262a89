//! What a run reports: the records that sinks write and recordings give back.

mod alive;
mod cause;
mod comm;
mod counts;
mod dying;
#[cfg(test)]
pub(crate) mod fixtures;
mod flag;
mod language_runtime;
mod line;
mod phases;
mod place;
mod stack;
mod zombie;

pub use alive::Alive;
pub use cause::{Cause, Diagnosis, Why};
pub use comm::Comm;
pub use counts::{Counts, Lost};
pub use dying::{Dying, DyingThread};
pub use flag::Flag;
pub use language_runtime::LanguageRuntime;
pub use line::{FilterLine, Loss, Running, ScopeLine, Start, Unlisted, UnlistedParent};
pub use phases::{Phase, Phases, longest};
pub use place::Place;
pub use stack::{Doing, Frame, Stack, StackTotals, ThreadState};
pub use zombie::{How, Zombie};

/// Writes a time with nine digits, as in all lines.
pub(crate) fn nine_digits<S: serde::Serializer>(
    ts: &Option<jiff::Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match ts {
        Some(ts) => serializer.collect_str(&format_args!("{ts:.9}")),
        None => serializer.serialize_none(),
    }
}

/// The version of the lines' format. Fields may be added to it; none changes its meaning.
pub const SCHEMA: u32 = 1;
