//! Processes that have begun to end and have not: those that were killed or exit, and those whose main
//! thread alone has ended.
//!
//! Nothing that is read here can block, whatever the process hangs in: no file that takes a lock of its
//! memory.

use std::{io, path::Path};

use nix::libc;

use super::{
    Proc, ROOT,
    clock::run_queue_clocks,
    directory,
    files::{self, Stat, Status},
    holds::Hierarchies,
    numbers_in,
};
use crate::{
    cause::REFRIGERATOR,
    lifecycle::TaskId,
    model::{Comm, Dying, DyingThread},
};

/// Flags of a task (include/linux/sched.h). It ends (`do_exit`).
const PF_EXITING: u32 = 0x4;
/// It has passed the core dump on its way through `do_exit`, and may be stopped there by its tracer; since 5.17.
const PF_POSTCOREDUMP: u32 = 0x8;
/// It writes a core dump.
const PF_DUMPCORE: u32 = 0x200;
/// A signal has killed it.
const PF_SIGNALED: u32 = 0x400;
const PF_KTHREAD: u32 = 0x20_0000;

/// More threads of a process are not looked at, whatever it has.
const MOST_THREADS: usize = 4096;

/// A process that has begun to end.
#[derive(Clone, Debug)]
pub struct UnendedProcess {
    /// The process.
    pub pid: u32,
    /// Its command name.
    pub comm: Comm,
    /// Its parent; 0 if that can't be seen.
    pub ppid: u32,
    /// When it was started, clock ticks since boot: tells a pid that is in use again.
    pub start_ticks: u64,
    /// What is left of it.
    pub rest: Rest,
    /// Its main thread has not run since the end had begun.
    is_settled: bool,
}

/// What is left of a process that has begun to end.
#[derive(Clone, Debug)]
pub enum Rest {
    /// All its threads are on their way to their end.
    Dying {
        /// The signal that killed it; `None` if it exits by itself, or if that is not known.
        signal: Option<u8>,
        /// The process that traces it.
        tracer: Option<u32>,
        /// The threads that are left, those that can't end first.
        threads: Vec<DyingThread>,
    },
    /// Only its main thread has ended; others live on.
    Threads,
}

impl UnendedProcess {
    /// What tells it from every other.
    pub fn id(&self) -> TaskId {
        (u64::from(self.pid), self.start_ticks)
    }

    /// When its main thread ran last, by which the end had begun: a CPU and its run-queue clock.
    pub fn last_run(&self) -> Option<(u32, u64)> {
        let directory = directory(self.pid);
        let cpu = Stat::read(&directory).ok().filter(|_| self.is_settled)?.cpu;
        Some((cpu, files::exec_start(&directory)?))
    }

    /// The path of its cgroup v2, and whether that has been removed.
    pub fn cgroup(&self) -> Option<(String, bool)> {
        files::cgroup_and_state(&directory(self.pid))
    }

    /// Its parent's command name.
    pub fn parent_comm(&self) -> Option<Comm> {
        super::comm(self.ppid)
    }

    /// The line about it; `None` if only its main thread has ended.
    pub fn dying(&self, ts: jiff::Timestamp, since_ns: Option<u64>) -> Option<Dying> {
        match &self.rest {
            Rest::Dying {
                signal,
                tracer,
                threads,
            } => Some(Dying {
                ts,
                pid: self.pid,
                comm: self.comm,
                ppid: Some(self.ppid).filter(|&pid| pid != 0),
                signal: *signal,
                since_ns,
                tracer_pid: *tracer,
                threads: threads.clone(),
            }),
            Rest::Threads => None,
        }
    }
}

/// How long ago the main thread of a dying process ran last, ns: it has been dying for so long at least. 0
/// if that is not known.
pub fn since_last_run(process: &UnendedProcess, now: u64) -> u64 {
    let since = process.last_run().and_then(|(cpu, exec_start)| {
        let clocks = run_queue_clocks([cpu]);
        Some(now.saturating_sub(clocks.monotonic(cpu, exec_start)?))
    });
    since.unwrap_or(0)
}

impl Proc {
    /// Those among these processes, or all, that have begun to end and are no zombies.
    ///
    /// # Errors
    /// /proc can't be listed.
    pub fn unended(&self, among: Option<&[u32]>) -> io::Result<Vec<UnendedProcess>> {
        let all = match among {
            Some(pids) => pids.to_vec(),
            None => numbers_in(Path::new(ROOT))?,
        };
        let look_at = |pid| look_at(pid, &directory(pid));
        Ok(all.into_iter().filter_map(look_at).collect())
    }
}

/// As little of /proc/PID/stat as tells nearly all processes that live.
struct Glance {
    state: u8,
    flags: u32,
    /// The signals that are pending for the thread.
    pending: u64,
    threads: u32,
}

impl Glance {
    fn read(directory: &Path) -> Option<Self> {
        Self::parse(&files::read(&directory.join("stat")).ok()?)
    }

    fn parse(stat: &[u8]) -> Option<Self> {
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let rest = str::from_utf8(stat.get(end + 1..)?).ok()?;
        // The fields 3, 9, 20 and 31 of proc_pid_stat(5).
        let mut fields = rest.split_ascii_whitespace();
        Some(Self {
            state: *fields.next()?.as_bytes().first()?,
            flags: fields.nth(5)?.parse().ok()?,
            threads: fields.nth(10)?.parse().ok()?,
            pending: fields.nth(10)?.parse().ok()?,
        })
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// The thread ends, or will as soon as it can.
    fn ends(&self) -> bool {
        const ENDING: u32 = PF_EXITING | PF_POSTCOREDUMP | PF_DUMPCORE | PF_SIGNALED;
        const KILLED: u64 = 1 << (libc::SIGKILL - 1);
        self.flags & ENDING != 0 || self.pending & KILLED != 0
    }

    /// It runs no more before its end, or did not since that began. A main thread can end long before the
    /// others, unless a signal has killed it.
    fn is_settled(&self) -> bool {
        let flags = match self.has_ended() {
            true => PF_SIGNALED,
            false => PF_EXITING | PF_POSTCOREDUMP | PF_SIGNALED,
        };
        self.flags & flags != 0
    }

    /// The process may be one that has begun to end.
    fn is_suspect(&self) -> bool {
        let is_kthread = self.flags & PF_KTHREAD != 0;
        match self.has_ended() {
            true => self.threads > 1,
            false => self.ends() && !is_kthread,
        }
    }
}

fn look_at(pid: u32, directory: &Path) -> Option<UnendedProcess> {
    let leader = Glance::read(directory)?;
    if !leader.is_suspect() {
        return None;
    }
    let stat = Stat::read(directory).ok()?;
    let rest = match ending_threads(directory)? {
        Some(threads) => {
            let status = Status::read(directory).ok();
            let tracer = status
                .as_ref()
                .and_then(|status| status.number("TracerPid"));
            let killed = status.is_some_and(|status| {
                let sets = ["ShdPnd", "SigPnd"];
                sets.iter().any(|set| status.has_signal(set, libc::SIGKILL))
            });
            Rest::Dying {
                signal: signal(stat.wait_status, killed),
                tracer: tracer.filter(|&pid| pid != 0),
                threads,
            }
        }
        None if leader.has_ended() => Rest::Threads,
        // A thread of it calls exec, which ends the others.
        None => return None,
    };
    Some(UnendedProcess {
        pid,
        comm: stat.comm,
        ppid: stat.ppid,
        start_ticks: stat.start_ticks,
        rest,
        is_settled: leader.is_settled(),
    })
}

/// Whether all threads that are left of a process are on their way to their end.
pub(super) fn is_dying(process: &Path) -> bool {
    matches!(ending_threads(process), Some(Some(_)))
}

/// The signal by which a process ends: `wait_status` has it once the end has begun (since 5.16, and if we
/// may know).
fn signal(wait_status: u32, is_killed: bool) -> Option<u8> {
    match (wait_status & 0x7f) as u8 {
        0 if wait_status == 0 && is_killed => Some(libc::SIGKILL as u8),
        0 => None,
        signal => Some(signal),
    }
}

/// The threads that have not ended; `Some(None)` if one of them lives on, `None` if there are none.
fn ending_threads(process: &Path) -> Option<Option<Vec<DyingThread>>> {
    let tasks = process.join("task");
    let mut threads = Vec::new();
    for tid in numbers_in(&tasks).ok()?.into_iter().take(MOST_THREADS) {
        let directory = tasks.join(tid.to_string());
        let Some(glance) = Glance::read(&directory) else {
            continue;
        };
        if glance.has_ended() {
            continue;
        }
        if !glance.ends() {
            return Some(None);
        }
        threads.push((rank(glance.state), tid, glance.state));
    }
    if threads.is_empty() {
        return None;
    }
    threads.sort_unstable();
    threads.truncate(Dying::THREADS);
    // A thread that was frozen in its sleep shows where it slept (since 6.1), but hangs in the freezer.
    let hangs = threads.iter().any(|(_, _, state)| *state == b'D');
    let is_frozen = hangs && Hierarchies::read().holds(process).frozen.is_some();
    let threads = threads.into_iter().map(|(_, tid, state)| {
        let directory = tasks.join(tid.to_string());
        let freezer = (is_frozen && state == b'D').then(|| REFRIGERATOR.to_owned());
        DyingThread {
            tid,
            comm: Stat::read(&directory).map_or_else(|_| "?".into(), |stat| stat.comm),
            state: char::from(state),
            wchan: freezer.or_else(|| files::wchan(&directory)),
        }
    });
    Some(Some(threads.collect()))
}

/// The least explains most.
fn rank(state: u8) -> u8 {
    match state {
        b'D' => 0,
        b't' => 1,
        b'T' => 2,
        b'R' => 4,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(state: char, flags: u32, threads: u32, pending: u64) -> Glance {
        let stat = format!(
            "120 (a) R (b) {state} 1 120 120 0 -1 {flags} 5 0 0 0 1 2 0 0 20 0 {threads} 0 1751591 0 0 \
             18446744073709551615 0 0 0 0 0 {pending} 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        Glance::parse(stat.as_bytes()).unwrap()
    }

    #[test]
    fn what_a_glance_tells() {
        // Of a 6.18: killed in a FUSE request, held by a tracer in its exit, and a dead main thread.
        assert!(glance('D', 4_194_368, 1, 256).is_suspect());
        assert!(glance('t', 4_194_376, 1, 0).is_suspect());
        assert!(glance('Z', 4_228_172, 2, 0).is_suspect());
        assert!(!glance('Z', 4_228_172, 1, 0).is_suspect());
        assert!(!glance('D', 4_194_368, 1, 0).is_suspect());
        assert!(!glance('S', 4_194_368, 9, 1 << 14).is_suspect());
        assert!(!glance('I', PF_KTHREAD | PF_EXITING, 1, 0).is_suspect());
        assert!(Glance::parse(b"1 (x) R 2").is_none());
    }

    #[test]
    fn the_signal_is_that_of_the_status_if_it_is_known() {
        assert_eq!(signal(9, true), Some(9));
        assert_eq!(signal(0x8b, false), Some(11));
        // exit_group kills the other threads.
        assert_eq!(signal(7 << 8, true), None);
        assert_eq!(signal(0, true), Some(9));
        assert_eq!(signal(0, false), None);
    }

    #[test]
    fn we_live_on() {
        let own = std::process::id();
        let proc = Proc::open().unwrap();
        assert!(proc.unended(Some(&[own, u32::MAX])).unwrap().is_empty());
    }
}
