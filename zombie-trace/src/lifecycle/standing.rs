use jiff::Timestamp;

use super::TaskId;
use crate::model::{Alive, Lost};

/// How full the machine's table of pids is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pids {
    /// Pids in use: threads, zombies included.
    pub used: u64,
    /// kernel.pid_max.
    pub max: u64,
}

/// The living zombies, and what the kernel side has counted so far.
#[derive(Clone, Debug)]
pub struct Standing {
    /// When it was looked at.
    pub ts: Timestamp,
    /// The zombies that exist, pre-existing ones too, each with what distinguishes it from all others. Those
    /// old enough to be looked at have the cause that the last look has found.
    pub living: Vec<(TaskId, Alive)>,
    /// Processes that the kernel reaped at once.
    pub autoreaped: u64,
    /// What was lost.
    pub lost: Lost,
    /// Processes that began to end over a second ago and have not; `None` if that can't be read.
    pub dying: Option<u64>,
    /// `None` if it can't be read.
    pub pids: Option<Pids>,
}
