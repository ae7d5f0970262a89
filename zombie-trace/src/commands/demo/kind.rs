use std::{fmt, str::FromStr};

use clap::{ValueEnum, builder::PossibleValue};

/// What kind of zombie to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Child exits, parent waits for input: the zombie.py of every article
    Classic,
    /// Parent makes a child a second and never waits
    NeverWaits,
    /// Handler reaps one child for each SIGCHLD, and signals coalesce
    Coalesced,
    /// Parent blocks SIGCHLD and does not read it
    Blocked,
    /// Parent ignores SIGCHLD, but only after the child's death
    IgnoredLate,
    /// Parent is stopped
    Stopped,
    /// Parent is stopped by a debugger
    Debugged,
    /// Parent is frozen with its cgroup (root)
    Frozen,
    /// Parent is in uninterruptible sleep
    Uninterruptible,
    /// Parent computes instead of waiting
    Busy,
    /// Parent gets no CPU (root)
    Starved,
    /// Parent waits for another child
    WaitsForOther,
    /// Parent waits for children that stop, not for those that end
    WaitsWithoutFlags,
    /// Parent's thread waits for its own children (__WNOTHREAD), not for another thread's
    OtherThread,
    /// Child that no ordinary wait sees (clone without SIGCHLD)
    NoSigchld,
    /// Parent is PID 1 of a container, but no init
    Init,
    /// Tracer holds the zombie
    Traced,
    /// Main thread has ended, another lives on
    ThreadLeader,
    /// Parent dies, and the subreaper that inherits does not wait
    Subreaper,
    /// 1000 zombies at once
    Burst,
    /// Parent ignores SIGCHLD: no zombies at all
    Autoreap,
    /// Parent called exec after it made the child, and does not know it
    ForeignChild,
    /// Parent is in system(), which holds SIGCHLD back
    InSystem,
    /// Parent reaps one child a second, and leaves the others
    OneAtATime,
    /// Child exits, but a tracer stops it on the way: it is no zombie yet
    Dying,
}

impl Kind {
    /// Every kind, as they are listed.
    pub const ALL: [Self; 25] = [
        Self::Classic,
        Self::NeverWaits,
        Self::Coalesced,
        Self::Blocked,
        Self::IgnoredLate,
        Self::Stopped,
        Self::Debugged,
        Self::Frozen,
        Self::Uninterruptible,
        Self::Busy,
        Self::Starved,
        Self::WaitsForOther,
        Self::WaitsWithoutFlags,
        Self::OtherThread,
        Self::NoSigchld,
        Self::Init,
        Self::Traced,
        Self::ThreadLeader,
        Self::Subreaper,
        Self::Burst,
        Self::Autoreap,
        Self::ForeignChild,
        Self::InSystem,
        Self::OneAtATime,
        Self::Dying,
    ];

    /// What happens, in a sentence or two.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Classic => {
                "the child has ended, and its parent waits for input instead of for the child."
            }
            Self::NeverWaits => {
                "every second a child ends, and the parent never calls wait. Each zombie keeps its \
                 pid, until there are none left."
            }
            Self::Coalesced => {
                "ten children died at once. Pending signals of one number are one signal, so the \
                 handler ran once, and it reaped one child each time it runs."
            }
            Self::Blocked => {
                "the parent blocks SIGCHLD, and neither unblocks nor reads it: the signal stays \
                 pending."
            }
            Self::IgnoredLate => {
                "the parent ignores SIGCHLD since after its child's death. Ignored before, it \
                 would have reaped the child by itself; now it does nothing."
            }
            Self::Stopped => "the parent is stopped, as by Ctrl-Z, and can't wait.",
            Self::Debugged => "a debugger has stopped the parent.",
            Self::Frozen => "the parent's cgroup is frozen, as by docker pause.",
            Self::Uninterruptible => {
                "the parent sleeps uninterruptibly (here in vfork), so not even a signal's handler \
                 can run."
            }
            Self::Busy => "the parent computes, and will wait when it is done.",
            Self::Starved => "the parent's cgroup has used its CPU quota up.",
            Self::WaitsForOther => {
                "the parent is blocked in waitpid for another child, which lives on."
            }
            Self::WaitsWithoutFlags => {
                "the parent is blocked in waitid for children that stop (WSTOPPED, but not \
                 WEXITED)."
            }
            Self::OtherThread => {
                "a thread of the parent is blocked in waitpid with __WNOTHREAD, for children that \
                 it made itself; another thread made this one."
            }
            Self::NoSigchld => {
                "the child was cloned without SIGCHLD as its exit signal: only a wait with __WALL \
                 or __WCLONE sees it."
            }
            Self::Init => {
                "in a new pid namespace an application runs as PID 1. It inherits orphans, and \
                 does not know that it has to wait for them."
            }
            Self::Traced => {
                "a tracer is attached to the child. The parent can reap it only after the tracer \
                 has waited for it, and this one doesn't."
            }
            Self::ThreadLeader => {
                "the process looks like a zombie, but only its main thread has ended; nobody can \
                 reap it while a thread lives."
            }
            Self::Subreaper => {
                "the parent of a zombie died. The zombie passed to the nearest subreaper, which \
                 does not wait either."
            }
            Self::Burst => "a thousand children ended, and the parent has not waited for any.",
            Self::Autoreap => {
                "the parent ignores SIGCHLD, so the kernel reaps its children by itself: a child \
                 ends each second, and none is ever a zombie (zombie-trace -a lists them)."
            }
            Self::ForeignChild => {
                "the parent made a child, and then called exec. The new program (sleep) knows of no \
                 child and waits for none. Only a run sees that; ps can't."
            }
            Self::InSystem => {
                "the parent is in system(), which blocks SIGCHLD and waits for its own command alone."
            }
            Self::OneAtATime => {
                "the parent wakes up every second and reaps one child, but leaves the others. Only a run \
                 sees how it reaps; for ps it is not waiting."
            }
            Self::Dying => {
                "the child has begun to exit, and a tracer has stopped it on the way. It is no zombie yet, \
                 and no signal can end it."
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", PossibleValue::get_name))
    }
}

/// One kind, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// This kind.
    One(Kind),
    /// One after the other.
    All,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        Kind::from_str(text, false).map(Self::One).map_err(|_| {
            let names: Vec<_> = Kind::ALL.iter().map(Kind::to_string).collect();
            format!(
                "there is no such kind; there are {}, and all",
                names.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_all() {
        assert_eq!(Kind::ALL[..], *Kind::value_variants());
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(Which::One(kind)));
        }
        assert_eq!("all".parse(), Ok(Which::All));
        assert!("any".parse::<Which>().is_err());
    }
}
