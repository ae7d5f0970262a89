//! Zombie times, for percentiles.

use crate::aggregate::SparseHistogram;

/// This many times are kept as they are; more are kept to two digits. Both are as in the rows of the
/// summary, so that the percentiles are the same.
const EXACT: usize = 64;

/// A set of zombie times.
#[derive(Clone, Debug, Default)]
pub(crate) struct DurationSet {
    /// All of them, ascending, as long as they are few.
    few: Vec<u64>,
    /// All of them, once they are many.
    many: SparseHistogram<7>,
}

impl DurationSet {
    /// Takes in a time.
    pub(crate) fn record(&mut self, time: u64) {
        match self.is_rounded() || self.few.len() >= EXACT {
            true => self.rounded().record(time),
            false => {
                let at = self.few.partition_point(|other| *other < time);
                self.few.insert(at, time);
            }
        }
    }

    /// Takes in another set.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.few.iter().for_each(|time| self.record(*time));
        if other.is_rounded() {
            self.rounded().merge(&other.many);
        }
    }

    /// Takes out another set, which was taken in before.
    pub(crate) fn subtract(&mut self, other: &Self) {
        if self.is_rounded() {
            self.many.subtract(&other.many);
            for time in &other.few {
                self.many.subtract_one(*time);
            }
            return;
        }
        for time in &other.few {
            if let Ok(at) = self.few.binary_search(time) {
                self.few.remove(at);
            }
        }
    }

    fn is_rounded(&self) -> bool {
        !self.many.is_empty()
    }

    fn rounded(&mut self) -> &mut SparseHistogram<7> {
        for time in self.few.drain(..) {
            self.many.record(time);
        }
        &mut self.many
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.few.len() as u64 + self.many.count()
    }

    /// How many are shorter than this.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        let few = self.few.partition_point(|time| *time < limit) as u64;
        let many = self.many.buckets();
        let many = many.filter(|(range, _)| range.end <= limit);
        few + many.map(|(_, count)| count).sum::<u64>()
    }

    /// The nearest-rank percentile of this many thousandths: at least that part of the times is not longer.
    pub(crate) fn permille(&self, permille: u64) -> Option<u64> {
        if self.is_rounded() {
            return self.many.permille(permille);
        }
        let rank = (self.few.len() as u64 * permille).div_ceil(1000).max(1);
        self.few.get(rank as usize - 1).copied()
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        8 * (self.few.len() + self.many.buckets().count()).max(4)
    }
}

/// Two sets are the same if they have the same percentiles.
#[cfg(test)]
impl PartialEq for DurationSet {
    fn eq(&self, other: &Self) -> bool {
        if self.is_rounded() == other.is_rounded() {
            return self.few == other.few && self.many == other.many;
        }
        let [mut one, mut other] = [self.clone(), other.clone()];
        one.rounded() == other.rounded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Aggregate;
    use crate::model::{Counts, Zombie, fixtures};

    #[test]
    fn percentiles_are_those_of_a_row_of_the_summary() {
        for count in [1, 2, 63, 64, 65, 200, 5000] {
            let mut times = DurationSet::default();
            let mut aggregate = Aggregate::default();
            for number in 0..count {
                let zombie_ns = 1_000 + (number * 7919 % 1000) * 1_234_567;
                times.record(zombie_ns);
                let zombie = Zombie {
                    zombie_ns,
                    ..fixtures::zombie()
                };
                aggregate.zombie(&zombie, true);
            }
            let ts = fixtures::start().ts;
            let summary = aggregate.summary(Counts::default(), ts, std::time::Duration::ZERO);
            let row = &summary.by_parent[0].group;
            let longest = row.max_ns.unwrap();
            let rounded = |permille| times.permille(permille).map(|time| time.min(longest));
            assert_eq!(rounded(500), row.p50_ns, "{count}");
            assert_eq!(rounded(990), row.p99_ns, "{count}");
            assert_eq!(times.count(), row.reaped);
        }
    }

    #[test]
    fn what_is_taken_out_is_gone() {
        for (some, others) in [(3, 5), (3, 100), (100, 5), (100, 100)] {
            let set = |from: u64, count: u64| {
                let mut times = DurationSet::default();
                (from..from + count).for_each(|time| times.record(time * 1000));
                times
            };
            let (some_set, others_set) = (set(7, some), set(500, others));
            let mut all = some_set.clone();
            all.merge(&others_set);
            assert_eq!(all.count(), some + others);
            all.subtract(&some_set);
            assert_eq!(all, others_set);
            all.subtract(&others_set);
            assert_eq!((all.count(), all.permille(500)), (0, None));
        }
    }

    #[test]
    fn times_below_a_limit_are_counted() {
        let mut times = DurationSet::default();
        (1..=50).for_each(|ms| times.record(ms * 1_000_000));
        assert_eq!(times.below(10_000_000), 9);
        (51..=100).for_each(|ms| times.record(ms * 1_000_000));
        assert!(times.below(10_000_000).abs_diff(9) <= 1);
    }
}
