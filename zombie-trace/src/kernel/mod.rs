//! Everything that touches the kernel: offsets, privileges, loading and attaching.

mod attach;
mod btf;
mod capability;
mod clock;
mod counters;
mod error;
mod offsets;
mod scope;
mod tracefs;
mod tracer;

pub use error::KernelError;
pub use scope::{Cgroup, Scope, cgroup2_mount};
pub(crate) use tracer::release;
pub use tracer::{Config, Tracer};
