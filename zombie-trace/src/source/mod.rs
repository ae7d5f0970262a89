//! What comes in: raw records from the ring buffer, and what the rest of the system tells.

mod cgroup_paths;
mod clocks;
mod host_names;
mod places;
pub mod proc;
mod ring_buffer;

pub use cgroup_paths::{CgroupPaths, KnownCgroup};
pub(crate) use clocks::thread_cpu_time;
pub use clocks::{monotonic_now, wall_clock};
pub use places::Places;
pub(crate) use places::of_path as place_of;
pub use ring_buffer::RecordSource;
