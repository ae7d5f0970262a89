use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Comm, Flag, flag};
use crate::{
    container::Container,
    model::{Cause, Diagnosis},
};

/// A zombie that still exists: the JSON object `alive` but for its `type` and `ts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alive {
    /// When it was seen to be a zombie still.
    #[serde(skip_serializing)]
    pub ts: Timestamp,
    /// The process, in the tracer's pid namespace.
    pub pid: u32,
    /// Its number in its own innermost pid namespace.
    pub ns_pid: u32,
    /// Its command name at exit.
    pub comm: Comm,
    /// Its real user id.
    pub uid: u32,
    /// The real parent when it became a zombie.
    pub ppid: Option<u32>,
    /// The real parent's command name.
    pub parent_comm: Option<Comm>,
    /// 0–255 if it exited.
    pub exit_code: Option<u8>,
    /// The signal that killed it.
    pub signal: Option<u8>,
    /// How long it has been a zombie, in ns.
    pub age_ns: u64,
    /// Bound on the error of `age_ns`, in ns.
    pub error_ns: u64,
    /// Why it is still there, as a code; `None` if it went away before it was looked at, or is
    /// not visible in our pid namespace.
    pub cause: Option<Cause>,
    /// The same in plain words, with what usually helps.
    pub cause_text: Option<String>,
    /// Path in the cgroup v2 hierarchy.
    pub cgroup: Option<Arc<str>>,
    /// Its container; `None` if it was in none, or its cgroup was gone before it could be looked up.
    pub container: Option<Container>,
    /// The id of its parent's container, by the path of the parent's cgroup.
    pub parent_container: Option<Arc<str>>,
    /// What is special about this record.
    #[serde(deserialize_with = "flag::known")]
    pub flags: Vec<Flag>,
}

impl Alive {
    /// With why it is still there.
    pub fn because(self, diagnosis: Option<&Diagnosis>) -> Self {
        Self {
            cause: diagnosis.map(|diagnosis| diagnosis.cause),
            cause_text: diagnosis.map(Diagnosis::text),
            ..self
        }
    }

    /// It was a zombie before the tracer attached.
    pub fn pre_existing(&self) -> bool {
        self.flags.contains(&Flag::PreExisting)
    }
}
