//! Which container a process ran in. Pure.

mod identity;
mod path;
mod query;

pub use identity::{Container, Runtime};
pub use query::{ContainerQuery, patterns};
