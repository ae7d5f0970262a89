//! Everything that touches the kernel: offsets, privileges, loading and attaching.

mod attach;
mod backend;
mod btf;
mod capability;
mod config;
mod counters;
pub mod decode;
mod error;
mod examination;
mod facts;
mod fill;
mod iterate;
mod load;
mod mapping;
mod misses;
mod object;
mod offsets;
mod ring_buffer;
mod scope;
mod sealed;
mod slots;
#[cfg(feature = "stacks")]
mod stacks;
mod tracefs;
mod tracer;
mod trial;

pub use backend::Backend;
pub use capability::{Capabilities, Confinement, check_limits, iterating_needs_capability};
pub use config::{Config, DEFAULT_BUFFER, DEFAULT_MAX_ZOMBIES};
pub use error::KernelError;
pub use examination::{BackendCheck, BtfCheck, Examination};
pub use iterate::Adopted;
pub use ring_buffer::RecordSource;
pub use scope::KernelScope;
#[cfg(feature = "stacks")]
pub use stacks::StackPrograms;
pub use tracer::Tracer;
