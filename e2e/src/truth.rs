use serde::{Deserialize, Serialize};

/// An interval of `CLOCK_MONOTONIC` (or a duration) that surely holds the truth, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Not before.
    pub lo: u64,
    /// Not after.
    pub hi: u64,
}

impl Span {
    /// From an interval of instants to a later one: the interval of the time between.
    pub fn until(self, later: Self) -> Self {
        Self {
            lo: later.lo.saturating_sub(self.hi),
            hi: later.hi.saturating_sub(self.lo),
        }
    }
}

/// What has to be reported of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// One `zombie` line.
    Zombie,
    /// One `zombie` line with `how` autoreap and no zombie time.
    Autoreaped,
    /// No `zombie` line, but an `alive` line.
    Alive,
    /// Nothing.
    Nothing,
}

/// One line of a scenario's standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "truth", rename_all = "kebab-case")]
pub enum Line {
    /// One process.
    Process(Box<Truth>),
    /// Many alike.
    Many(Many),
    /// An answer of the puppet: its command is done.
    Done {
        /// The process that it was about; 0 if none.
        pid: u32,
    },
}

/// Many processes of which only the number and the fate matter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Many {
    /// Their command name.
    pub comm: String,
    /// Their parent and reaper.
    pub ppid: u32,
    /// Each of them: one record apiece.
    pub pids: Vec<u32>,
    /// Their exit code.
    pub exit_code: u8,
    /// None was a zombie for longer.
    pub max_zombie_ns: u64,
}

/// The ground truth of one process, from clocks that no hook of the tracer has a part in.
///
/// `None` leaves a field unchecked, except for `exit_code` and `signal`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Truth {
    /// What it is in its scenario: its command name unless `comm` says otherwise.
    pub role: String,
    /// As the initial pid namespace sees it.
    pub pid: u32,
    /// What is to be reported.
    pub expect: Expect,
    /// As its own pid namespace sees it.
    pub ns_pid: Option<u32>,
    /// Its command name when it ended.
    pub comm: Option<String>,
    /// Real user id.
    pub uid: Option<u32>,
    /// The real parent when it became a zombie.
    pub ppid: Option<u32>,
    /// The parent's command name.
    pub parent_comm: Option<String>,
    /// Who reaped it.
    pub reaper_pid: Option<u32>,
    /// The thread that reaped it.
    pub reaper_tid: Option<u32>,
    /// The reaper's command name.
    pub reaper_comm: Option<String>,
    /// Any of these is right.
    pub how: Vec<String>,
    /// Whether the program that its parent is now did not make it: any of these is right. Empty leaves
    /// it unchecked.
    pub foreign: Vec<Option<bool>>,
    /// 0–255 if it exited.
    pub exit_code: Option<u8>,
    /// The signal that killed it.
    pub signal: Option<u8>,
    /// Whether the kernel says that it left a core dump.
    pub core_dumped: bool,
    /// When it was made.
    pub started: Option<Span>,
    /// When it became a zombie.
    pub born: Option<Span>,
    /// When it was reaped (alive: until when it surely was a zombie).
    pub reaped: Option<Span>,
    /// From its last own instruction to zombie.
    pub teardown: Option<Span>,
    /// Path in the cgroup v2 hierarchy.
    pub cgroup: Option<String>,
    /// Host name of its UTS namespace, if that is not the machine's.
    pub host_name: Option<String>,
    /// Flags that must be there.
    pub flags: Vec<String>,
    /// Flags that may be there; all others must not.
    pub flags_maybe: Vec<String>,
}

impl Truth {
    /// How long it was a zombie.
    pub fn zombie(&self) -> Option<Span> {
        Some(self.born?.until(self.reaped?))
    }
}

/// One line of `scenario --list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Catalogued {
    /// Its name.
    pub name: String,
    /// Why it can't run here.
    pub skip: Option<String>,
}
