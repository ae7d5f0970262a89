use std::ops::Range;

/// How many numbers lie between one power of two and the next.
pub type Log2Histogram = LogHistogram<0>;

/// To one part in 32.
pub type FineHistogram = LogHistogram<5>;

/// How many numbers lie in ranges that grow with them: each power of two is parted in 2ᴮ equal
/// ones, and the numbers below 2ᴮ are on their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHistogram<const B: u32> {
    counts: Vec<u64>,
}

impl<const B: u32> Default for LogHistogram<B> {
    fn default() -> Self {
        Self {
            counts: vec![0; bucket(u64::MAX, B) + 1],
        }
    }
}

impl<const B: u32> LogHistogram<B> {
    /// Takes in a number.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Takes in a number several times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        let sum = &mut self.counts[bucket(value, B)];
        *sum = sum.saturating_add(count);
    }

    /// Takes in another one's numbers.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.saturating_add(*count);
        }
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
        (first..end).map(|bucket| (range(bucket, B), self.counts[bucket]))
    }
}

impl<const B: u32> LogHistogram<B> {
    /// The same with one first bucket, from 0, of all that begin below `error`: nothing is known about
    /// differences there.
    pub(crate) fn buckets_from(&self, error: u64) -> Vec<(Range<u64>, u64)> {
        let (fine, mut all): (Vec<_>, Vec<_>) =
            self.buckets().partition(|(range, _)| range.start < error);
        if let Some((last, _)) = fine.last() {
            let count = fine.iter().map(|(_, count)| count);
            let count = count.fold(0, |sum: u64, count| sum.saturating_add(*count));
            all.insert(0, (0..last.end, count));
        }
        all
    }
}

/// The same for few numbers: only the buckets that are not empty take memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SparseHistogram<const B: u32> {
    /// Bucket and count, ascending.
    counts: Vec<(u16, u32)>,
}

impl<const B: u32> SparseHistogram<B> {
    /// Takes in a number.
    pub(crate) fn record(&mut self, value: u64) {
        self.add(bucket(value, B) as u16, 1);
    }

    /// Takes in another one's numbers.
    pub(crate) fn merge(&mut self, other: &Self) {
        for &(bucket, count) in &other.counts {
            self.add(bucket, count);
        }
    }

    /// Takes out another one's numbers, which were taken in before.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for &(bucket, count) in &other.counts {
            let found = self
                .counts
                .binary_search_by_key(&bucket, |(bucket, _)| *bucket);
            if let Ok(at) = found {
                let left = self.counts[at].1.saturating_sub(count);
                match left {
                    0 => drop(self.counts.remove(at)),
                    left => self.counts[at].1 = left,
                }
            }
        }
    }

    /// Takes out a number, which was taken in before.
    pub(crate) fn subtract_one(&mut self, value: u64) {
        let counts = vec![(bucket(value, B) as u16, 1)];
        self.subtract(&Self { counts });
    }

    fn add(&mut self, bucket: u16, count: u32) {
        match self
            .counts
            .binary_search_by_key(&bucket, |(bucket, _)| *bucket)
        {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(count),
            Err(at) => self.counts.insert(at, (bucket, count)),
        }
    }

    /// How many numbers there are.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Whether there are no numbers.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The nearest-rank percentile of this many thousandths, rounded up to the end of its bucket.
    pub(crate) fn permille(&self, permille: u64) -> Option<u64> {
        let rank = (self.count() * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        let (bucket, _) = self.counts.iter().find(|(_, count)| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        let range = range(usize::from(*bucket), B);
        Some(range.end - 1)
    }

    /// The range and count of each bucket that is not empty.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (Range<u64>, u64)> + '_ {
        let counts = self.counts.iter();
        counts.map(|&(bucket, count)| (range(usize::from(bucket), B), u64::from(count)))
    }
}

fn bucket(value: u64, bits: u32) -> usize {
    let octave = (u64::BITS - value.leading_zeros()).saturating_sub(bits + 1);
    // Without the leading one that all of an octave have, but those below 2ᴮ.
    ((octave as usize) << bits) + (value >> octave) as usize
}

fn range(bucket: usize, bits: u32) -> Range<u64> {
    let octave = (bucket >> bits).saturating_sub(1);
    let step = (bucket - (octave << bits)) as u64;
    let start = step << octave;
    start..start.saturating_add(1 << octave)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn buckets<const B: u32>(values: &[u64]) -> Vec<(Range<u64>, u64)> {
        let mut histogram = LogHistogram::<B>::default();
        values.iter().for_each(|&value| histogram.record(value));
        histogram.buckets().collect()
    }

    #[test]
    fn empty_ends_are_left_out() {
        assert_eq!(buckets::<0>(&[]), []);
        assert_eq!(
            buckets::<0>(&[5, 6, 17]),
            [(4..8, 2), (8..16, 0), (16..32, 1)]
        );
    }

    #[test]
    fn one_bucket_is_below_the_error() {
        let mut histogram = LogHistogram::<0>::default();
        for value in [5, 17, 30, 40, 200] {
            histogram.record(value);
        }
        let found = histogram.buckets_from(25);
        assert_eq!(
            found,
            [(0..32, 3), (32..64, 1), (64..128, 0), (128..256, 1)]
        );
        let all: Vec<_> = histogram.buckets().collect();
        assert_eq!(histogram.buckets_from(0), all);
        assert_eq!(LogHistogram::<0>::default().buckets_from(25), []);
    }

    #[test]
    fn edges() {
        assert_eq!(buckets::<0>(&[0, 0, 1]), [(0..1, 2), (1..2, 1)]);
        assert_eq!(
            buckets::<0>(&[1023, 1024]),
            [(512..1024, 1), (1024..2048, 1)]
        );
        assert_eq!(buckets::<0>(&[u64::MAX]), [(1 << 63..u64::MAX, 1)]);
    }

    #[test]
    fn fine_edges() {
        assert_eq!(
            buckets::<5>(&[30, 31, 32, 63, 64, 65, 66]).split_off(33),
            [(63..64, 1), (64..66, 2), (66..68, 1)]
        );
        assert_eq!(buckets::<5>(&[u64::MAX]), [(63 << 58..u64::MAX, 1)]);
    }

    #[test]
    fn a_sparse_one_finds_percentiles() {
        let mut sparse = SparseHistogram::<4>::default();
        assert_eq!(sparse.permille(500), None);
        let mut other = sparse.clone();
        (1..=50).for_each(|value| sparse.record(value));
        (51..=100).for_each(|value| other.record(value));
        sparse.merge(&other);
        assert_eq!(sparse.count(), 100);
        for (permille, value) in [(0, 1), (10, 1), (500, 50), (990, 99), (1000, 100)] {
            let found = sparse.permille(permille).unwrap();
            // Never below the true one.
            assert!(
                (value..=value + value / 16).contains(&found),
                "{permille}: {found}"
            );
        }
        let counts: u64 = sparse.buckets().map(|(_, count)| count).sum();
        assert_eq!(counts, 100);
        sparse.subtract(&other);
        assert_eq!((sparse.count(), sparse.permille(1000)), (50, Some(51)));
        assert!(sparse.buckets().all(|(_, count)| count > 0));
    }

    #[test]
    fn ranges_follow_one_another() {
        let last = bucket(u64::MAX, 5);
        for bucket in 0..last {
            assert_eq!(range(bucket, 5).end, range(bucket + 1, 5).start, "{bucket}");
        }
    }

    proptest! {
        #[test]
        fn each_number_is_in_its_range_which_is_narrow(value: u64, shift in 0..64_u32) {
            let value = value >> shift;
            let range = range(bucket(value, 5), 5);
            prop_assert!(range.contains(&value) || value == u64::MAX);
            prop_assert!(range.end - range.start <= (range.start / 32).max(1));
        }
    }
}
