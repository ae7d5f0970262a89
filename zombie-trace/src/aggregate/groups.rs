use std::{cmp::Reverse, hash::Hash};

use foldhash::HashMap;

use super::group::Group;
use crate::model::{Alive, Zombie};

/// As many are kept apart at the most, and as many with a histogram: a bound on memory, of some
/// 5 MiB.
pub(super) const MOST: usize = 4096;
pub(super) const MOST_HISTOGRAMS: usize = 128;

/// Processes by something that they have in common. Where there are too many groups the smaller
/// ones are put together.
#[derive(Clone, Debug)]
pub(super) struct Groups<K> {
    groups: HashMap<K, Group>,
    /// How many of them have a histogram.
    histograms: usize,
    /// Of those that are not kept apart any more, and that have nothing known in common.
    others: K,
}

impl<K: Clone + Eq + Hash + Ord> Groups<K> {
    pub(super) fn new(others: K) -> Self {
        Self {
            groups: HashMap::default(),
            histograms: 0,
            others,
        }
    }

    /// The group of that key; gives whether it is new.
    pub(super) fn get(&mut self, key: &K) -> (&mut Group, bool) {
        let is_new = !self.groups.contains_key(key);
        if self.groups.len() >= MOST && is_new {
            self.fold();
        }
        (self.groups.entry(key.clone()).or_default(), is_new)
    }

    /// Takes in a process that is gone. Gives whether the group is new.
    pub(super) fn zombie(&mut self, key: &K, zombie: &Zombie, in_run: u64, is_exact: bool) -> bool {
        self.change(key, |group| group.zombie(zombie, in_run, is_exact))
    }

    /// Takes in an exact zombie time.
    pub(super) fn time(&mut self, key: &K, zombie_ns: u64) {
        self.change(key, |group| group.time(zombie_ns));
    }

    fn change(&mut self, key: &K, change: impl FnOnce(&mut Group)) -> bool {
        let (group, is_new) = self.get(key);
        let had_histogram = group.has_histogram();
        change(group);
        if group.has_histogram() && !had_histogram {
            self.histograms += 1;
            if self.histograms > MOST_HISTOGRAMS {
                self.fold();
            }
        }
        is_new
    }

    /// Takes in a zombie that still exists.
    pub(super) fn alive(&mut self, key: &K, alive: &Alive, in_run: u64) {
        self.get(key).0.alive(alive, in_run);
    }

    /// The process of that key has ended.
    pub(super) fn end(&mut self, key: &K) {
        if let Some(group) = self.groups.get_mut(key) {
            group.end();
        }
    }

    /// How many have a histogram.
    #[cfg(test)]
    pub(super) fn histograms(&self) -> usize {
        self.histograms
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.groups.contains_key(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Group)> {
        self.groups.iter()
    }

    /// Keeps the worse half apart, and the sum of the others.
    fn fold(&mut self) {
        let mut others = self.groups.remove(&self.others).unwrap_or_default();
        let mut groups: Vec<_> = self.groups.drain().collect();
        groups.sort_unstable_by(|(key, group), (other_key, other)| {
            (Reverse(group.zombie_time()), key).cmp(&(Reverse(other.zombie_time()), other_key))
        });
        for (_, group) in groups.drain(groups.len() / 2..) {
            others.merge(&group);
        }
        self.groups.extend(groups);
        self.groups.insert(self.others.clone(), others);
        self.histograms = self
            .groups
            .values()
            .filter(|group| group.has_histogram())
            .count();
    }
}
