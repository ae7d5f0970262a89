use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a zombie is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// As before, and the handler was seen to run less often than children died.
    SignalsCoalesced,
    /// The parent is the init of its pid namespace, but does not behave as one.
    InitNeverWaits,
    /// The parent neither handles SIGCHLD nor waits.
    NeverWaits,
    /// The facts don't tell.
    Unknown,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 19] = [
        Self::LeaderWithThreads,
        Self::HeldByTracer,
        Self::ParentFrozen,
        Self::ParentStopped,
        Self::ParentTraced,
        Self::ParentUninterruptible,
        Self::ParentExiting,
        Self::ParentStarved,
        Self::ParentBusy,
        Self::WaitsForOther,
        Self::WaitsWithoutFlags,
        Self::NoSigchld,
        Self::IgnoresSigchld,
        Self::BlocksSigchld,
        Self::HandlerLeavesIt,
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
            Self::WaitsForOther => "waits-for-other",
            Self::WaitsWithoutFlags => "waits-without-flags",
            Self::NoSigchld => "no-sigchld",
            Self::IgnoresSigchld => "ignores-sigchld",
            Self::BlocksSigchld => "blocks-sigchld",
            Self::HandlerLeavesIt => "handler-leaves-it",
            Self::SignalsCoalesced => "signals-coalesced",
            Self::InitNeverWaits => "init-never-waits",
            Self::NeverWaits => "never-waits",
            Self::Unknown => "unknown",
        }
    }

    /// What usually helps, as an imperative sentence; `None` if nothing needs to be done.
    pub fn fix(self) -> Option<&'static str> {
        Some(match self {
            Self::LeaderWithThreads => {
                "end the process by exit_group (exit(3)), not by ending the main thread alone"
            }
            Self::HeldByTracer => "let the tracer wait for it, or end the tracer",
            Self::ParentFrozen => "thaw the parent's cgroup (write 0 to its cgroup.freeze)",
            Self::ParentStopped => "continue the parent (kill -CONT)",
            Self::ParentTraced => "continue the parent in its debugger, or detach it",
            Self::ParentUninterruptible => {
                "look at what the parent's system call waits for: a disk, a network file system, \
                 a driver"
            }
            Self::ParentStarved => "give the parent CPU time: look at its nice value and cpu.max",
            Self::ParentBusy => "let the parent wait between the steps of its work",
            Self::WaitsForOther => {
                "wait for any child (waitpid(-1)) or handle SIGCHLD, instead of for one child"
            }
            Self::WaitsWithoutFlags => {
                "add WEXITED (waitid), or __WALL for a cloned child, to the options of the wait, \
                 and leave __WNOTHREAD out"
            }
            Self::NoSigchld => "wait with __WALL, or create the child with SIGCHLD",
            Self::IgnoresSigchld => {
                "ignore SIGCHLD before the first child is created, or wait for what died before"
            }
            Self::BlocksSigchld => "unblock SIGCHLD, or read it (signalfd, sigwait) and wait",
            Self::HandlerLeavesIt | Self::SignalsCoalesced => {
                "signals coalesce, so that one SIGCHLD can stand for several deaths: call \
                 waitpid(-1, …, WNOHANG) in a loop until it gives 0 or ECHILD"
            }
            Self::InitNeverWaits => {
                "run the container with an init that reaps, such as tini (docker run --init)"
            }
            Self::NeverWaits => {
                "let the parent wait for its children, or ignore SIGCHLD; if it can't be mended, \
                 restart it: its zombies are then reaped"
            }
            Self::ParentExiting | Self::Unknown => return None,
        })
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
}

impl Diagnosis {
    /// With what was seen of the parent's SIGCHLD handler: the cause is sharper if it left the
    /// zombie and ran less often than children died.
    #[must_use]
    pub fn with_handler(self, runs: u64, deaths: u64) -> Self {
        if self.cause != Cause::HandlerLeavesIt || runs >= deaths {
            return self;
        }
        let times = if runs == 1 { "time" } else { "times" };
        Self {
            cause: Cause::SignalsCoalesced,
            finding: format!(
                "{}: its handler ran {runs} {times} for {deaths} deaths since we look",
                self.finding
            )
            .into(),
        }
    }

    /// What usually helps, as an imperative sentence without a full stop.
    pub fn advice(&self) -> Option<Arc<str>> {
        self.cause.fix().map(Arc::from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_handler_that_ran_too_seldom() {
        let left = |cause| Diagnosis {
            cause,
            finding: "it handles SIGCHLD".into(),
        };
        let sharper = left(Cause::HandlerLeavesIt).with_handler(1, 10);
        assert_eq!(sharper.cause, Cause::SignalsCoalesced);
        assert!(sharper.finding.contains("ran 1 time for 10 deaths"));
        for (cause, runs) in [(Cause::HandlerLeavesIt, 10), (Cause::NeverWaits, 0)] {
            assert_eq!(left(cause).with_handler(runs, 10), left(cause));
        }
    }

    #[test]
    fn each_cause_has_a_code_of_its_own() {
        let codes: HashSet<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
        assert_eq!(codes.len(), Cause::ALL.len());
    }
}
