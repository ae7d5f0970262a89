use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use caps::Capability;
use zombie_trace_common::SnapshotEntry;

use super::{
    Parents, Proc,
    existing::{all_facts, plain_facts},
    patient,
};
use crate::{
    cause::{Facts, History, ParentFacts, ZombieFacts, diagnose},
    lifecycle::foreign,
    model::Diagnosis,
    system::{deadline::Deadline, privilege::raised},
};

/// What /proc says about some zombies and their parents.
pub struct Findings {
    zombies: Vec<(SnapshotEntry, ZombieFacts)>,
    parents: Parents,
}

impl Findings {
    fn read(proc: &Proc, zombies: &[SnapshotEntry], deadline: Deadline) -> Self {
        let zombies: Vec<(SnapshotEntry, ZombieFacts)> = zombies
            .iter()
            .filter(|entry| entry.record.pid != 0)
            .filter_map(|entry| {
                let plain = plain_facts(entry);
                Some((*entry, plain.or_else(|| all_facts(entry.record.pid))?))
            })
            .collect();
        // If there is no time for all parents, there is for those that matter most.
        let mut zombies_of: HashMap<u32, usize> = HashMap::new();
        for (_, zombie) in &zombies {
            *zombies_of.entry(zombie.ppid).or_default() += 1;
        }
        let mut by_zombies: Vec<_> = zombies_of.into_iter().collect();
        by_zombies.sort_unstable_by_key(|&(ppid, zombies)| (Reverse(zombies), ppid));
        let parents = proc.parents_by(by_zombies.into_iter().map(|(ppid, _)| ppid), deadline);
        Self { zombies, parents }
    }

    /// Looks at these zombies now; `None` if that is not over by the deadline.
    pub fn read_by(proc: &Proc, zombies: Vec<SnapshotEntry>, deadline: Deadline) -> Option<Self> {
        let proc = proc.clone();
        // Time for the rest, which is quick.
        let soon = deadline.or_after(deadline.left() / 2);
        // Capabilities are a thread's own.
        let read = move || {
            raised(Capability::CAP_SYS_PTRACE, || {
                Self::read(&proc, &zombies, soon)
            })
        };
        patient::within(deadline.left(), read)
    }

    /// Of how many there was no time to find the parents' state.
    pub fn skipped(&self) -> usize {
        let skipped =
            |zombie: &&(SnapshotEntry, ZombieFacts)| self.parents.was_skipped(zombie.1.ppid);
        self.zombies.iter().filter(skipped).count()
    }

    /// Why they are still there, by pid; those that are gone by now, or have another parent, are left
    /// out. `list` lists those that there are now, `history` is what was seen of a zombie's parent.
    ///
    /// # Errors
    /// Those of `list`.
    pub fn diagnoses<E>(
        self,
        list: impl FnOnce() -> Result<Vec<SnapshotEntry>, E>,
        history: impl Fn(&SnapshotEntry) -> Option<History>,
    ) -> Result<HashMap<u32, Diagnosis>, E> {
        let Self {
            zombies,
            mut parents,
        } = self;
        if zombies.is_empty() {
            return Ok(HashMap::new());
        }
        let identity = |entry: &SnapshotEntry| (entry.record.pid, entry.record.start_boottime);
        let listed = list()?;
        let still_there: HashMap<_, u32> = listed
            .iter()
            .map(|entry| (identity(entry), entry.now.ppid))
            .collect();
        // Before the look and after it.
        let lists = || zombies.iter().map(|(entry, _)| entry).chain(&listed);
        let waiting: HashSet<u32> = lists()
            .filter(|entry| entry.now.parent_waits != 0)
            .map(|entry| entry.now.ppid)
            .collect();
        for pid in lists().map(|entry| entry.now.ppid) {
            if !waiting.contains(&pid) {
                parents.waits_for_nobody(pid);
            }
        }
        let diagnosis = |(entry, mut zombie): (SnapshotEntry, ZombieFacts)| {
            if still_there.get(&identity(&entry)) != Some(&zombie.ppid) {
                return None;
            }
            if parents.was_skipped(zombie.ppid) {
                return None;
            }
            let parent = parents.get(zombie.ppid);
            if zombie.pids.is_empty() && parent.is_some_and(ParentFacts::looks_for_some) {
                zombie = all_facts(entry.record.pid)?;
            }
            zombie.foreign = foreign(entry.record_now().flags);
            let mut history = history(&entry);
            if let (Some(history), Some(age)) =
                (&mut history, parent.and_then(|parent| parent.age_ns))
            {
                history.watched_ns = history.watched_ns.min(age);
            }
            let facts = Facts {
                zombie: &zombie,
                parent,
                history: history.as_ref(),
            };
            Some((entry.record.pid, diagnose(facts)))
        };
        Ok(zombies.into_iter().filter_map(diagnosis).collect())
    }
}
