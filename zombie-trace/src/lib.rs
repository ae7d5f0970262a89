//! Exact exit-to-reap latency of every process, from the kernel's own events.
//!
//! Imports point downwards in this list; `tests/layers.rs` checks it. `kernel` and `system` talk to the
//! machine. The modules between `system` and `model` are pure: values in, values out.

pub mod aggregate;
pub mod args;
pub mod cause;
pub mod cli;
pub mod commands;
pub mod compare;
pub mod container;
pub mod exit_code;
pub mod filter;
pub mod gate;
pub mod kernel;
pub mod lifecycle;
pub mod metrics;
pub mod model;
pub mod recording;
pub mod run;
pub mod sink;
pub mod stderr;
pub mod system;
pub mod text;
pub mod value;
