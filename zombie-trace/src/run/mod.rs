//! One run, from the kernel's records to the output.

pub(crate) mod accounts;
#[cfg(feature = "cli")]
mod attach;
mod census;
#[cfg(feature = "cli")]
pub(crate) mod command;
pub(crate) mod control;
#[cfg(feature = "cli")]
pub(crate) mod destination;
#[cfg(test)]
mod fakes;
#[cfg(feature = "cli")]
pub(crate) mod followed;
mod found;
pub(crate) mod host;
mod kernel_side;
#[cfg(feature = "cli")]
pub(crate) mod live_line;
#[cfg(feature = "cli")]
pub(crate) mod notice;
pub(crate) mod pipeline;
#[cfg(feature = "stacks")]
pub(crate) mod sampling;
pub(crate) mod session;
#[cfg(feature = "cli")]
pub(crate) mod signals;
pub(crate) mod start;
mod unended;
mod unlisted;
pub(crate) mod warning;

#[cfg(feature = "cli")]
pub(crate) use attach::attach;
