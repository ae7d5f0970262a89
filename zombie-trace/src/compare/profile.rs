use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    mem,
};

use super::{lingering::OfRun, scale};
use crate::{
    aggregate::{Summary, ZombieTimes},
    model::Comm,
};

/// A run is cut into 65 to 128 blocks once it has as many zombies, or intervals.
pub(super) const MAX_BLOCKS: usize = 128;
/// As many parents' names are kept apart at the most. With [`MAX_BLOCKS`], the bound on memory:
/// some 25 MiB if every parent's times spread over three powers of ten, mostly far less.
const MAX_PARENTS: usize = 32;
/// The relative width of an interval's buckets, at the most.
const BUCKET_WIDTH: f64 = 1.0 / 32.0;
/// As many names of others are remembered, so that none is taken for new later.
const MAX_OTHERS: usize = 4096;
/// No run has more zombies, nor takes longer: a recording that says so was tampered with. Sums of
/// [`MAX_BLOCKS`] blocks drawn at random must still be numbers.
const MOST_ZOMBIES: u64 = 1 << 53;
const LONGEST_RUN: u64 = 1 << 56;

/// The zombie times of a run in the order of their ends, in consecutive blocks, overall and by the
/// parent's command name.
///
/// A block holds so many zombies, or intervals; their number doubles whenever there are too many
/// blocks, so a run of any length takes bounded memory.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    pub(super) overall: BlockTimes,
    pub(super) parents: HashMap<Option<Comm>, BlockTimes>,
    /// Parents that are not kept apart.
    pub(super) others: HashSet<Option<Comm>>,
    /// How many zombies they had.
    pub(super) of_others: u64,
    /// The length of each block, ns.
    pub(super) spans: Vec<u64>,
    /// Their sum.
    duration_ns: u64,
    /// How many zombies the buckets of intervals have.
    in_buckets: u64,
    /// Blocks are halved in number by twos, so this is a power of two.
    units_per_block: u64,
    units_in_last: u64,
    last_end_ns: Option<i64>,
    /// It has intervals, whose buckets are wider than steps.
    has_intervals: bool,
    /// What a zombie time is exact to, in ns.
    pub(super) error_ns: u64,
    /// Zombies that were not reaped; `None` if that is not known, as of a run without a summary.
    pub(super) lingering: Option<OfRun>,
}

/// How often each step of the scale was met in a block.
type Counts = BTreeMap<u16, u64>;

/// Zombie times in blocks. Count, sum and extremes are exact.
#[derive(Clone, Debug)]
pub(super) struct BlockTimes {
    /// Blocks at the end without a zombie may be missing.
    pub(super) blocks: Vec<Counts>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for BlockTimes {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }
}

impl Profile {
    /// An empty run that begins then, in ns since the epoch.
    pub fn begin(ns: i64) -> Self {
        Self {
            last_end_ns: Some(ns),
            ..Self::default()
        }
    }

    /// Takes in a zombie that was reaped at a time, in ns since the epoch.
    pub fn zombie(&mut self, reaped_ns: i64, parent: Option<Comm>, zombie_ns: u64) {
        let block = self.add(reaped_ns, zombie_ns);
        if let Some(times) = self.parent(parent) {
            times.add(block, scale::step(zombie_ns), 1);
            times.extend(1, zombie_ns.into(), zombie_ns, zombie_ns);
        } else {
            self.of_others += 1;
        }
    }

    /// The same for a child of the tracer, which is no parent in a comparison.
    pub fn own_child(&mut self, reaped_ns: i64, zombie_ns: u64) {
        self.add(reaped_ns, zombie_ns);
    }

    /// Gives the block that it belongs to.
    fn add(&mut self, reaped_ns: i64, zombie_ns: u64) -> usize {
        let since = reaped_ns.saturating_sub(self.last_end_ns.unwrap_or(reaped_ns));
        let block = self.unit(u64::try_from(since).unwrap_or(0));
        self.last_end_ns = self.last_end_ns.max(Some(reaped_ns));
        let step = scale::step(zombie_ns);
        self.overall.add(block, step, 1);
        self.overall
            .extend(1, zombie_ns.into(), zombie_ns, zombie_ns);
        block
    }

    /// Takes in an interval of a run of which single zombies are not known: `histogram` has the
    /// begin (included), the end (excluded) and the count of each bucket.
    pub fn interval(
        &mut self,
        duration_ns: u64,
        times: &ZombieTimes,
        histogram: &[(u64, u64, u64)],
    ) {
        let block = self.unit(duration_ns);
        self.has_intervals = true;
        for &(start, end, count) in histogram {
            let last = end.saturating_sub(1).max(start);
            let count = count.min(MOST_ZOMBIES - self.in_buckets);
            self.in_buckets += count;
            self.overall.add(block, scale::step(last), count);
        }
        if let (Some(min), Some(mean), Some(max)) = (times.min, times.mean, times.max) {
            let sum = u128::from(mean) * u128::from(times.count);
            self.overall
                .extend(times.count, sum, min.min(max), max.max(min));
        }
    }

    /// The run has lasted so long, and nothing more happened.
    pub fn end(&mut self, duration_ns: u64) {
        let duration_ns = duration_ns.min(LONGEST_RUN);
        if let Some(last) = self.spans.last_mut() {
            *last += duration_ns.saturating_sub(self.duration_ns);
        }
    }

    /// Takes in what only the summary has: the zombies that were not reaped.
    pub fn summary(&mut self, summary: &Summary) {
        self.lingering = Some(OfRun::new(summary));
    }

    /// What a zombie time is exact to, in ns.
    pub fn exact_to(&mut self, error_ns: u64) {
        self.error_ns = error_ns;
    }

    /// Whether a parent of this name has children in it.
    pub(super) fn knows(&self, parent: Option<Comm>) -> bool {
        let of_run = self.lingering.as_ref();
        self.parents.contains_key(&parent)
            || self.others.contains(&parent)
            || of_run.is_some_and(|of_run| of_run.parents.contains_key(&parent))
    }

    /// How many zombies there were.
    pub fn count(&self) -> u64 {
        self.overall.count()
    }

    /// The relative width of what a time is rounded to.
    pub(super) fn resolution(&self) -> f64 {
        if self.has_intervals {
            BUCKET_WIDTH
        } else {
            scale::WIDTH
        }
    }

    /// How long they lasted.
    pub fn zombie_ns(&self) -> ZombieTimes {
        self.overall.summary()
    }

    /// The block that the next zombie or interval belongs to, which ends so much later than the one
    /// before.
    fn unit(&mut self, ns: u64) -> usize {
        if self.spans.is_empty() || self.units_in_last == self.units_per_block {
            if self.spans.len() == MAX_BLOCKS {
                self.join();
            }
            self.units_per_block = self.units_per_block.max(1);
            self.units_in_last = 0;
            self.spans.push(0);
        }
        self.units_in_last += 1;
        let block = self.spans.len() - 1;
        let ns = ns.min(LONGEST_RUN - self.duration_ns);
        self.duration_ns += ns;
        self.spans[block] += ns;
        block
    }

    /// Makes one block of every two.
    fn join(&mut self) {
        self.units_per_block *= 2;
        self.spans = self.spans.chunks(2).map(|pair| pair.iter().sum()).collect();
        for times in self.parents.values_mut().chain([&mut self.overall]) {
            times.join();
        }
    }

    /// A parent that is kept apart.
    fn parent(&mut self, parent: Option<Comm>) -> Option<&mut BlockTimes> {
        if !self.parents.contains_key(&parent) {
            if self.others.contains(&parent) || self.others.len() >= MAX_OTHERS {
                return None;
            }
            if self.parents.len() == MAX_PARENTS {
                self.fold();
            }
        }
        Some(self.parents.entry(parent).or_default())
    }

    /// Keeps the half of the parents apart that has more zombies.
    fn fold(&mut self) {
        let mut parents: Vec<_> = self.parents.drain().collect();
        parents.sort_unstable_by_key(|(comm, times)| (Reverse(times.count), *comm));
        for (comm, times) in parents.drain(MAX_PARENTS / 2..) {
            self.others.insert(comm);
            self.of_others += times.count;
        }
        self.parents.extend(parents);
    }
}

impl BlockTimes {
    fn add(&mut self, block: usize, step: u16, count: u64) {
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, Counts::new);
        }
        *self.blocks[block].entry(step).or_default() += count;
    }

    fn extend(&mut self, count: u64, sum: u128, min: u64, max: u64) {
        self.count = self.count.saturating_add(count);
        self.sum = self.sum.saturating_add(sum);
        self.min = self.min.min(min);
        self.max = self.max.max(max);
    }

    fn join(&mut self) {
        let mut joined = Vec::with_capacity(self.blocks.len().div_ceil(2));
        for pair in self.blocks.chunks_mut(2) {
            let mut counts = mem::take(&mut pair[0]);
            for (&step, count) in pair.get(1).into_iter().flatten() {
                *counts.entry(step).or_default() += count;
            }
            joined.push(counts);
        }
        self.blocks = joined;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Percentiles to a per cent, as coarse as the buckets of intervals if there are only those, and never
    /// below the true ones; the others exact.
    pub(super) fn summary(&self) -> ZombieTimes {
        if self.count == 0 {
            return ZombieTimes::default();
        }
        let mut all = Counts::new();
        for (&step, count) in self.blocks.iter().flatten() {
            *all.entry(step).or_default() += count;
        }
        let permille = |permille: u64| {
            let total: u64 = all.values().sum();
            let rank = (u128::from(total) * u128::from(permille))
                .div_ceil(1000)
                .max(1);
            let mut seen = 0;
            let (step, _) = all.iter().find(|(_, count)| {
                seen += u128::from(**count);
                seen >= rank
            })?;
            Some(scale::last(*step).clamp(self.min, self.max))
        };
        ZombieTimes {
            count: self.count,
            min: Some(self.min),
            mean: u64::try_from(self.sum / u128::from(self.count)).ok(),
            p50: permille(500),
            p90: permille(900),
            p99: permille(990),
            p999: permille(999),
            max: Some(self.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(count: u64) -> Profile {
        let mut profile = Profile::begin(0);
        for n in 1..=count {
            profile.zombie(n as i64 * 10, Some("sh".into()), 1000 * n);
        }
        profile
    }

    #[test]
    fn blocks_are_bounded_and_nothing_is_lost() {
        for count in [0, 1, 2, 127, 128, 129, 256, 257, 1000, 100_000] {
            let profile = run(count);
            let blocks = profile.spans.len();
            assert!(blocks <= MAX_BLOCKS);
            assert!(blocks as u64 > count.min(MAX_BLOCKS as u64) / 2 || count == 0);
            assert_eq!(profile.spans.iter().sum::<u64>(), count * 10);
            let counted = profile.overall.blocks.iter().flatten();
            assert_eq!(counted.map(|(_, count)| count).sum::<u64>(), count);
            assert_eq!(profile.overall.count(), count);
        }
    }

    #[test]
    fn blocks_are_consecutive_and_equal() {
        let profile = run(1000);
        let sizes: Vec<u64> = profile
            .overall
            .blocks
            .iter()
            .map(|block| block.values().sum())
            .collect();
        assert_eq!(sizes.len(), 125);
        assert!(sizes.iter().all(|&size| size == 8), "{sizes:?}");
        let last = profile.overall.blocks[124].keys().next().unwrap();
        assert!(scale::middle(*last) > 980_000.0);
    }

    #[test]
    fn figures_are_those_of_the_run() {
        let times = run(1000).overall.summary();
        assert_eq!(
            (times.count, times.min, times.max),
            (1000, Some(1000), Some(1_000_000))
        );
        assert_eq!(times.mean, Some(500_500));
        for (found, exact) in [
            (times.p50, 500_000),
            (times.p99, 990_000),
            (times.p999, 999_000),
        ] {
            assert!(
                (exact..=exact + exact / 100).contains(&found.unwrap()),
                "{found:?} {exact}"
            );
        }
        assert_eq!(Profile::default().overall.summary(), ZombieTimes::default());
    }

    #[test]
    fn numbers_of_no_run_are_no_trouble() {
        let mut profile = Profile::begin(i64::MIN);
        let times = ZombieTimes {
            count: u64::MAX,
            min: Some(u64::MAX),
            mean: Some(u64::MAX),
            max: Some(1),
            ..ZombieTimes::default()
        };
        for _ in 0..3 * MAX_BLOCKS {
            let bucket = (u64::MAX, 0, u64::MAX);
            profile.interval(u64::MAX, &times, &[bucket, (0, u64::MAX, u64::MAX)]);
        }
        profile.end(u64::MAX);
        let summary = profile.zombie_ns();
        assert_eq!((summary.count, summary.max), (u64::MAX, Some(u64::MAX)));
        assert!(summary.p50.is_some());
        super::super::compare(&profile, &profile);
    }

    #[test]
    fn the_greatest_parents_are_kept() {
        let mut profile = Profile::begin(0);
        for n in 0..10_000_u64 {
            profile.zombie(0, Some("make".into()), n);
            profile.zombie(0, Some(format!("sh{}", n % 1000).as_str().into()), n);
        }
        assert!(profile.parents.len() <= MAX_PARENTS);
        let kept: u64 = profile.parents.values().map(BlockTimes::count).sum();
        assert_eq!(kept + profile.of_others, 20_000);
        assert_eq!(profile.parents[&Some("make".into())].count(), 10_000);
    }

    #[test]
    fn an_interval_is_a_block() {
        let mut profile = Profile::default();
        let times = ZombieTimes {
            count: 3,
            min: Some(100),
            mean: Some(200),
            p50: Some(101),
            p90: Some(400),
            p99: Some(400),
            p999: Some(400),
            max: Some(400),
        };
        for _ in 0..3 {
            profile.interval(1_000_000, &times, &[(100, 104, 2), (400, 408, 1)]);
            profile.interval(1_000_000, &ZombieTimes::default(), &[]);
        }
        assert_eq!(profile.spans, [1_000_000; 6]);
        let summary = profile.overall.summary();
        assert_eq!(
            (summary.count, summary.p50, summary.max),
            (9, Some(103), Some(400))
        );
        assert_eq!(summary.mean, Some(200));
    }
}
