//! What the program can do, a module per command.

pub mod completions;
pub mod demo;
pub mod diff;
pub mod doctor;
mod gates;
pub mod inspect;
pub mod ps;
pub mod record;
pub mod report;
pub mod serve;
pub mod top;
pub mod trace;
