//! One run, from the kernel's records to the output.

pub mod accounts;
mod attach;
mod census;
pub mod command;
pub(crate) mod destination;
mod found;
pub(crate) mod live_line;
pub mod notice;
pub mod pipeline;
pub(crate) mod session;
pub mod signals;
mod unlisted;

pub(crate) use attach::attach;
