//! What this machine says about itself: clocks, cgroups, /proc, users, our own privileges.

mod cgroup_paths;
mod cgroups;
mod clocks;
pub(crate) mod confinement;
mod cpu_clocks;
mod crowd;
pub mod deadline;
mod host_names;
mod machine;
pub(crate) mod mounts;
#[cfg(feature = "cli")]
mod new_file;
mod places;
pub mod privilege;
pub mod proc;
mod release;
pub(crate) mod scheduling;
mod sysctl;
#[cfg(feature = "cli")]
pub(crate) mod users;

pub use cgroup_paths::CgroupPaths;
pub use cgroups::{Cgroup, Cgroups, Subtree, cgroup2_mount};
pub(crate) use clocks::thread_cpu_time;
pub use clocks::{monotonic_now, wall_clock};
pub use cpu_clocks::sample_clocks;
pub use machine::{ForeignKernel, check_machine};
pub(crate) use machine::{Machine, OURS};
#[cfg(feature = "cli")]
pub use new_file::{Access, NewFile, Replacement, write_file};
pub use places::Places;
pub(crate) use places::of_path as place_of;
pub use release::Release;
pub(crate) use sysctl::{boot_id, cpus_online, host_name, pid_max};
