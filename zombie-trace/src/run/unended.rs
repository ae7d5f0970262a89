//! Looks for processes that have begun to end and do not come to their end. Neither a hook nor the
//! kernel's list has them: they are found in /proc.

use std::{collections::HashMap, io, time::Duration};

use zombie_trace_common::SnapshotEntry;

use crate::{
    cause::{Facts, diagnose},
    kernel::KernelScope,
    lifecycle::{Lifecycle, WallClock},
    model::{Alive, Cause},
    run::accounts,
    system::{
        Subtree, place_of,
        proc::{self, Proc, UnendedProcess},
    },
};

/// A process that takes longer than this for its end is dying.
pub(super) const DYING_AFTER: Duration = Duration::from_secs(1);

/// Two looks are at least this far apart.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The looks take at most a five-hundredth of the time: longer ones delay the processes of a storm.
pub(super) const LOOK_SHARE: u32 = 500;

/// The part of a scope that /proc decides.
#[derive(Debug, Default)]
pub(super) struct Members {
    scope: KernelScope,
    subtree: Option<Subtree>,
}

impl Members {
    /// The processes in this scope.
    pub(super) fn of(scope: KernelScope) -> io::Result<Self> {
        let subtree = scope.cgroup.clone().map(Subtree::new).transpose()?;
        Ok(Self { scope, subtree })
    }

    /// Only the kernel side knows who belongs to a tree.
    pub(super) fn is_tree(&self) -> bool {
        self.scope.tree.is_some()
    }

    /// Whether it is one, where it belongs to the tree if there is one.
    pub(super) fn has(&mut self, process: &UnendedProcess) -> bool {
        let KernelScope {
            pids,
            ppids,
            containers,
            ..
        } = &self.scope;
        if !(pids.is_empty() || pids.contains(&process.pid))
            || !(ppids.is_empty() || ppids.contains(&process.ppid))
        {
            return false;
        }
        if containers.is_empty() && self.subtree.is_none() {
            return true;
        }
        let Some((path, is_removed)) = process.cgroup() else {
            return false;
        };
        let in_container =
            containers.is_empty() || containers.iter().any(|wanted| wanted.matches_path(&path));
        let subtree = self.subtree.as_mut();
        in_container && subtree.is_none_or(|subtree| subtree.contains(&path, is_removed))
    }
}

/// Since when the processes of the kernel's list exit, by pid (monotonic, ns).
pub(super) fn exits(existing: &[SnapshotEntry]) -> HashMap<u32, u64> {
    let dying = existing.iter().filter(|entry| !accounts::is_zombie(entry));
    let dated = dying.filter(|entry| entry.record.exit_time != 0);
    dated
        .map(|entry| (entry.record.pid, entry.record.exit_time))
        .collect()
}

/// A process whose main thread alone has ended, as it is listed: not before it can be reaped is it a
/// zombie, but everybody takes it for one. `None` if that is over. `now`: monotonic, in ns.
pub(super) fn without_leader(
    proc: &Proc,
    process: &UnendedProcess,
    now: u64,
    wall: &WallClock,
) -> Option<Alive> {
    let existing = proc.zombie(process.pid)?;
    let diagnosis = diagnose(Facts {
        zombie: &existing.facts,
        parent: None,
        history: None,
    });
    if diagnosis.cause != Cause::LeaderWithThreads {
        return None;
    }
    let clocks = proc::run_queue_clocks([existing.entry.now.cpu]);
    let mut entry = existing.entry;
    let parent = process.parent_comm();
    if let Some(comm) = parent {
        entry.record.parent_comm = comm.to_raw();
    }
    let mut lifecycle = Lifecycle::new(0);
    lifecycle.adopt(&entry, &clocks, wall);
    let place = place_of(existing.cgroup.as_deref());
    let alive = lifecycle.alive(&entry.record, now, wall, place);
    Some(Alive {
        parent_comm: parent,
        foreign: None,
        runtime: alive.ppid.and_then(|ppid| proc.language_runtime(ppid)),
        looked_at: Some(alive.ts),
        ..alive.because(Some(&diagnosis))
    })
}
