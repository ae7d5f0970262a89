//! The figures of a run, as they come in. Pure.

mod model;
mod parent;
mod process;
mod rolling;
mod settled;
mod time;
mod timeline;
mod times;

pub(crate) use model::Model;
pub(crate) use parent::{Explanation, Parent};
pub(crate) use process::{Lineage, ProcessText};
pub(crate) use rolling::{Rolling, Sums};
pub(crate) use time::nanos;
