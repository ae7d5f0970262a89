//! What became of a process: kernel records turned into zombie lifetimes. Pure.

mod alive;
mod comm;
mod flags;
mod growth;
mod interpret;
mod overdue;
mod phases;
mod place;
mod run_queue_clocks;
mod wall_clock;
mod zombie;

pub use alive::Alive;
pub use comm::Comm;
pub use growth::{Growing, Growth};
pub use interpret::Lifecycle;
pub use overdue::{Overdue, TaskId};
pub use phases::{Phase, Phases, longest};
pub use place::Place;
pub use run_queue_clocks::RunQueueClocks;
pub use wall_clock::WallClock;
pub use zombie::{Flag, How, Zombie};
