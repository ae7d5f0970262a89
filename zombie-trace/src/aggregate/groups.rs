use std::{cmp::Reverse, hash::Hash};

use foldhash::HashMap;

use super::by_parent::Parent;

/// As many are kept apart at the most, and as many with a histogram: a bound on memory, of some
/// 5 MiB.
pub(super) const MOST: usize = 4096;
pub(super) const MOST_HISTOGRAMS: usize = 128;

/// Processes by something that they have in common. Where there are too many groups the smaller
/// ones are put together.
#[derive(Debug)]
pub(super) struct Groups<K> {
    groups: HashMap<K, Parent>,
    /// How many of them have a histogram.
    histograms: usize,
    /// Of those that are not kept apart any more, and that have nothing known in common.
    others: K,
}

impl<K: Copy + Eq + Hash + Ord> Groups<K> {
    pub(super) fn new(others: K) -> Self {
        Self {
            groups: HashMap::default(),
            histograms: 0,
            others,
        }
    }

    /// The group of that key.
    pub(super) fn get(&mut self, key: K) -> &mut Parent {
        if self.groups.len() >= MOST && !self.groups.contains_key(&key) {
            self.fold();
        }
        self.groups.entry(key).or_default()
    }

    /// Takes a zombie time into the group of that key, which it gives.
    pub(super) fn record(&mut self, key: K, zombie_ns: u64) -> &mut Parent {
        let group = self.get(key);
        let was_exact = !group.times.is_rounded();
        group.times.record(zombie_ns);
        let mut kept = key;
        if was_exact && group.times.is_rounded() {
            self.histograms += 1;
            if self.histograms > MOST_HISTOGRAMS {
                self.fold();
                // It may be among the others now.
                if !self.groups.contains_key(&key) {
                    kept = self.others;
                }
            }
        }
        self.groups.entry(kept).or_default()
    }

    /// How many have a histogram.
    #[cfg(test)]
    pub(super) fn histograms(&self) -> usize {
        self.histograms
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &Parent)> {
        self.groups.iter().map(|(&key, group)| (key, group))
    }

    /// Keeps the worse half apart, and the sum of the others.
    fn fold(&mut self) {
        let mut others = self.groups.remove(&self.others).unwrap_or_default();
        let mut groups: Vec<_> = self.groups.drain().collect();
        groups.sort_unstable_by_key(|(key, group)| (Reverse(group.times.sum()), *key));
        for (_, group) in groups.drain(groups.len() / 2..) {
            others.merge(&group);
        }
        self.groups.extend(groups);
        self.groups.insert(self.others, others);
        self.histograms = self
            .groups
            .values()
            .filter(|group| group.times.is_rounded())
            .count();
    }
}
