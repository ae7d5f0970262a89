use jiff::Timestamp;
use serde::Serialize;

use super::{Comm, Lost};

/// The begin of a run: the JSON object `start` but for its `type`, `ts` and `schema`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Start {
    /// When every hook was live.
    #[serde(skip)]
    pub ts: Timestamp,
    /// The program's version.
    pub version: &'static str,
    /// `uname -r`.
    pub kernel: String,
    /// The backend's name.
    pub backend: &'static str,
    /// The tracer's own pid.
    pub tracer_pid: u32,
    /// The traced command, if there is one.
    pub command: Option<Vec<String>>,
}

/// What was lost since the last such report: the JSON object `loss` but for its `type` and `ts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// When it was noticed.
    #[serde(skip)]
    pub ts: Timestamp,
    /// The counts.
    #[serde(flatten)]
    pub lost: Lost,
}

/// A process that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its pid.
    pub pid: u32,
    /// Its command name.
    pub comm: Comm,
}
