//! When a parent reaps: how many in the last minute, and the longest time without a reap. Pure.

use std::collections::VecDeque;

use jiff::Timestamp;

/// The past that is counted, s.
const COUNTED: i64 = 60;

/// The reaps of one parent while it is watched. A bounded memory.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedPace {
    /// The last reap, or the start.
    last: Option<Timestamp>,
    reaps: u64,
    longest_ns: u64,
    /// Seconds since 1970 with reaps in them, and how many.
    seconds: VecDeque<(i64, u64)>,
}

impl WatchedPace {
    /// It is watched from now on.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.last = Some(at);
    }

    /// It has reaped a child.
    pub(super) fn reaped(&mut self, at: Timestamp) {
        self.gap(at);
        self.reaps += 1;
        let second = at.as_second();
        match self.seconds.back_mut() {
            // The clock may be set back.
            Some((last, count)) if *last >= second => *count += 1,
            _ => self.seconds.push_back((second, 1)),
        }
        self.forget(second);
    }

    /// It is watched no more.
    pub(super) fn end(&mut self, at: Timestamp) {
        self.gap(at);
        self.forget(at.as_second());
    }

    /// How often it has reaped in the last minute.
    pub(super) fn in_last_minute(&self) -> u64 {
        self.seconds.iter().map(|(_, count)| count).sum()
    }

    /// How often it has reaped at all.
    pub(super) fn reaps(&self) -> u64 {
        self.reaps
    }

    /// The longest time between two reaps, or between a reap and the start or the end, ns.
    pub(super) fn longest_ns(&self) -> u64 {
        self.longest_ns
    }

    fn gap(&mut self, at: Timestamp) {
        if let Some(last) = self.last.replace(at) {
            let gap = u64::try_from(at.duration_since(last).as_nanos()).unwrap_or(0);
            self.longest_ns = self.longest_ns.max(gap);
        }
    }

    fn forget(&mut self, now: i64) {
        while self
            .seconds
            .front()
            .is_some_and(|(second, _)| now - second >= COUNTED)
        {
            self.seconds.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn the_longest_gap_may_be_the_first_or_the_last() {
        let mut pace = WatchedPace::default();
        pace.begin(at(0));
        pace.reaped(at(300));
        pace.reaped(at(400));
        assert_eq!(pace.longest_ns(), 300_000_000);
        pace.end(at(2_000));
        assert_eq!(pace.longest_ns(), 1_600_000_000);
        assert_eq!((pace.reaps(), pace.in_last_minute()), (2, 2));
    }

    #[test]
    fn a_minute_is_remembered() {
        let mut pace = WatchedPace::default();
        pace.begin(at(0));
        for second in 0..200 {
            pace.reaped(at(second * 1_000));
            pace.reaped(at(second * 1_000 + 500));
        }
        pace.end(at(199_900));
        assert_eq!((pace.reaps(), pace.in_last_minute()), (400, 120));
        assert!(pace.seconds.len() <= 61);
    }
}
