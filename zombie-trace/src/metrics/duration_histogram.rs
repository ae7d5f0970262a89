use super::ExponentialHistogram;

/// Upper bounds of the buckets but the last, ns: 1, 2 and 5 times each power of ten from 1 µs to
/// 500 s.
///
/// The same for every series and every host, for only equal buckets can be added up. A reap takes
/// microseconds if the parent waits already and minutes if it leaks, so that their width has to be
/// relative. The bounds are those that alerts are made of (10 ms, 1 s).
pub const BOUNDS_NS: [u64; 27] = bounds();

const fn bounds() -> [u64; 27] {
    let mut bounds = [0; 27];
    let mut index = 0;
    let mut decade = 1_000;
    while index < bounds.len() {
        bounds[index] = decade;
        bounds[index + 1] = 2 * decade;
        bounds[index + 2] = 5 * decade;
        decade *= 10;
        index += 3;
    }
    bounds
}

/// How many durations lie in each bucket, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurationHistogram {
    counts: [u64; BOUNDS_NS.len() + 1],
    sum_ns: u64,
    /// The same in finer buckets, if they are asked for.
    exponential: Option<ExponentialHistogram>,
}

impl DurationHistogram {
    /// Keeps an exponential histogram as well.
    pub fn with_exponential() -> Self {
        Self {
            exponential: Some(ExponentialHistogram::default()),
            ..Self::default()
        }
    }

    /// Takes in a duration, ns.
    pub fn record(&mut self, ns: u64) {
        self.counts[BOUNDS_NS.partition_point(|&bound| bound < ns)] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        if let Some(exponential) = &mut self.exponential {
            exponential.record(ns);
        }
    }

    /// The same in exponential buckets; `None` if they are not kept.
    pub fn exponential(&self) -> Option<&ExponentialHistogram> {
        self.exponential.as_ref()
    }

    /// How many durations lie above the bound before and not above this one; the last bucket has
    /// no bound.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum, s.
    pub fn sum_seconds(&self) -> f64 {
        seconds(self.sum_ns)
    }
}

/// The unit of both monitoring systems.
pub(super) fn seconds(ns: u64) -> f64 {
    // A quotient of two whole numbers is rounded once: 1 µs is 1e-6 and not its neighbour.
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_go_from_a_microsecond_to_minutes() {
        assert_eq!(BOUNDS_NS[..4], [1_000, 2_000, 5_000, 10_000]);
        assert_eq!(BOUNDS_NS.last(), Some(&500_000_000_000));
        assert!(BOUNDS_NS.is_sorted());
        assert_eq!(
            BOUNDS_NS.map(seconds)[..4],
            [0.000_001, 0.000_002, 0.000_005, 0.000_01]
        );
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = DurationHistogram::default();
        for ns in [0, 1_000, 1_001, 500_000_000_000, 500_000_000_001] {
            histogram.record(ns);
        }
        assert_eq!(histogram.counts()[..2], [2, 1]);
        assert_eq!(histogram.counts()[26..], [1, 1]);
        assert_eq!(histogram.count(), 5);
    }

    #[test]
    fn the_sum_saturates() {
        let mut histogram = DurationHistogram::default();
        histogram.record(u64::MAX);
        histogram.record(u64::MAX);
        assert_eq!(histogram.sum_seconds(), seconds(u64::MAX));
    }
}
