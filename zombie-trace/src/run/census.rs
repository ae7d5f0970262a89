//! The zombies that exist at one moment: one look, which everything that is about them uses.

use jiff::Timestamp;
use zombie_trace_common::SnapshotEntry;

use crate::{lifecycle::TaskId, model::Alive};

/// All zombies in scope at one moment.
#[derive(Debug)]
pub struct Census<'a> {
    /// When that was.
    pub ts: Timestamp,
    /// The same on the monotonic clock, in ns.
    pub now: u64,
    /// Each of them, in the order in which the kernel lists them.
    pub zombies: Vec<Counted<'a>>,
}

/// A zombie in a census.
#[derive(Debug)]
pub struct Counted<'a> {
    /// What tells it from every other.
    pub id: TaskId,
    /// What the kernel says.
    pub entry: &'a SnapshotEntry,
    /// What becomes of that, without a cause.
    pub alive: Alive,
}
