//! The figures of a run, as they come in. Pure.

mod model;
mod parent;
mod process;
mod rolling;
mod settled;
mod timeline;
mod times;

pub(crate) use model::{Model, nanos};
pub(crate) use parent::{Found, Parent};
pub(crate) use process::{Lineage, Process};
pub(crate) use rolling::{Rolling, Sums};
