//! What became of a process: kernel records turned into zombie lifetimes. Pure.

mod alive;
mod comm;
mod interpret;
mod run_queue_clocks;
mod wall_clock;
mod zombie;

pub use alive::Alive;
pub use comm::Comm;
pub use interpret::Lifecycle;
pub use run_queue_clocks::RunQueueClocks;
pub use wall_clock::WallClock;
pub use zombie::{Flag, How, Zombie};
