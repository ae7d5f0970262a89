//! The zombies that exist at one moment: one look, which everything that is about them uses.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use zombie_trace_common::SnapshotEntry;

use crate::{lifecycle::TaskId, model::Alive};

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
impl Census<'_> {
    /// The oldest zombie of each parent of these zombies, unless it is among them.
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
}
