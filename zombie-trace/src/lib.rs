//! How long each child process stayed a zombie, who reaped it and why: from the kernel's own events, for
//! Linux 5.10 and later.
//!
//! A [`Trace`] attaches eBPF programs and is a [`Stream`](futures_core::Stream) of [`Event`]s. A
//! [`Recording`] reads what the program `zombie-trace` has recorded. Both give the same types.
//!
//! # Tracing
//!
//! Tracing needs root, or the capabilities that [`TraceBuilder::start`] names. This waits for a command,
//! and tells which of its descendants nobody reaped:
//!
//! ```no_run
//! use std::process::Command;
//!
//! use zombie_trace::{Event, Scope, Trace};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let own_tree = Scope::new().tree(std::process::id());
//!     let mut trace = Trace::builder().scope(own_tree).start()?;
//!     Command::new("make").arg("-j8").status()?;
//!     trace.stop();
//!     for event in trace.blocking() {
//!         match event? {
//!             Event::Zombie(zombie) => println!("{:?} was one for {} ns", zombie.comm, zombie.zombie_ns),
//!             Event::Alive(alive) => println!("{:?} is still one", alive.comm),
//!             Event::Summary(summary) => println!("complete: {}", summary.complete),
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! In asynchronous code, poll the [`Trace`] itself; `examples/stream.rs` does. Whatever a reader does, a
//! run does not wait for it: what finds no room is counted as [`Lost`], and then the summary is not
//! `complete`.
//!
//! # Reading a recording
//!
//! ```
//! use zombie_trace::{Line, Recording};
//!
//! let run = concat!(
//!     r#"{"type":"start","ts":"2026-01-02T03:04:05Z","schema":1,"version":"0.1.0","#,
//!     r#""kernel":"6.12.0","backend":"fentry","tracer_pid":7}"#,
//!     "\n",
//!     r#"{"type":"loss","ts":"2026-01-02T03:04:06Z","ring_full":2,"map_full":0,"missed":0}"#,
//!     "\n",
//! );
//! let mut recording = Recording::from_reader("run", run.as_bytes())?;
//! let mut lost = 0;
//! for line in recording.by_ref() {
//!     if let Line::Loss(loss) = line? {
//!         lost += loss.lost.total();
//!     }
//! }
//! assert_eq!(lost, 2);
//! // It has no summary: the run was cut.
//! assert!(!recording.remarks().is_whole());
//! # Ok::<(), zombie_trace::RecordingError>(())
//! ```
//!
//! # Features
//!
//! The library needs no feature: depend on it with `default-features = false`. `cli` adds the program,
//! `report` its commands `report` and `record`, and `serve` its command `serve`.
//!
//! # What stays as it is
//!
//! Versions follow [semantic versioning](https://semver.org). Within a major version (before 1.0: a minor
//! one), code that compiles against this library goes on compiling, but for these:
//!
//! - Enums and structs that are `#[non_exhaustive]` get new variants and fields.
//! - What is hidden from this documentation is for the program and its tests. It can change at any time.
//! - The text of errors and warnings can change; their kinds and meanings do not.
//! - A minor version can ask for a newer Rust compiler, up to one that is half a year old.
//!
//! The format of recordings has a version of its own, [`SCHEMA`]: the library reads whatever older
//! versions have written in it. Nothing here writes to standard output or standard error; details for
//! developers go to the `log` crate.

#![expect(
    unreachable_pub,
    reason = "the modules are private: in them, `pub` means for the rest of the crate"
)]
#![cfg_attr(
    not(all(
        feature = "cli",
        feature = "report",
        feature = "serve",
        feature = "top"
    )),
    allow(
        dead_code,
        unused_imports,
        clippy::allow_attributes,
        reason = "only features that are off use it"
    )
)]

mod aggregate;
#[cfg(feature = "cli")]
mod args;
mod cause;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod commands;
#[cfg(feature = "cli")]
mod compare;
mod container;
#[cfg(feature = "cli")]
mod exit_code;
mod filter;
#[cfg(feature = "cli")]
mod gate;
mod kernel;
mod library;
mod lifecycle;
#[cfg(feature = "serve")]
mod metrics;
mod model;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod program;
mod recording;
mod run;
mod sink;
#[cfg(feature = "stacks")]
mod stacks;
#[cfg(feature = "cli")]
mod stderr;
mod system;
mod text;
mod value;

pub use jiff;

pub use self::{
    aggregate::{
        CauseSummary, CommSummary, ContainerSummary, GroupSummary, ParentSummary, PhaseTotals,
        Summary, ZombieTimes,
    },
    container::{Container, Runtime},
    kernel::Backend,
    library::{Error, ErrorKind, Event, Result, Scope, Stopper, Trace, TraceBuilder},
    model::{
        Alive, Cause, Comm, Counts, Doing, Dying, DyingThread, FilterLine, Flag, Frame, How,
        LanguageRuntime, Loss, Lost, Phase, Phases, SCHEMA, ScopeLine, Stack, StackTotals, Start,
        ThreadState, Unlisted, UnlistedParent, Zombie,
    },
    recording::{Cut, Line, Missing, RecordedInterval, Recording, RecordingError, Remarks},
    run::warning::{Warning, WarningKind},
};

/// What the tests of the program need. No part of the library.
#[cfg(all(feature = "cli", feature = "report", feature = "serve"))]
#[doc(hidden)]
pub mod internals {
    pub use crate::{
        aggregate::{Aggregate, By, Interval, RunFacts},
        args::BackendChoice,
        cli::{Cli, Task},
        commands::{
            doctor::{ProcCheck, write_text as write_doctor},
            serve::CollectorChoice,
        },
        compare::{Comparison, Profile, compare},
        filter::Filter,
        gate::Format,
        kernel::{
            BackendCheck, BtfCheck, Capabilities, Confinement, DEFAULT_MAX_ZOMBIES, Examination,
        },
        sink::{Intervals, Json, Look, Process, Sink, Table, Text, comparison, process_table},
        system::Cgroups,
        text::ColorWhen,
    };
}
