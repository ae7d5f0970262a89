use hdrhistogram::Histogram;

/// Of a run, numbers up to this many are kept as they are, which makes their percentiles exact.
const EXACT_TIMES: usize = 4096;
const DIGITS: u8 = 3;
/// The largest value that a histogram that grows by itself can take: 146 years of ns.
const HISTOGRAM_MAX: u64 = i64::MAX as u64 / 2;
/// As many numbers are taken into a histogram at the most: it adds its counts up unchecked. Only a
/// recording that was tampered with has more.
const MOST_IN_HISTOGRAM: u64 = 1 << 62;

/// A set of numbers of which percentiles are asked: a short one is kept as it is, a long one as a
/// histogram of so many significant digits. Count, sum, minimum and maximum are always exact.
#[derive(Clone, Debug)]
pub struct Samples {
    values: Values,
    exact: usize,
    digits: u8,
    count: u64,
    min: u64,
    max: u64,
    sum: u128,
}

#[derive(Clone, Debug)]
enum Values {
    Exact(Vec<u64>),
    Rounded(Box<Histogram<u64>>),
}

impl Default for Samples {
    /// As that of a run.
    fn default() -> Self {
        Self::new(EXACT_TIMES, DIGITS)
    }
}

impl Samples {
    /// An empty set that is exact up to `exact` numbers, and to `digits` (1 to 5) beyond.
    pub(super) fn new(exact: usize, digits: u8) -> Self {
        let values = Values::Exact(Vec::new());
        Self {
            values,
            exact,
            digits,
            count: 0,
            min: u64::MAX,
            max: 0,
            sum: 0,
        }
    }

    pub(crate) fn record(&mut self, value: u64) {
        self.count = self.count.saturating_add(1);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum = self.sum.saturating_add(value.into());
        match &mut self.values {
            Values::Exact(values) if values.len() < self.exact => values.push(value),
            _ => record_rounded(self.rounded(), value),
        }
    }

    /// Takes in the same number several times.
    pub(super) fn record_n(&mut self, value: u64, count: u64) {
        if count <= self.exact as u64 && !self.is_rounded() {
            (0..count).for_each(|_| self.record(value));
            return;
        }
        if count == 0 {
            return;
        }
        self.count = self.count.saturating_add(count);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let sum = u128::from(value) * u128::from(count);
        self.sum = self.sum.saturating_add(sum);
        let histogram = self.rounded();
        let room = MOST_IN_HISTOGRAM.saturating_sub(histogram.len());
        histogram
            .record_n(value.min(HISTOGRAM_MAX), count.min(room))
            .expect("it grows by itself up to this");
    }

    /// Of what was recorded, the sum is not `rounded` but `exact`.
    pub(super) fn correct_sum(&mut self, rounded: u128, exact: u128) {
        self.sum = self.sum.saturating_sub(rounded).saturating_add(exact);
    }

    /// As a histogram, which it becomes.
    fn rounded(&mut self) -> &mut Histogram<u64> {
        if let Values::Exact(values) = &self.values {
            let mut histogram = Histogram::new(self.digits).expect("1 to 5 digits");
            for &value in values {
                record_rounded(&mut histogram, value);
            }
            self.values = Values::Rounded(Box::new(histogram));
        }
        match &mut self.values {
            Values::Rounded(histogram) => histogram,
            Values::Exact(_) => unreachable!("it is a histogram now"),
        }
    }

    /// Takes in another set; where that is a histogram its percentiles keep their precision.
    pub fn merge(&mut self, other: &Self) {
        let count = self.count.saturating_add(other.count);
        let sum = self.sum.saturating_add(other.sum);
        let (min, max) = (self.min.min(other.min), self.max.max(other.max));
        match &other.values {
            Values::Exact(values) => values.iter().for_each(|&value| self.record(value)),
            Values::Rounded(histogram) => {
                let rounded = self.rounded();
                if rounded.len() + histogram.len() <= MOST_IN_HISTOGRAM {
                    rounded.add(&**histogram).expect("it grows by itself");
                }
            }
        }
        (self.count, self.sum, self.min, self.max) = (count, sum, min, max);
    }

    /// Whether it has become a histogram.
    pub(super) fn is_rounded(&self) -> bool {
        matches!(self.values, Values::Rounded(_))
    }

    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    pub(crate) fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    #[cfg(test)]
    fn sum(&self) -> u64 {
        u64::try_from(self.sum).unwrap_or(u64::MAX)
    }

    pub(super) fn mean(&self) -> Option<u64> {
        let mean = self.sum.checked_div(u128::from(self.count))?;
        // The count stops at the largest number, the sum goes on.
        Some(u64::try_from(mean).unwrap_or(u64::MAX).min(self.max))
    }

    /// The quantile of this many thousandths.
    pub(super) fn permille(&self, permille: u32) -> Option<u64> {
        self.quantile(Quantile(permille * (Quantile::ALL / 1000)))
    }

    /// The smallest of the numbers that at least this part of them does not exceed (the nearest-rank
    /// percentile).
    pub fn quantile(&self, Quantile(part): Quantile) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        Some(match &self.values {
            Values::Exact(values) => {
                let all = u64::from(Quantile::ALL);
                let rank = (self.count * u64::from(part)).div_ceil(all).max(1);
                let mut values = values.clone();
                *values.select_nth_unstable(rank as usize - 1).1
            }
            Values::Rounded(histogram) => histogram
                .value_at_quantile(f64::from(part) / f64::from(Quantile::ALL))
                .clamp(self.min, self.max),
        })
    }
}

/// A part of a set, in `Quantile::ALL`ths: 99 % are 990,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantile(pub(crate) u32);

impl Quantile {
    /// All of it.
    pub(crate) const ALL: u32 = 1_000_000;
    /// The median.
    pub const P50: Self = Self(500_000);
    /// 90 %.
    pub const P90: Self = Self(900_000);
    /// 99 %.
    pub const P99: Self = Self(990_000);
    /// 99.9 %.
    pub const P999: Self = Self(999_000);
}

fn record_rounded(histogram: &mut Histogram<u64>, value: u64) {
    histogram
        .record(value.min(HISTOGRAM_MAX))
        .expect("it grows by itself up to this");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(exact: usize, values: impl IntoIterator<Item = u64>) -> Samples {
        let mut samples = Samples::new(exact, 3);
        values.into_iter().for_each(|value| samples.record(value));
        samples
    }

    #[test]
    fn a_merged_set_is_that_of_all() {
        for (few, many) in [(3, 5), (3, 40), (40, 3), (40, 50)] {
            let mut merged = samples(10, (0..few).map(|value| value * 1000));
            merged.merge(&samples(10, (few..few + many).map(|value| value * 1000)));
            let all = samples(10, (0..few + many).map(|value| value * 1000));
            assert_eq!(
                (merged.count(), merged.sum(), merged.min(), merged.max()),
                (all.count(), all.sum(), all.min(), all.max())
            );
            let (median, right) = (merged.permille(500).unwrap(), all.permille(500).unwrap());
            assert!(
                median.abs_diff(right) <= right / 500 + 1,
                "{median} {right}"
            );
        }
    }

    #[test]
    fn many_at_a_time_are_as_many_one_by_one() {
        for (few, many) in [(3, 4), (8, 5), (2, 1000), (0, 11)] {
            let mut at_once = samples(10, 0..few);
            at_once.record_n(7000, many);
            let one_by_one = samples(10, (0..few).chain((0..many).map(|_| 7000)));
            for permille in [0, 100, 500, 900, 1000] {
                assert_eq!(at_once.permille(permille), one_by_one.permille(permille));
            }
            assert_eq!(
                (at_once.count(), at_once.sum(), at_once.min(), at_once.max()),
                (
                    one_by_one.count(),
                    one_by_one.sum(),
                    one_by_one.min(),
                    one_by_one.max()
                )
            );
        }
    }

    #[test]
    fn counts_beyond_all_numbers_do_not_panic() {
        let mut samples = samples(10, []);
        for value in [u64::MAX, 7, u64::MAX] {
            samples.record_n(value, u64::MAX);
        }
        let mut merged = Samples::new(10, 3);
        merged.merge(&samples);
        merged.merge(&samples);
        for samples in [samples, merged] {
            assert_eq!((samples.count(), samples.sum()), (u64::MAX, u64::MAX));
            assert_eq!(
                [samples.min(), samples.mean(), samples.max()],
                [Some(7), Some(u64::MAX), Some(u64::MAX)]
            );
            assert!(samples.permille(500) >= Some(7));
        }
    }

    #[test]
    fn empty() {
        let samples = samples(10, []);
        assert_eq!(samples.count(), 0);
        assert_eq!(samples.sum(), 0);
        assert_eq!(
            [
                samples.min(),
                samples.max(),
                samples.mean(),
                samples.permille(500)
            ],
            [None; 4]
        );
    }

    #[test]
    fn one_zero() {
        let samples = samples(10, [0]);
        assert_eq!(
            [
                samples.min(),
                samples.max(),
                samples.mean(),
                samples.permille(999)
            ],
            [Some(0); 4]
        );
    }

    #[test]
    fn short_sets_are_exact() {
        let samples = samples(100, (1..=100).rev());
        assert_eq!(samples.permille(0), Some(1));
        assert_eq!(samples.permille(500), Some(50));
        assert_eq!(samples.permille(990), Some(99));
        assert_eq!(samples.permille(999), Some(100));
        assert_eq!(samples.mean(), Some(50));
    }

    #[test]
    fn long_sets_keep_their_digits() {
        let samples = samples(100, (1..=100_000).map(|value| value * 1000));
        for (permille, exact) in [(500, 50_000_000_u64), (900, 90_000_000), (999, 99_900_000)] {
            let rounded = samples.permille(permille).unwrap();
            assert!(
                rounded.abs_diff(exact) <= exact / 1000,
                "{permille}: {rounded}"
            );
        }
        assert_eq!(
            (samples.min(), samples.max()),
            (Some(1000), Some(100_000_000))
        );
        assert_eq!(samples.sum(), 5_000_050_000_000);
    }

    #[test]
    fn becoming_long_loses_nothing() {
        let below = samples(10, 0..10);
        let above = samples(9, 0..10);
        assert!(matches!(below.values, Values::Exact(_)));
        assert!(matches!(above.values, Values::Rounded(_)));
        for permille in [1, 100, 500, 900, 1000] {
            assert_eq!(below.permille(permille), above.permille(permille));
        }
    }

    #[test]
    fn no_percentile_is_beyond_the_extremes() {
        let samples = samples(1, [1_234_567_891; 3]);
        assert_eq!(samples.permille(500), Some(1_234_567_891));
    }

    #[test]
    fn huge_values_do_not_panic() {
        let samples = samples(1, [u64::MAX; 3]);
        assert_eq!(samples.max(), Some(u64::MAX));
        assert_eq!(samples.mean(), Some(u64::MAX));
        assert_eq!(samples.sum(), u64::MAX);
    }
}
