use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::LanguageRuntime;

/// Why a zombie is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cause {
    /// Its leader has ended, but other threads of it run on: nobody can reap it yet.
    LeaderWithThreads,
    /// A tracer that is not its parent has to wait for it first (ptrace(2)).
    HeldByTracer,
    /// The parent is frozen (cgroup freezer).
    ParentFrozen,
    /// The parent is stopped by a signal (SIGSTOP, job control).
    ParentStopped,
    /// The parent is stopped by its own tracer, such as a debugger.
    ParentTraced,
    /// All threads of the parent are in uninterruptible sleep.
    ParentUninterruptible,
    /// The parent is ending itself.
    ParentExiting,
    /// The parent could run, but gets no CPU.
    ParentStarved,
    /// The parent runs, and has not come to wait.
    ParentBusy,
    /// The parent did not make it: the program that the parent was before exec(2) did, or it was adopted
    /// by a parent that is not the init of its pid namespace.
    ForeignChild,
    /// The parent waits in vfork(2) for another child to call exec(2) or to end.
    ParentInVfork,
    /// The parent reads a pipe to its end, and another process holds the pipe open.
    ParentReadsPipe,
    /// The parent holds a pidfd of it, and has not waited.
    HoldsPidfd,
    /// The parent reaps its children, but late: seldom, or one at a time.
    ReapsLate,
    /// The parent is blocked in a wait for another child.
    WaitsForOther,
    /// The parent's wait leaves out children such as this one by its flags.
    WaitsWithoutFlags,
    /// Its exit signal is not SIGCHLD: an ordinary wait does not see it.
    NoSigchld,
    /// The parent ignores SIGCHLD since after the death, and does not wait.
    IgnoresSigchld,
    /// The parent blocks SIGCHLD, which is pending, and does not wait.
    BlocksSigchld,
    /// The parent handles SIGCHLD, but the handler has left it.
    HandlerLeavesIt,
    /// The parent reads SIGCHLD by a signalfd, and has left it.
    SignalfdLeavesIt,
    /// The parent handles SIGCHLD, and the handler was seen to run less often than children died.
    SignalsCoalesced,
    /// The parent is the init of its pid namespace, but does not behave as one.
    InitNeverWaits,
    /// The parent is not waiting, and nothing else explains it.
    NeverWaits,
    /// The facts don't tell.
    Unknown,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 25] = [
        Self::LeaderWithThreads,
        Self::HeldByTracer,
        Self::ParentFrozen,
        Self::ParentStopped,
        Self::ParentTraced,
        Self::ParentUninterruptible,
        Self::ParentExiting,
        Self::ParentStarved,
        Self::ParentBusy,
        Self::ForeignChild,
        Self::ParentInVfork,
        Self::ParentReadsPipe,
        Self::HoldsPidfd,
        Self::ReapsLate,
        Self::WaitsForOther,
        Self::WaitsWithoutFlags,
        Self::NoSigchld,
        Self::IgnoresSigchld,
        Self::BlocksSigchld,
        Self::HandlerLeavesIt,
        Self::SignalfdLeavesIt,
        Self::SignalsCoalesced,
        Self::InitNeverWaits,
        Self::NeverWaits,
        Self::Unknown,
    ];

    /// The code in JSON and in the WHY column.
    pub fn code(self) -> &'static str {
        match self {
            Self::LeaderWithThreads => "leader-with-threads",
            Self::HeldByTracer => "held-by-tracer",
            Self::ParentFrozen => "parent-frozen",
            Self::ParentStopped => "parent-stopped",
            Self::ParentTraced => "parent-traced",
            Self::ParentUninterruptible => "parent-uninterruptible",
            Self::ParentExiting => "parent-exiting",
            Self::ParentStarved => "parent-starved",
            Self::ParentBusy => "parent-busy",
            Self::ForeignChild => "foreign-child",
            Self::ParentInVfork => "parent-in-vfork",
            Self::ParentReadsPipe => "parent-reads-pipe",
            Self::HoldsPidfd => "holds-pidfd",
            Self::ReapsLate => "reaps-late",
            Self::WaitsForOther => "waits-for-other",
            Self::WaitsWithoutFlags => "waits-without-flags",
            Self::NoSigchld => "no-sigchld",
            Self::IgnoresSigchld => "ignores-sigchld",
            Self::BlocksSigchld => "blocks-sigchld",
            Self::HandlerLeavesIt => "handler-leaves-it",
            Self::SignalfdLeavesIt => "signalfd-leaves-it",
            Self::SignalsCoalesced => "signals-coalesced",
            Self::InitNeverWaits => "init-never-waits",
            Self::NeverWaits => "never-waits",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a cause is explained, in this project's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why(pub Cause);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "docs/causes.md#{}", self.0.code())
    }
}

impl Serialize for Why {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Why {
    /// A link to what is not known, as of a newer version, is one to [`Cause::Unknown`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let link = String::deserialize(deserializer)?;
        let is_it = |cause: &Cause| link == Self(*cause).to_string();
        Ok(Self(
            Cause::ALL.into_iter().find(is_it).unwrap_or(Cause::Unknown),
        ))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Cause {
    /// A code that is not known, as of a newer version, is [`Cause::Unknown`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        let cause = Self::ALL.into_iter().find(|cause| cause.code() == code);
        Ok(cause.unwrap_or(Self::Unknown))
    }
}

/// A cause, and what was found, in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Why it is still there.
    pub cause: Cause,
    /// What was found: a clause without a full stop, that names the parent or the tracer.
    pub finding: Arc<str>,
    /// What helps, as an imperative sentence without a full stop; `None` if nothing needs to be done or
    /// nobody can say.
    pub advice: Option<Arc<str>>,
    /// What the parent runs on, if that is known.
    pub runtime: Option<LanguageRuntime>,
    /// How long the parent had been watched, in ns; `None` if that is not known.
    pub watched_ns: Option<u64>,
    /// When the parent was looked at, if somebody has noted that.
    pub looked_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs, path::Path};

    use super::*;

    #[test]
    fn each_cause_has_a_code_of_its_own() {
        let codes: HashSet<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
        assert_eq!(codes.len(), Cause::ALL.len());
    }

    /// docs/causes.md, unless this is a package, which lacks it.
    fn page() -> Option<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        if !root.join("zombie-trace-ebpf").exists() {
            eprintln!("skipped: a package has no docs/causes.md");
            return None;
        }
        Some(fs::read_to_string(root.join("docs/causes.md")).unwrap())
    }

    #[test]
    fn each_cause_has_a_link_to_its_heading() {
        let Some(page) = page() else { return };
        // A heading of one word is its own anchor.
        let anchors: HashSet<_> = page
            .lines()
            .filter(|line| line.starts_with("##"))
            .map(|line| format!("docs/causes.md#{}", line.trim_start_matches(['#', ' '])))
            .collect();
        for cause in Cause::ALL {
            let link = Why(cause).to_string();
            assert!(anchors.contains(&link), "{link} leads nowhere");
            let json = serde_json::to_string(&Why(cause)).unwrap();
            assert_eq!(serde_json::from_str::<Why>(&json).unwrap(), Why(cause));
        }
        let newer: Why = serde_json::from_str("\"docs/causes.md#newer\"").unwrap();
        assert_eq!(newer, Why(Cause::Unknown));
    }

    #[test]
    fn each_cause_is_explained() {
        let Some(page) = page() else { return };
        for cause in Cause::ALL {
            let title = |level: &str| format!("\n{level} {}\n", cause.code());
            assert!(
                page.contains(&title("##")) || page.contains(&title("###")),
                "{cause} is not in docs/causes.md"
            );
        }
    }
}
