//! The binary interface between the eBPF programs and user space.
//!
//! Everything here crosses the boundary as raw bytes, so every struct is `repr(C)`, of fixed
//! width, without `bool` and without implicit padding; the layout is asserted at compile time.

#![no_std]

pub mod arch;
mod control;
mod counters;
mod descendant;
mod handler_runs;
mod offsets;
mod place;
mod record;
pub mod scope;
mod snapshot;
mod stack_sample;
mod state;

pub use control::{Control, stage};
pub use counters::Counters;
pub use descendant::{Descendant, RunningDescendant};
pub use handler_runs::{HANDLER_TIMES, HANDLERS_LEN, HandlerRuns};
pub use offsets::MISSING;
pub use place::{CGROUP_PATH_LEN, HOST_NAME_LEN, HostName, NewCgroup};
pub use record::{COMM_LEN, Record, flags, how};
pub use snapshot::{ClockSample, SnapshotEntry, TaskNow};
pub use stack_sample::{
    RED_ZONE, REGISTERS_LEN, STACK_LEN, STACK_PAGE, STACK_PAGES, StackSample, verdict,
};
pub use state::{ALIAS_LEVELS, Alias, MAX_SLOTS, TaskState};

#[cfg(feature = "user")]
mod pod {
    // SAFETY: repr(C), of plain integers, without padding (asserted beside each).
    unsafe impl aya::Pod for crate::Counters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::Control {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::Descendant {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::HandlerRuns {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::TaskState {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::scope::NamePattern {}
}
