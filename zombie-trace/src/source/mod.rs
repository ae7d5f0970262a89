//! What comes in: raw records from the ring buffer, and what the rest of the system tells.

mod cgroup_paths;
mod clocks;
pub mod proc;
mod ring_buffer;

pub use cgroup_paths::CgroupPaths;
pub use clocks::{monotonic_now, wall_clock};
pub use ring_buffer::RecordSource;
