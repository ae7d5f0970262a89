//! The zombies that exist at one moment: one look, which everything that is about them uses.

use std::collections::HashMap;

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

    #[test]
    fn parents_by_the_number_of_their_zombies() {
        let entry = SnapshotEntry::default();
        let counted = |ppid, age_ns| Counted {
            id: (0, 0),
            entry: &entry,
            alive: Alive {
                ppid,
                age_ns,
                ..fixtures::alive()
            },
        };
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
