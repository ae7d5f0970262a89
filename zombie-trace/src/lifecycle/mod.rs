//! What became of a process: kernel records turned into zombie lifetimes. Pure.

mod growth;
mod interpret;
mod lingering;
mod overdue;
mod reaping;
mod run_queue_clocks;
mod standing;
mod unended;
mod wall_clock;

pub use growth::{Growing, Growth, Shrunk, Trend, ZombieCount};
pub use interpret::Lifecycle;
pub(crate) use interpret::foreign;
pub use lingering::{Lingering, LingeringParent};
pub use overdue::{Overdue, TaskId};
pub use reaping::{Reap, Reaping};
pub use run_queue_clocks::RunQueueClocks;
pub use standing::{Pids, Standing};
pub use unended::Unended;
pub use wall_clock::WallClock;
