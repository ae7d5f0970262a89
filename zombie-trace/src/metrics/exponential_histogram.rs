/// The resolution: a bucket's upper bound is 2^(1/2^SCALE) = 1.09 times its lower one.
///
/// Fixed, so that the buckets of all series and hosts are the same. At this scale all durations that
/// there can be fill 514 buckets, and those from 1 µs to 500 s fill 232.
pub(super) const SCALE: i32 = 3;

const BUCKETS_PER_OCTAVE: f64 = (1 << SCALE) as f64;

/// How many durations lie in each bucket of a base-2 exponential histogram, as OpenTelemetry defines it:
/// bucket `i` holds what is above `base^i` s and not above `base^(i + 1)` s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExponentialHistogram {
    /// The index of the first bucket that is kept.
    offset: i32,
    /// That bucket and those after it, up to the last that is not empty.
    counts: Vec<u64>,
    /// Durations of 0, which lie in no bucket.
    zeros: u64,
}

impl ExponentialHistogram {
    /// Takes in a duration, ns.
    pub fn record(&mut self, ns: u64) {
        if ns == 0 {
            self.zeros += 1;
            return;
        }
        let index = index(ns);
        if self.counts.is_empty() {
            self.offset = index;
        }
        if index < self.offset {
            let more = (self.offset - index) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.offset = index;
        }
        let place = (index - self.offset) as usize;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
    }

    /// The index of the first of the [`counts`](Self::counts).
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// How many durations lie in each bucket, one after the other.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many durations were 0.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }
}

/// The bucket of a duration that is not 0.
fn index(ns: u64) -> i32 {
    let seconds = ns as f64 / 1e9;
    (seconds.log2() * BUCKETS_PER_OCTAVE).ceil() as i32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The upper bound of a bucket, s.
    fn upper(index: i32) -> f64 {
        (f64::from(index + 1) / BUCKETS_PER_OCTAVE).exp2()
    }

    #[test]
    fn each_duration_lies_between_its_bounds() {
        for exponent in 0..640 {
            let ns = (f64::from(exponent) / 10.0).exp2() as u64;
            let (index, seconds) = (index(ns), ns as f64 / 1e9);
            // The logarithm is rounded.
            assert!(seconds <= upper(index) * (1.0 + 1e-12), "{ns}");
            assert!(seconds > upper(index - 1) * (1.0 - 1e-12), "{ns}");
        }
        // A power of two is an upper bound.
        assert_eq!(index(1_000_000_000), -1);
        assert_eq!(index(1_000_000_001), 0);
        assert_eq!(index(2_000_000_000), 7);
        assert_eq!((index(1), index(u64::MAX)), (-240, 272));
    }

    #[test]
    fn it_grows_in_both_directions() {
        let mut histogram = ExponentialHistogram::default();
        for ns in [
            2_000_000_000,
            1_000_000_000,
            4_000_000_000,
            0,
            1_000_000_000,
        ] {
            histogram.record(ns);
        }
        assert_eq!(histogram.offset(), -1);
        let mut expected = [0; 17];
        (expected[0], expected[8], expected[16]) = (2, 1, 1);
        assert_eq!(histogram.counts(), expected);
        assert_eq!(histogram.zeros(), 1);
    }
}
