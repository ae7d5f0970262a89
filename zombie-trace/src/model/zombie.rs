use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cause, Comm, Diagnosis, Flag, Phases, Why, flag, nine_digits};
use crate::container::Container;

/// One process that ended and is gone: the JSON object `zombie` but for its `type` and `ts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Zombie {
    /// When it was reaped.
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
    /// The real parent when it became a zombie; `None` if it is not known.
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
    /// Whether it left a core dump.
    pub core_dumped: bool,
    /// How long it was a zombie, in ns; 0 if it was autoreaped at once.
    pub zombie_ns: u64,
    /// Bound on the error of `zombie_ns`, in ns.
    pub error_ns: u64,
    /// From `sched_process_exit` to zombie, in ns.
    pub teardown_ns: Option<u64>,
    /// From start to `sched_process_exit`, in ns.
    pub run_ns: Option<u64>,
    /// Who or what reaped it.
    pub how: How,
    /// The process that reaped it.
    pub reaper_pid: Option<u32>,
    /// The thread that reaped it; `None` if that is not known.
    pub reaper_tid: Option<u32>,
    /// The reaper's command name.
    pub reaper_comm: Option<Comm>,
    /// Path in the cgroup v2 hierarchy.
    pub cgroup: Option<Arc<str>>,
    /// Its container; `None` if it was in none, or its cgroup was gone before it could be looked up.
    pub container: Option<Container>,
    /// The id of its parent's container, by the path of the parent's cgroup.
    pub parent_container: Option<Arc<str>>,
    /// The same of its reaper.
    pub reaper_container: Option<Arc<str>>,
    /// What is special about this record.
    #[serde(deserialize_with = "flag::known")]
    pub flags: Vec<Flag>,
    /// Where the zombie time went; `None` unless it was reaped by a wait, at exact times.
    pub phases: Option<Phases>,
    /// Why it lingered, by the last look at it while it was a zombie; `None` if it was not looked at.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// What was found then, in plain words.
    #[serde(default)]
    pub cause_text: Option<Arc<str>>,
    /// Where that cause is explained.
    #[serde(default)]
    pub why: Option<Why>,
    /// When the parent was looked at for it.
    #[serde(default, serialize_with = "nine_digits")]
    pub looked_at: Option<Timestamp>,
}

impl Zombie {
    /// With why it lingered.
    #[must_use]
    pub fn because(self, diagnosis: Option<&Diagnosis>) -> Self {
        Self {
            cause: diagnosis.map(|diagnosis| diagnosis.cause),
            cause_text: diagnosis.map(|diagnosis| Arc::clone(&diagnosis.finding)),
            why: diagnosis.map(|diagnosis| Why(diagnosis.cause)),
            looked_at: diagnosis.and_then(|diagnosis| diagnosis.looked_at),
            ..self
        }
    }

    /// Exit code other than 0, or killed by a signal.
    pub fn failed(&self) -> bool {
        self.signal.is_some() || self.exit_code.is_some_and(|code| code != 0)
    }

    /// The kernel released it without its ever being a zombie that anyone could see.
    pub fn autoreaped(&self) -> bool {
        self.how == How::Autoreap
    }

    /// It was dying or a zombie before the tracer attached.
    pub fn pre_existing(&self) -> bool {
        self.flags.contains(&Flag::PreExisting)
    }
}

/// How a process was reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum How {
    /// wait4(2), waitpid(2), wait(2).
    Wait4,
    /// waitid(2).
    Waitid,
    /// io_uring's `IORING_OP_WAITID`.
    #[serde(rename = "io_uring")]
    IoUring,
    /// By a wait whose kind this backend cannot tell.
    Wait,
    /// At once by the kernel: the parent ignores SIGCHLD or set SA_NOCLDWAIT.
    Autoreap,
    /// A zombie whose parent died and whose new parent ignores SIGCHLD.
    AutoreapOnReparent,
    /// With its pid namespace, whose init died.
    NsTeardown,
    /// By a kernel thread (usermode helper).
    Kernel,
    /// It cannot be told, or is none of those above.
    #[serde(other)]
    Unknown,
}

impl How {
    /// As in the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait4 => "wait4",
            Self::Waitid => "waitid",
            Self::IoUring => "io_uring",
            Self::Wait => "wait",
            Self::Autoreap => "autoreap",
            Self::AutoreapOnReparent => "autoreap-on-reparent",
            Self::NsTeardown => "ns-teardown",
            Self::Kernel => "kernel",
            Self::Unknown => "unknown",
        }
    }
}
