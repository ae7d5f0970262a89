//! The face of the library: a run in a thread of its own, whose events are a stream.

mod builder;
mod error;
mod event;
mod run;
mod scope;
mod stopper;
mod to_stream;
mod trace;

pub use self::{
    builder::TraceBuilder,
    error::{Error, ErrorKind, Result},
    event::Event,
    scope::Scope,
    stopper::Stopper,
    trace::Trace,
};
