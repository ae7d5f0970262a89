//! What the program can do, a module per command.

pub mod completions;
pub mod demo;
pub mod diff;
pub mod doctor;
mod gates;
pub mod inspect;
pub mod ps;
#[cfg(feature = "report")]
pub mod record;
#[cfg(feature = "report")]
pub mod report;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "top")]
pub mod top;
pub mod trace;
