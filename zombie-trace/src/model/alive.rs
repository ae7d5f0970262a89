use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Comm, Flag, LanguageRuntime, Why, flag, language_runtime, nine_digits};
use crate::{
    container::Container,
    model::{Cause, Diagnosis},
};

/// A zombie that still exists: the JSON object `alive` but for its `type` and `ts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// Whether the program that its parent is now did not make it: the parent has called exec since,
    /// or has adopted it. `None` if that is not known.
    pub foreign: Option<bool>,
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
    /// What was found, in plain words.
    pub cause_text: Option<Arc<str>>,
    /// Where that cause is explained.
    #[serde(default)]
    pub why: Option<Why>,
    /// When the parent was looked at for it.
    #[serde(default, serialize_with = "nine_digits")]
    pub looked_at: Option<Timestamp>,
    /// What helps, in plain words.
    #[serde(default)]
    pub advice: Option<Arc<str>>,
    /// What the parent is written in, if that is known: `go`, `node`, `python`, `java`, `php`, `ruby`,
    /// `perl`, `shell`, `rust` or `c`.
    #[serde(default, deserialize_with = "language_runtime::known")]
    pub runtime: Option<LanguageRuntime>,
    /// How long the parent has been watched, in ns: since the run began, or as long as it has been
    /// there.
    #[serde(default)]
    pub watched_ns: Option<u64>,
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
            cause_text: diagnosis.map(|diagnosis| Arc::clone(&diagnosis.finding)),
            why: diagnosis.map(|diagnosis| Why(diagnosis.cause)),
            looked_at: diagnosis.and_then(|diagnosis| diagnosis.looked_at),
            advice: diagnosis.and_then(|diagnosis| diagnosis.advice.clone()),
            runtime: diagnosis.and_then(|diagnosis| diagnosis.runtime),
            ..self
        }
    }

    /// Its parent can reap it. It can't while a thread of it lives: that is no zombie by our measure, and in
    /// no count.
    pub fn is_reapable(&self) -> bool {
        self.cause != Some(Cause::LeaderWithThreads)
    }

    /// It was a zombie before the tracer attached.
    pub fn pre_existing(&self) -> bool {
        self.flags.contains(&Flag::PreExisting)
    }
}
