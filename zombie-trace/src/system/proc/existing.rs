use std::{collections::HashMap, io, path::Path};

use nix::unistd::{SysconfVar, sysconf};
use zombie_trace_common::{Record, SnapshotEntry, TaskNow, flags};

use super::{
    Gap, Proc, ROOT, directory, exists,
    files::{self, Stat, Status},
    is_gone, numbers_in,
    unended::is_dying,
};
use crate::{
    cause::{TracerFacts, ZombieFacts},
    model::Comm,
    system::{clocks::boottime_of_host, monotonic_now},
};

/// A zombie of /proc: state Z, also if it is a thread group leader whose threads live on.
#[derive(Clone, Debug)]
pub struct Existing {
    /// As the tracer would have found it. `task` is the pid, for want of better.
    pub entry: SnapshotEntry,
    /// Its wait status may be read.
    pub status_known: bool,
    /// What a diagnosis needs.
    pub facts: ZombieFacts,
    /// Its terminal (`tty_nr`, proc_pid_stat(5)); 0 for none.
    pub tty: u32,
    /// The CPU time that it took, ns.
    pub cpu_ns: u64,
    /// The kernel function that it sleeps in, if any.
    pub wchan: Option<String>,
    /// The path of its cgroup v2.
    pub cgroup: Option<String>,
    /// That cgroup has been removed.
    pub cgroup_removed: bool,
    /// That of its parent.
    pub parent_cgroup: Option<String>,
}

/// The zombies of /proc.
#[derive(Clone, Debug)]
pub struct ExistingZombies {
    /// Those that may be looked at.
    pub zombies: Vec<Existing>,
    /// Why there may be more, if so.
    pub gap: Option<Gap>,
}

impl Proc {
    /// The zombies that there are now.
    ///
    /// # Errors
    /// /proc can't be read.
    pub fn existing(&self) -> io::Result<ExistingZombies> {
        let mut parents = HashMap::new();
        let mut zombies = Vec::new();
        let mut denied = 0;
        for pid in numbers_in(Path::new(ROOT))? {
            match look_at(pid, &mut parents) {
                Ok(zombie) => zombies.extend(zombie),
                Err(error) if is_gone(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied += 1,
                Err(error) => return Err(error),
            }
        }
        let denied = (denied > 0).then_some(Gap::Denied { processes: denied });
        Ok(ExistingZombies {
            zombies,
            gap: self.gap().cloned().or(denied),
        })
    }

    /// A process, if it is a zombie.
    pub fn zombie(&self, pid: u32) -> Option<Existing> {
        look_at(pid, &mut HashMap::new()).ok()?
    }

    /// Whether this zombie is still there, with the same parent. What its parent did was its cause
    /// only if it is there afterwards, too.
    pub fn is_still_there(&self, pid: u32, facts: &ZombieFacts) -> bool {
        Stat::read(&directory(pid)).is_ok_and(|stat| {
            stat.state == b'Z' && stat.start_ticks == facts.start_ticks && stat.ppid == facts.ppid
        })
    }
}

/// What a clock tick of /proc is, ns.
pub(super) fn tick_ns() -> u64 {
    sysconf(SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .and_then(|hertz| 1_000_000_000u64.checked_div(hertz.cast_unsigned()))
        .unwrap_or(10_000_000)
}

/// What the kernel's list tells of a zombie that has neither a tracer nor living threads, which is
/// enough where nobody waits for a particular process; `None` for others.
pub(super) fn plain_facts(entry: &SnapshotEntry) -> Option<ZombieFacts> {
    let TaskNow {
        ppid,
        exit_signal,
        threads,
        ptrace,
        ..
    } = entry.now;
    (threads <= 1 && ptrace == 0).then(|| ZombieFacts {
        ppid,
        exit_signal: known(exit_signal),
        ..ZombieFacts::default()
    })
}

/// All that a diagnosis needs to know of a zombie; `None` if it is gone.
pub(super) fn all_facts(pid: u32) -> Option<ZombieFacts> {
    let directory = directory(pid);
    let stat = Stat::read(&directory).ok()?;
    let status = Status::read(&directory).ok()?;
    facts(pid, &stat, &status).ok()
}

/// It is -1 for a thread, and for what is reaped already (kernel/exit.c).
fn known(exit_signal: i32) -> Option<i32> {
    (exit_signal >= 0).then_some(exit_signal)
}

fn facts(pid: u32, stat: &Stat, status: &Status) -> io::Result<ZombieFacts> {
    let live_threads = match stat.threads {
        0 | 1 => Vec::new(),
        _ => live_threads(pid)?,
    };
    let tracer = status.number("TracerPid").filter(|&pid| pid != 0);
    Ok(ZombieFacts {
        ppid: stat.ppid,
        start_ticks: stat.start_ticks,
        exit_signal: known(stat.exit_signal),
        live_threads,
        tracer: tracer.and_then(tracer_of),
        pids: status.numbers("NSpid"),
        groups: status.numbers("NSpgid"),
        foreign: None,
    })
}

/// The process of a thread that traces; `None` if it is gone.
fn tracer_of(tid: u32) -> Option<TracerFacts> {
    let seen = || {
        let pid = Status::read(&directory(tid)).ok()?.number("Tgid")?;
        let stat = Stat::read(&directory(pid)).ok()?;
        Some(TracerFacts {
            pid,
            comm: stat.comm,
            stopped: stat.state == b'T',
        })
    };
    // It can be hidden from us, and is there all the same.
    let hidden = || {
        exists(tid).then(|| TracerFacts {
            pid: tid,
            comm: "?".into(),
            stopped: false,
        })
    };
    seen().or_else(hidden)
}

fn live_threads(pid: u32) -> io::Result<Vec<Comm>> {
    let tasks = directory(pid).join("task");
    let mut names = Vec::new();
    for tid in numbers_in(&tasks)? {
        match Stat::read(&tasks.join(tid.to_string())) {
            Ok(stat) if matches!(stat.state, b'Z' | b'X') => {}
            Ok(stat) => names.push(stat.comm),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

/// Given the cgroups of parents that were looked at already: many zombies have few parents.
fn look_at(pid: u32, parents: &mut HashMap<u32, Option<String>>) -> io::Result<Option<Existing>> {
    let tick_ns = tick_ns();
    let directory = directory(pid);
    let stat = Stat::read(&directory)?;
    // One that was killed and whose other threads hang is dying, and no zombie.
    if stat.state != b'Z' || (stat.threads > 1 && is_dying(&directory)) {
        return Ok(None);
    }
    let found = monotonic_now();
    let status = Status::read(&directory)?;
    let exec_start = files::exec_start(&directory);
    let (cgroup, cgroup_removed) = files::cgroup_and_state(&directory).unzip();
    let record = Record {
        task: u64::from(pid),
        start_boottime: boottime_of_host(stat.start_ticks.saturating_mul(tick_ns)),
        zombie_time: found,
        pid,
        ns_pid: status.numbers("NSpid").last().copied().unwrap_or(pid),
        uid: status.number("Uid").unwrap_or(0),
        ppid: stat.ppid,
        wait_status: stat.wait_status,
        flags: flags::PRE_EXISTING | flags::APPROXIMATE_START,
        comm: stat.comm.to_raw(),
        ..Record::default()
    };
    Ok(Some(Existing {
        entry: SnapshotEntry {
            record,
            now: TaskNow {
                exec_start: exec_start.unwrap_or(0),
                // A CPU that has no clock, so that it gets no date but its start.
                cpu: exec_start.map_or(u32::MAX, |_| stat.cpu),
                exit_state: 0x20,
                ..TaskNow::default()
            },
        },
        // The kernel shows 0 to those who may not know (do_task_stat, fs/proc/array.c).
        status_known: stat.wait_status != 0 || files::may_read(&directory),
        facts: facts(pid, &stat, &status)?,
        tty: stat.tty,
        cpu_ns: stat.cpu_ticks * tick_ns,
        wchan: files::wchan(&directory),
        cgroup,
        cgroup_removed: cgroup_removed == Some(true),
        parent_cgroup: parents
            .entry(stat.ppid)
            .or_insert_with(|| files::cgroup(&super::directory(stat.ppid)))
            .clone(),
    }))
}
