//! What became of a process: kernel records turned into zombie lifetimes. Pure.

mod alive;
mod comm;
mod zombie;

pub use alive::Alive;
pub use comm::Comm;
pub use zombie::{Flag, How, Zombie};
