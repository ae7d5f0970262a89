//! Everything that touches the kernel: offsets, privileges, loading and attaching.

mod attach;
mod backend;
mod btf;
mod capability;
mod clock;
mod counters;
mod error;
mod examination;
mod facts;
mod mapping;
mod misses;
mod object;
mod offsets;
mod release;
mod scope;
mod sealed;
mod slots;
mod tracefs;
mod tracer;

pub use backend::Backend;
pub(crate) use capability::in_initial_user_namespace;
pub use capability::{Capabilities, Confinement, check_limits};
pub use clock::sample_clocks;
pub use error::KernelError;
pub use examination::{BackendCheck, BtfCheck, Examination};
pub use release::Release;
pub use scope::{Cgroup, Cgroups, Scope, Subtree, cgroup2_mount};
pub use tracer::{Adopted, Config, Tracer};
