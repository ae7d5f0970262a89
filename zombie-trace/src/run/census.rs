//! The zombies that exist at one moment: one look, which everything that is about them uses.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use zombie_trace_common::SnapshotEntry;

use crate::{
    lifecycle::TaskId,
    model::{Alive, Comm},
};

/// All zombies in scope at one moment.
#[derive(Debug)]
pub struct Census<'a> {
    /// When that was.
    pub ts: Timestamp,
    /// The same on the monotonic clock, in ns.
    pub now: u64,
    /// Each of them, in the order in which the kernel lists them.
    pub zombies: Vec<Counted<'a>>,
}

/// A zombie in a census.
#[derive(Debug)]
pub struct Counted<'a> {
    /// What tells it from every other.
    pub id: TaskId,
    /// What the kernel says.
    pub entry: &'a SnapshotEntry,
    /// What becomes of that, without a cause.
    pub alive: Alive,
}

/// A parent with zombies, in a census.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentInCensus {
    /// The parent.
    pub ppid: u32,
    /// Its command name.
    pub comm: Comm,
    /// The number of its zombies.
    pub zombies: usize,
    /// The index of the oldest of them.
    pub oldest: usize,
    /// The age of the oldest, in ns.
    pub oldest_ns: u64,
}

impl Census<'_> {
    /// The oldest zombie of each parent of these zombies, where it is none of them.
    pub fn oldest_beside(&self, zombies: &[usize]) -> Vec<usize> {
        let parent = |index: usize| {
            let alive = &self.zombies[index].alive;
            (alive.ppid, alive.parent_comm)
        };
        let age = |index: usize| self.zombies[index].alive.age_ns;
        let mut oldest: HashMap<_, usize> = HashMap::new();
        for &index in zombies {
            oldest.insert(parent(index), index);
        }
        for index in 0..self.zombies.len() {
            if let Some(known) = oldest.get_mut(&parent(index))
                && age(index) > age(*known)
            {
                *known = index;
            }
        }
        let mut beside: Vec<_> = oldest.into_values().collect();
        let zombies: HashSet<_> = zombies.iter().collect();
        beside.retain(|index| !zombies.contains(index));
        beside.sort_unstable();
        beside
    }

    /// The parents that are known, the one with the most zombies first.
    pub fn parents(&self) -> Vec<ParentInCensus> {
        let mut parents: HashMap<(u32, Comm), ParentInCensus> = HashMap::new();
        for (index, Counted { alive, .. }) in self.zombies.iter().enumerate() {
            let (Some(ppid), Some(comm)) = (alive.ppid, alive.parent_comm) else {
                continue;
            };
            let parent = parents.entry((ppid, comm)).or_insert(ParentInCensus {
                ppid,
                comm,
                zombies: 0,
                oldest: index,
                oldest_ns: alive.age_ns,
            });
            parent.zombies += 1;
            if alive.age_ns > parent.oldest_ns {
                (parent.oldest, parent.oldest_ns) = (index, alive.age_ns);
            }
        }
        let mut parents: Vec<_> = parents.into_values().collect();
        parents.sort_by_key(|parent| (std::cmp::Reverse(parent.zombies), parent.ppid));
        parents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures;

    fn counted(entry: &SnapshotEntry, ppid: Option<u32>, age_ns: u64) -> Counted<'_> {
        Counted {
            id: (0, 0),
            entry,
            alive: Alive {
                ppid,
                age_ns,
                ..fixtures::alive()
            },
        }
    }

    #[test]
    fn the_oldest_is_looked_at_with_a_younger_one() {
        let entry = SnapshotEntry::default();
        let zombies = [(1, 70), (2, 5), (2, 9), (3, 20), (2, 7), (3, 8)];
        let zombies = zombies.map(|(ppid, age)| counted(&entry, Some(ppid), age));
        let census = Census {
            ts: Timestamp::UNIX_EPOCH,
            now: 0,
            zombies: zombies.into(),
        };
        assert_eq!(census.oldest_beside(&[1, 4]), [2]);
        assert_eq!(census.oldest_beside(&[1, 5]), [2, 3]);
        assert!(census.oldest_beside(&[0, 2]).is_empty());
        assert!(census.oldest_beside(&[]).is_empty());
    }

    #[test]
    fn parents_by_the_number_of_their_zombies() {
        let entry = SnapshotEntry::default();
        let counted = |ppid, age_ns| counted(&entry, ppid, age_ns);
        let census = Census {
            ts: Timestamp::UNIX_EPOCH,
            now: 0,
            zombies: vec![
                counted(Some(1), 70),
                counted(Some(2), 5),
                counted(None, 90),
                counted(Some(2), 9),
            ],
        };
        let found: Vec<_> = census
            .parents()
            .into_iter()
            .map(|parent| (parent.ppid, parent.zombies, parent.oldest, parent.oldest_ns))
            .collect();
        assert_eq!(found, [(2, 2, 3, 9), (1, 1, 0, 70)]);
    }
}
