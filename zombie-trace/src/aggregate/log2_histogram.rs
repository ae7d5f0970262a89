use std::ops::Range;

/// How many numbers lie between one power of two and the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log2Histogram {
    /// Bucket 0 is for 0, bucket n for [2ⁿ⁻¹, 2ⁿ).
    counts: [u64; u64::BITS as usize + 1],
}

impl Default for Log2Histogram {
    fn default() -> Self {
        Self {
            counts: [0; u64::BITS as usize + 1],
        }
    }
}

impl Log2Histogram {
    /// Takes in a number.
    pub fn record(&mut self, value: u64) {
        self.counts[(u64::BITS - value.leading_zeros()) as usize] += 1;
    }

    /// The range and count of each bucket, from the first that is not empty to the last.
    ///
    /// The last bucket of all ends at 2⁶⁴−1, all others before the end of their range.
    pub fn buckets(&self) -> impl Iterator<Item = (Range<u64>, u64)> + '_ {
        let filled = |&count: &u64| count > 0;
        let first = self.counts.iter().position(filled).unwrap_or(0);
        let end = self
            .counts
            .iter()
            .rposition(filled)
            .map_or(0, |last| last + 1);
        (first..end).map(|bucket| (range(bucket), self.counts[bucket]))
    }
}

fn range(bucket: usize) -> Range<u64> {
    let Some(exponent) = bucket.checked_sub(1) else {
        return 0..1;
    };
    let start = 1 << exponent;
    start..start.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(values: &[u64]) -> Vec<(Range<u64>, u64)> {
        let mut histogram = Log2Histogram::default();
        values.iter().for_each(|&value| histogram.record(value));
        histogram.buckets().collect()
    }

    #[test]
    fn empty_ends_are_left_out() {
        assert_eq!(buckets(&[]), []);
        assert_eq!(buckets(&[5, 6, 17]), [(4..8, 2), (8..16, 0), (16..32, 1)]);
    }

    #[test]
    fn edges() {
        assert_eq!(buckets(&[0, 0, 1]), [(0..1, 2), (1..2, 1)]);
        assert_eq!(buckets(&[1023, 1024]), [(512..1024, 1), (1024..2048, 1)]);
        assert_eq!(buckets(&[u64::MAX]), [(1 << 63..u64::MAX, 1)]);
    }
}
