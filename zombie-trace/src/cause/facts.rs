use std::fmt;

use nix::libc;

use crate::model::{Comm, LanguageRuntime};

/// What is known of a zombie and its parent at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The zombie.
    pub zombie: &'a ZombieFacts,
    /// Its parent; `None` if it is not visible (0 in a container) or gone.
    pub parent: Option<&'a ParentFacts>,
    /// What the tracer has seen of the parent; `None` without a tracer.
    pub history: Option<&'a History>,
}

/// What a tracer has seen of a parent since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// How long it has been watched, ns.
    pub watched_ns: u64,
    /// How long the zombie has been one, ns.
    pub age_ns: u64,
    /// The number of its zombies now.
    pub zombies: u64,
    /// How it reaps; `None` if not all of that can be seen, because of the scope or of losses.
    pub reaps: Option<ReapHistory>,
    /// Its SIGCHLD handler; `None` if that is not known.
    pub handler: Option<HandlerHistory>,
}

/// How a parent has reaped its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReapHistory {
    /// How many of them.
    pub count: u64,
    /// How long ago the last of those reaps was, ns.
    pub since_last_ns: u64,
    /// How many of the children that became zombies after this one it has reaped lately.
    pub passed_over: u64,
    /// It may have reaped more of them, earlier.
    pub passed_over_more: bool,
    /// Its rhythm, if it has one.
    pub pace: Option<Pace>,
}

/// The rhythm of a parent's reaps. Reaps in quick succession are one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many rounds there were.
    pub rounds: u64,
    /// How many children they reaped.
    pub reaped: u64,
    /// From one round to the next, ns, on average.
    pub every_ns: u64,
    /// The longest time between two of them, ns.
    pub longest_ns: u64,
    /// The longest time that one of those children was a zombie, ns.
    pub longest_zombie_ns: u64,
    /// Each round came just before the parent started a child.
    pub before_starts: bool,
}

/// What a parent's SIGCHLD handler has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandlerHistory {
    /// How often it has run.
    pub runs: u64,
    /// How many of its children have died meanwhile.
    pub deaths: u64,
}

/// What matters of a zombie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZombieFacts {
    /// Its parent now; 0 if that can't be seen.
    pub ppid: u32,
    /// When it was started, clock ticks since boot: tells a pid that is in use again.
    pub start_ticks: u64,
    /// The signal its parent gets at its end (`task->exit_signal`); `None` if it is not known.
    pub exit_signal: Option<i32>,
    /// Threads that are still alive besides the leader.
    pub live_threads: Vec<Comm>,
    /// Who traces it.
    pub tracer: Option<TracerFacts>,
    /// Its pids in nested namespaces, outermost first (NSpid in proc_pid_status(5)).
    pub pids: Vec<u32>,
    /// Its process group ids likewise.
    pub groups: Vec<u32>,
    /// Whether its parent is another program than the one that made it; `None` if that is not known.
    pub foreign: Option<bool>,
}

/// A process that traces another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracerFacts {
    /// Its process.
    pub pid: u32,
    /// Its name.
    pub comm: Comm,
    /// It is stopped itself (state T).
    pub stopped: bool,
}

/// What matters of a zombie's parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentFacts {
    /// The process.
    pub pid: u32,
    /// Its name.
    pub comm: Comm,
    /// What it does with SIGCHLD.
    pub sigchld: Disposition,
    /// SIGCHLD is pending for the process.
    pub pending: bool,
    /// It is the first process of its pid namespace.
    pub is_init: bool,
    /// What froze its cgroup; `None` if it is not frozen, or if that can't be read.
    pub frozen: Option<Frozen>,
    /// How deep its pid namespace is below ours: 0 if it is the same.
    pub pid_level: usize,
    /// Its own process group, in its own pid namespace.
    pub group: u32,
    /// Its threads that are neither zombies nor dead.
    pub threads: Vec<ThreadFacts>,
    /// It is ending (`PF_EXITING`).
    pub exiting: bool,
    /// What it runs on, if that is known.
    pub runtime: Option<LanguageRuntime>,
    /// It has a terminal that another process group has been given: it is in the background.
    pub background: bool,
    /// It ignores SIGINT and SIGQUIT, as system(3) does.
    pub ignores_keyboard: bool,
    /// It has a signalfd for SIGCHLD; `None` if its descriptors can't be read.
    pub has_signalfd: Option<bool>,
    /// The processes that it has pidfds of, as we number them.
    pub pidfds: Vec<u32>,
    /// The child that it waits for in vfork(2).
    pub vfork: Option<OtherProcess>,
    /// The pipe that it is blocked reading.
    pub pipe: Option<PipeFacts>,
    /// Its own parent, if that blocks SIGCHLD as all its threads do: the mask may be inherited.
    pub mask_from: Option<OtherProcess>,
    /// How long it has been there, ns; `None` if that is not known.
    pub age_ns: Option<u64>,
    /// The limit of CPU time that its cgroups have; `None` without one.
    pub cpu_limit: Option<CpuLimit>,
}

/// What froze the cgroup of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The files that have to be written to; none if what froze it can't be seen from here.
    pub files: Vec<String>,
    /// What has to be written.
    pub thaw: &'static str,
}

/// A limit of the CPU time of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuLimit {
    /// The file that sets it.
    pub file: String,
    /// How often it has stopped the cgroup for the rest of a period.
    pub throttled: u64,
}

/// Another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherProcess {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub comm: Comm,
    /// The kernel function that it sleeps in, if any.
    pub wchan: Option<String>,
}

/// A pipe or pseudoterminal that a thread is blocked reading, and that another process holds open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeFacts {
    /// The thread.
    pub tid: u32,
    /// The descriptor that it is read by.
    pub fd: u32,
    /// It is the master of a pseudoterminal.
    pub is_terminal: bool,
    /// A process younger than the reader that can still write to it.
    pub writer: OtherProcess,
    /// The process group of that one.
    pub group: u32,
    /// When that one was started, clock ticks since boot.
    pub start_ticks: u64,
}

impl ParentFacts {
    /// Its waits, descriptors or threads are about particular children.
    pub fn looks_for_some(&self) -> bool {
        let waits = self.threads.iter().any(|thread| match thread.wait {
            Wait::For { target, options } => target != WaitTarget::Any || options & WNOTHREAD != 0,
            _ => false,
        });
        let reads = |pipe: &PipeFacts| pipe.tid != self.pid;
        waits || !self.pidfds.is_empty() || self.pipe.as_ref().is_some_and(reads)
    }

    /// None of its threads waits for a child: what their system calls can't be read for is known then.
    pub fn waits_for_nobody(&mut self) {
        for thread in &mut self.threads {
            if let Wait::Unreadable(_) = thread.wait {
                thread.wait = Wait::None;
            }
        }
    }
}

/// `__WNOTHREAD`: only children that the waiting thread itself made (wait(2)).
pub(crate) const WNOTHREAD: u32 = libc::__WNOTHREAD.cast_unsigned();

/// What a process does with SIGCHLD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// `SIG_DFL`.
    Default,
    /// `SIG_IGN`.
    Ignore,
    /// A handler.
    Handler,
}

/// A thread of the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadFacts {
    /// Its id.
    pub tid: u32,
    /// What it is doing.
    pub state: State,
    /// It could run, but did not get a CPU while it was watched.
    pub starved: bool,
    /// It blocks SIGCHLD.
    pub blocks_sigchld: bool,
    /// SIGCHLD is pending for this thread.
    pub pending: bool,
    /// The kernel function it sleeps in; `None` if it doesn't or that can't be read.
    pub wchan: Option<String>,
    /// The wait it is in.
    pub wait: Wait,
    /// Its children, as we number them, if it waits with `__WNOTHREAD` and they can be read.
    pub own_children: Option<Vec<u32>>,
}

/// The state of a thread, by its letter (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// R
    Runnable,
    /// S, I
    Sleeping,
    /// D
    Uninterruptible,
    /// T
    Stopped,
    /// t
    TracingStop,
    /// Z, X, one that we don't know, or one that was not asked for: of a thread of a crowd that is in a
    /// system call.
    Other,
}

/// Whether a thread is in a system call that waits for children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its system call can't be read.
    Unreadable(Unreadable),
    /// It is in none.
    None,
    /// It is in a wait whose arguments we can't read, such as a 32-bit program's.
    Foreign,
    /// It is in wait4 or waitid.
    For {
        /// Whom for.
        target: WaitTarget,
        /// The options; those of wait4 have WEXITED added, which it implies.
        options: u32,
    },
}

/// Whom a wait is for, as the waiting process numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitTarget {
    /// Any child.
    Any,
    /// One process.
    Pid(u32),
    /// A process group.
    Group(u32),
    /// The process that a pidfd refers to, as *we* number it; 0 if it has no number here.
    Pidfd(u32),
}

/// Why a thread's system call can't be read. Displayed, it ends a sentence: "can't be read …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// We lack CAP_SYS_PTRACE.
    NoCapability,
    /// We hold it, but only inside a user namespace.
    UserNamespace,
    /// Yama forbids it to everybody.
    Yama,
    /// We hold it: something else, such as SELinux, forbids it.
    SecurityModule,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCapability => "without CAP_SYS_PTRACE",
            Self::UserNamespace => "from inside this user namespace",
            Self::Yama => "while kernel.yama.ptrace_scope is 3",
            Self::SecurityModule => "because a security module forbids it",
        })
    }
}
