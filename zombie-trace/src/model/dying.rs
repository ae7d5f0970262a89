use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Comm;

/// A process that was killed or has begun to exit, and is no zombie after more than a second: the JSON
/// object `dying` but for its `type` and `ts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dying {
    /// When it was seen.
    #[serde(skip_serializing)]
    pub ts: Timestamp,
    /// The process, in the tracer's pid namespace.
    pub pid: u32,
    /// Its command name.
    pub comm: Comm,
    /// Its parent; `None` if the parent is outside the tracer's pid namespace.
    pub ppid: Option<u32>,
    /// The signal that killed it; `None` if it exits by itself, or if that is not known.
    pub signal: Option<u8>,
    /// For how long at least it has been dying, in ns; `None` if that is not known.
    pub since_ns: Option<u64>,
    /// The process that traces it, if there is one.
    #[serde(default)]
    pub tracer_pid: Option<u32>,
    /// Its threads that have not ended, those that can't end first; at most
    /// [`THREADS`](Self::THREADS).
    pub threads: Vec<DyingThread>,
}

impl Dying {
    /// More threads are left out.
    pub const THREADS: usize = 50;
}

/// A thread of a dying process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DyingThread {
    /// Its thread id.
    pub tid: u32,
    /// Its command name.
    pub comm: Comm,
    /// Its state, a letter of proc_pid_stat(5).
    pub state: char,
    /// The kernel function that it sleeps in; `None` if it runs, or if that is not known.
    pub wchan: Option<String>,
}
