//! A run over time, in bins of equal width that double as it grows longer: a bound on memory.

use serde::Serialize;

/// There are at most as many bins, and at least half as many of a long run.
const MOST_BINS: usize = 512;
/// There are at most as many columns.
const MOST_COLUMNS: usize = 128;
/// The width of bins at first, some ms.
const FIRST_WIDTH: u64 = 1 << 20;
/// With this, the bins reach to the end of all numbers.
const MAX_WIDTH: u64 = 1 << 55;

/// Each power of two of lifetimes is parted in so many ranges.
pub(crate) const PARTS: usize = 8;
/// Shorter lifetimes are in the first range.
const SHORTEST: u32 = 7;
/// Longer ones, of days, in the last.
const LONGEST: u32 = 50;
const RANGES: usize = (LONGEST - SHORTEST) as usize * PARTS;

/// What is known of a run so far.
#[derive(Debug)]
pub(crate) struct TimelineBuilder {
    width: u64,
    bins: Vec<Bin>,
    /// Where the last thing that is known ends, ns.
    end: u64,
}

#[derive(Clone, Debug)]
struct Bin {
    /// The time that zombies spent in it, ns; without those that were there all the time.
    spent: u64,
    /// How many more, or less, were there all the time than in the bin before.
    throughout: i64,
    /// Numbers of zombies that were told: their sum, and how many.
    told: (u64, u64),
    reaped: u64,
    /// By lifetime of those that were reaped.
    lifetimes: Box<[u32; RANGES]>,
    max: u64,
}

impl Default for Bin {
    fn default() -> Self {
        Self {
            spent: 0,
            throughout: 0,
            told: (0, 0),
            reaped: 0,
            lifetimes: Box::new([0; RANGES]),
            max: 0,
        }
    }
}

/// A run over time, to be shown. All times from its begin, in ns.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct TimelineSeries {
    /// How long it lasted.
    pub(crate) duration_ns: u64,
    /// The width of the parts that `alive` is about.
    pub(crate) bin_ns: u64,
    /// How many zombies there were in each part, on average.
    pub(crate) alive: Vec<f64>,
    /// The width of columns.
    pub(crate) column_ns: u64,
    /// The zombies that were reaped in each column.
    pub(crate) columns: Vec<TimeSlice>,
}

/// The zombies that were reaped in a part of a run, and how long they lasted, to one part in 16.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct TimeSlice {
    pub(crate) reaped: u64,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p90_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    /// Exact.
    pub(crate) max_ns: Option<u64>,
    /// How many lasted how long, by [`range_start`].
    #[serde(skip)]
    pub(crate) lifetimes: Vec<u64>,
}

impl Default for TimelineBuilder {
    fn default() -> Self {
        Self {
            width: FIRST_WIDTH,
            bins: Vec::new(),
            end: 0,
        }
    }
}

impl TimelineBuilder {
    /// So many were reaped at `at`, after about so long a life as zombies.
    pub(crate) fn reaped(&mut self, at: u64, zombie_ns: u64, count: u64) {
        let bin = self.bin(at);
        bin.reaped = bin.reaped.saturating_add(count);
        let lifetimes = &mut bin.lifetimes[range(zombie_ns)];
        *lifetimes = lifetimes.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        bin.max = bin.max.max(zombie_ns);
    }

    /// There was a zombie from `begin` to `end`.
    pub(crate) fn existed(&mut self, begin: u64, end: u64) {
        let begin = begin.min(end);
        self.bin(end);
        let (first, last) = (self.index(begin), self.index(end));
        if first == last {
            self.bins[last].spend(end - begin);
            return;
        }
        self.bins[first].spend((first as u64 + 1) * self.width - begin);
        self.bins[last].spend(end - last as u64 * self.width);
        self.bins[first + 1].throughout += 1;
        self.bins[last].throughout -= 1;
    }

    /// There were so many zombies at `at`, the end of so long an interval, of which nothing else is
    /// known.
    pub(crate) fn told(&mut self, at: u64, interval: u64, alive: u64) {
        // Beyond it is a mistake, and the width must stay a number.
        let interval = interval.min(MAX_WIDTH);
        while self.width < interval {
            self.double();
        }
        let bin = self.bin(at);
        bin.told.0 = bin.told.0.saturating_add(alive);
        bin.told.1 += 1;
    }

    /// It lasted until `end`.
    pub(crate) fn until(&mut self, end: u64) {
        self.bin(end);
    }

    /// The bin that `at` is in, which there is from now on.
    fn bin(&mut self, at: u64) -> &mut Bin {
        self.end = self.end.max(at);
        while self.index(at) >= MOST_BINS {
            self.double();
        }
        let index = self.index(at);
        if self.bins.len() <= index {
            self.bins.resize_with(index + 1, Bin::default);
        }
        &mut self.bins[index]
    }

    fn index(&self, at: u64) -> usize {
        (at / self.width) as usize
    }

    fn double(&mut self) {
        self.settle();
        let mut bins = std::mem::take(&mut self.bins).into_iter();
        while let Some(mut bin) = bins.next() {
            if let Some(next) = bins.next() {
                bin.take_in(&next);
            }
            self.bins.push(bin);
        }
        self.width *= 2;
    }

    /// Puts the time of those that were there throughout a bin where the others' is.
    fn settle(&mut self) {
        let mut throughout = 0;
        for bin in &mut self.bins {
            throughout += std::mem::take(&mut bin.throughout);
            bin.spend(
                u64::try_from(throughout)
                    .unwrap_or(0)
                    .saturating_mul(self.width),
            );
        }
    }

    /// To be shown.
    pub(crate) fn series(mut self) -> TimelineSeries {
        self.settle();
        let per_column = self.bins.len().div_ceil(MOST_COLUMNS).max(1);
        let alive = |(index, bin): (usize, &Bin)| {
            // Where zombies are listed, that tells more.
            if bin.told.1 > 0 && bin.spent == 0 {
                return bin.told.0 as f64 / bin.told.1 as f64;
            }
            let begin = index as u64 * self.width;
            let width = (self.end - begin).clamp(1, self.width);
            bin.spent as f64 / width as f64
        };
        TimelineSeries {
            duration_ns: self.end,
            bin_ns: self.width,
            alive: self.bins.iter().enumerate().map(alive).collect(),
            column_ns: self.width * per_column as u64,
            columns: self.bins.chunks(per_column).map(column).collect(),
        }
    }
}

impl Bin {
    fn spend(&mut self, ns: u64) {
        self.spent = self.spent.saturating_add(ns);
    }

    fn take_in(&mut self, other: &Self) {
        self.spend(other.spent);
        self.told.0 = self.told.0.saturating_add(other.told.0);
        self.told.1 += other.told.1;
        self.reaped = self.reaped.saturating_add(other.reaped);
        for (sum, count) in self.lifetimes.iter_mut().zip(other.lifetimes.iter()) {
            *sum = sum.saturating_add(*count);
        }
        self.max = self.max.max(other.max);
    }
}

fn column(bins: &[Bin]) -> TimeSlice {
    let sum = |range: usize| bins.iter().map(|bin| u64::from(bin.lifetimes[range])).sum();
    let lifetimes: Vec<u64> = (0..RANGES).map(sum).collect();
    let max = bins.iter().map(|bin| bin.max).max().unwrap_or(0);
    let count: u64 = lifetimes.iter().sum();
    let percentile = |percent: u64| {
        let rank = (count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let range = lifetimes.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        // Rounded up: no percentile is below the true one.
        Some((range_start(range + 1) - 1).min(max))
    };
    TimeSlice {
        reaped: bins
            .iter()
            .fold(0, |sum, bin| sum.saturating_add(bin.reaped)),
        p50_ns: percentile(50),
        p90_ns: percentile(90),
        p99_ns: percentile(99),
        max_ns: (count > 0).then_some(max),
        lifetimes,
    }
}

/// In which range of lifetimes it is.
fn range(ns: u64) -> usize {
    let Some(octave) = ns.checked_ilog2().filter(|&octave| octave >= SHORTEST) else {
        return 0;
    };
    let part = (ns >> (octave - PARTS.ilog2())) as usize % PARTS;
    ((octave - SHORTEST) as usize * PARTS + part).min(RANGES - 1)
}

/// The shortest lifetime of a range, but of the first.
pub(crate) fn range_start(range: usize) -> u64 {
    let octave = SHORTEST + (range / PARTS) as u32;
    ((PARTS + range % PARTS) as u64) << (octave - PARTS.ilog2())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// The time that zombies spent, of all bins.
    fn spent(series: &TimelineSeries) -> f64 {
        let bins = series.alive.iter().enumerate().map(|(index, alive)| {
            let begin = index as u64 * series.bin_ns;
            alive * (series.duration_ns - begin).min(series.bin_ns) as f64
        });
        bins.sum()
    }

    #[test]
    fn nothing_is_lost_as_it_grows() {
        let mut timeline = TimelineBuilder::default();
        let mut all = 0;
        for n in 0..10_000_u64 {
            let end = n * n * 1000 + 50_000_000;
            let lifetime = n * 7919 % 50_000_000;
            timeline.reaped(end, lifetime, 1);
            timeline.existed(end - lifetime, end);
            all += lifetime;
        }
        let series = timeline.series();
        assert!(series.alive.len() <= MOST_BINS && series.alive.len() >= MOST_BINS / 2);
        assert!(series.columns.len() <= MOST_COLUMNS);
        let reaped: u64 = series.columns.iter().map(|column| column.reaped).sum();
        assert_eq!(reaped, 10_000);
        assert!((spent(&series) - all as f64).abs() < 1e-6 * all as f64);
    }

    #[test]
    fn a_long_zombie_is_there_all_the_time() {
        let mut timeline = TimelineBuilder::default();
        timeline.existed(2 * SECOND, 8 * SECOND);
        timeline.existed(2 * SECOND, 8 * SECOND);
        timeline.until(10 * SECOND);
        let series = timeline.series();
        let alive = |second: f64| series.alive[(second * 1e9 / series.bin_ns as f64) as usize];
        assert_eq!(
            [alive(1.5), alive(3.0), alive(7.5), alive(9.0)],
            [0.0, 2.0, 2.0, 0.0]
        );
        assert_eq!(series.duration_ns, 10 * SECOND);
    }

    #[test]
    fn what_is_told_of_an_interval_is_not_spread() {
        let mut timeline = TimelineBuilder::default();
        for second in 1..=10 {
            timeline.told(second * SECOND + second, SECOND + 1, second % 2);
        }
        let series = timeline.series();
        assert!(series.bin_ns > SECOND);
        assert!(series.alive.iter().all(|&alive| alive <= 1.0));
        assert!(series.alive.iter().sum::<f64>() > 3.0);
    }

    #[test]
    fn percentiles_are_those_of_the_column() {
        let mut timeline = TimelineBuilder::default();
        for n in 1..=1000 {
            timeline.reaped(0, n * 1000, 1);
        }
        let series = timeline.series();
        let column = &series.columns[0];
        let near = |value: Option<u64>, right: u64| {
            let value = value.unwrap();
            assert!(
                (right..=right + right / 6).contains(&value),
                "{value} {right}"
            );
        };
        near(column.p50_ns, 500_000);
        near(column.p90_ns, 900_000);
        near(column.p99_ns, 990_000);
        assert_eq!(column.max_ns, Some(1_000_000));
    }

    #[test]
    fn empty_and_absurd_times_are_no_trouble() {
        let series = TimelineBuilder::default().series();
        assert!(series.alive.is_empty() && series.columns.is_empty());
        let mut timeline = TimelineBuilder::default();
        timeline.existed(0, u64::MAX);
        timeline.reaped(u64::MAX, u64::MAX, 1);
        timeline.existed(5, 3);
        timeline.told(7, u64::MAX, u64::MAX);
        timeline.told(8, u64::MAX, u64::MAX);
        timeline.reaped(9, 1, u64::MAX);
        timeline.reaped(9, 1, u64::MAX);
        assert_eq!(
            timeline.series().columns.last().unwrap().max_ns,
            Some(u64::MAX)
        );
    }

    #[test]
    fn ranges_follow_one_another() {
        for index in 1..RANGES {
            assert_eq!(range(range_start(index)), index);
            assert_eq!(range(range_start(index) - 1), index - 1);
        }
        assert_eq!((range(0), range(u64::MAX)), (0, RANGES - 1));
    }
}
