//! Exact exit-to-reap latency of every process, from the kernel's own events.
//!
//! Data flows one way: `kernel` (hooks) → `source` (raw bytes) → `decode` → `lifecycle` →
//! `filter` → `aggregate` → `sink`. From `decode` on everything but the sinks is pure.

pub mod accounts;
pub mod aggregate;
pub mod cause;
pub mod cli;
pub mod command;
pub mod compare;
pub mod container;
mod census;
mod crowd;
pub mod deadline;
pub mod decode;
pub mod demo;
mod destination;
pub mod diff;
pub mod doctor;
pub mod exit_code;
pub mod filter;
pub mod gate;
pub mod inspect;
pub mod kernel;
pub mod lifecycle;
pub mod metrics;
pub mod notice;
pub mod pipeline;
pub mod privilege;
pub mod ps;
pub mod recording;
pub mod report;
pub mod run;
pub mod serve;
mod session;
pub mod signals;
pub mod sink;
pub mod source;
mod users;
