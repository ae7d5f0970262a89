//! What /proc tells of zombies and their parents. Without privileges it tells less: what a parent
//! is blocked in needs CAP_SYS_PTRACE.

mod clock;
mod existing;
mod files;
mod limits;
mod parents;

pub use clock::run_queue_clocks;
pub use existing::{Existing, existing, is_still_there, zombie};
use existing::{all_facts, plain_facts};
pub use limits::{Limit, limits, pids};
pub use parents::Parents;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use zombie_trace_common::SnapshotEntry;

use crate::{
    cause::{Diagnosis, Facts, ParentFacts, ZombieFacts, diagnose},
    deadline::Deadline,
    lifecycle::Comm,
};

/// What /proc says about some zombies and their parents.
pub struct Findings {
    zombies: Vec<(SnapshotEntry, ZombieFacts)>,
    parents: Parents,
}

impl Findings {
    /// Looks at these zombies now.
    pub fn read(zombies: &[SnapshotEntry]) -> Self {
        let zombies: Vec<(SnapshotEntry, ZombieFacts)> = zombies
            .iter()
            .filter(|entry| entry.record.pid != 0)
            .filter_map(|entry| {
                let plain = plain_facts(entry);
                Some((*entry, plain.or_else(|| all_facts(entry.record.pid))?))
            })
            .collect();
        let parents = Parents::read(zombies.iter().map(|(_, zombie)| zombie.ppid));
        Self { zombies, parents }
    }

    /// As [`read`](Self::read); `None` if that is not over by the deadline. A file of /proc can block
    /// its reader, when the process that it is about calls exec and its file system hangs.
    pub fn read_by(zombies: Vec<SnapshotEntry>, deadline: Deadline) -> Option<Self> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let reader = thread::Builder::new().name("proc".into());
        reader
            .spawn(move || {
                let _ = sender.send(Self::read(&zombies));
            })
            .ok()?;
        receiver.recv_timeout(deadline.left()).ok()
    }

    /// Why they are still there, by pid; those that are gone by now, or have another parent, are left
    /// out. `list` lists those that there are now.
    ///
    /// # Errors
    /// Those of `list`.
    pub fn diagnoses<E>(
        self,
        list: impl FnOnce() -> Result<Vec<SnapshotEntry>, E>,
    ) -> Result<HashMap<u32, Diagnosis>, E> {
        let Self { zombies, parents } = self;
        if zombies.is_empty() {
            return Ok(HashMap::new());
        }
        let identity = |entry: &SnapshotEntry| (entry.record.pid, entry.record.start_boottime);
        let still_there: HashMap<_, u32> = list()?
            .iter()
            .map(|entry| (identity(entry), entry.now.ppid))
            .collect();
        let diagnosis = |(entry, mut zombie): (SnapshotEntry, ZombieFacts)| {
            if still_there.get(&identity(&entry)) != Some(&zombie.ppid) {
                return None;
            }
            let parent = parents.get(zombie.ppid);
            if zombie.pids.is_empty() && parent.is_some_and(ParentFacts::waits_for_some) {
                zombie = all_facts(entry.record.pid)?;
            }
            let facts = Facts {
                zombie: &zombie,
                parent,
            };
            Some((entry.record.pid, diagnose(facts)))
        };
        Ok(zombies.into_iter().filter_map(diagnosis).collect())
    }
}

fn directory(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// The process of a pid: its name.
fn comm(pid: u32) -> Option<Comm> {
    let stat = files::Stat::read(&directory(pid)).ok()?;
    Some(stat.comm)
}

/// The path of a process's cgroup v2.
pub fn cgroup(pid: u32) -> Option<String> {
    files::cgroup(&directory(pid))
}

/// The process that a process or thread number belongs to, if it exists.
pub fn process_of(tid: u32) -> Option<u32> {
    files::Status::read(&directory(tid)).ok()?.number("Tgid")
}

/// A process, its parent, and so on: pid and name.
pub fn ancestors(pid: u32) -> Vec<(u32, Comm)> {
    let mut ancestors = Vec::new();
    let mut next = pid;
    while next != 0
        && ancestors.iter().all(|(pid, _)| *pid != next)
        && let Ok(stat) = files::Stat::read(&directory(next))
    {
        ancestors.push((next, stat.comm));
        next = stat.ppid;
    }
    ancestors
}

/// The children of a process that live, and those that are zombies.
pub fn children(pid: u32) -> (Vec<u32>, Vec<u32>) {
    let mut children: Vec<(u32, u8)> = numbers_in(Path::new("/proc"))
        .into_iter()
        .filter_map(|child| {
            let stat = files::Stat::read(&directory(child)).ok()?;
            (stat.ppid == pid).then_some((child, stat.state))
        })
        .collect();
    children.sort_unstable();
    let (zombies, living): (Vec<_>, Vec<_>) =
        children.into_iter().partition(|(_, state)| *state == b'Z');
    let pids = |children: Vec<(u32, u8)>| children.into_iter().map(|(pid, _)| pid).collect();
    (pids(living), pids(zombies))
}

/// The parent of every process that there is.
pub fn parents_of_all() -> HashMap<u32, u32> {
    numbers_in(Path::new("/proc"))
        .into_iter()
        .filter_map(|pid| Some((pid, files::Stat::read(&directory(pid)).ok()?.ppid)))
        .collect()
}

/// Whether the caller has the rights of a tracer over a process (`ptrace_may_access`).
fn may_trace(directory: &Path) -> bool {
    files::Syscall::read(directory) != files::Syscall::Unreadable
}

/// The numbers that a directory's entries are named by.
fn numbers_in(directory: &Path) -> Vec<u32> {
    std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}
