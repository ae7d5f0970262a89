use std::mem;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{FineHistogram, ZombieTimes, samples::Samples};
use crate::model::{Counts, Lost};

/// A part of a run: the JSON object `interval` but for its `type` and `ts`.
///
/// The parts follow one another without a gap, from the begin of the run to its end, and their
/// counts add up to those of the summary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// When it ended.
    #[serde(skip)]
    pub ts: Timestamp,
    /// When it ended, from the begin of the run, in ns.
    #[serde(skip)]
    pub elapsed_ns: u64,
    /// How long it was, in ns.
    pub duration_ns: u64,
    /// Processes that ended.
    pub exits: u64,
    /// Zombies that were reaped.
    pub reaped: u64,
    /// Processes that the kernel released at once.
    pub autoreaped: u64,
    /// Zombies that there were at its end, without those from before the run.
    pub alive: u64,
    /// Records that were not listed because of what was asked for.
    pub filtered: u64,
    /// What could not be reported.
    pub lost: Lost,
    /// The exact zombie times of those that were reaped, listed or not.
    pub zombie_ns: ZombieTimes,
    /// The same as counts.
    #[serde(serialize_with = "sparse")]
    pub histogram: FineHistogram,
}

/// `[[lower, upper, count], …]`, without those of count 0.
fn sparse<S: Serializer>(histogram: &FineHistogram, serializer: S) -> Result<S::Ok, S::Error> {
    let filled = histogram.buckets().filter(|(_, count)| *count > 0);
    serializer.collect_seq(filled.map(|(range, count)| [range.start, range.end, count]))
}

/// What has been seen since the last interval.
#[derive(Clone, Debug)]
pub(super) struct Since {
    times: Samples,
    histogram: FineHistogram,
    /// When the last one ended, from the begin of the run, in ns.
    begun: u64,
    /// What has been told of so far.
    told: Counts,
}

impl Since {
    /// Since the begin of the run.
    pub(super) fn new() -> Self {
        Self {
            times: Samples::default(),
            histogram: FineHistogram::default(),
            begun: 0,
            told: Counts::default(),
        }
    }

    /// Takes in a zombie time.
    pub(super) fn record(&mut self, zombie_ns: u64) {
        self.times.record(zombie_ns);
        self.histogram.record(zombie_ns);
    }

    /// An interval ends at `ts`, `elapsed_ns` from the begin of the run; `counts` are those since
    /// then. The next one begins.
    pub(super) fn end(&mut self, counts: Counts, ts: Timestamp, elapsed_ns: u64) -> Interval {
        // Those that are dying are not counted yet: there can be more of them than before.
        let counts = Counts {
            exits: counts.exits.max(self.told.exits),
            ..counts
        };
        let next = Self {
            begun: elapsed_ns,
            told: counts,
            ..Self::new()
        };
        let Self {
            times,
            histogram,
            begun,
            told,
        } = mem::replace(self, next);
        Interval {
            ts,
            elapsed_ns,
            duration_ns: elapsed_ns.saturating_sub(begun),
            exits: counts.exits - told.exits,
            reaped: counts.reaped.saturating_sub(told.reaped),
            autoreaped: counts.autoreaped.saturating_sub(told.autoreaped),
            alive: counts.alive,
            filtered: counts.filtered.saturating_sub(told.filtered),
            lost: counts.lost.since(&told.lost),
            zombie_ns: ZombieTimes::from(&times),
            histogram,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(exits: u64, reaped: u64, alive: u64) -> Counts {
        Counts {
            exits,
            reaped,
            alive,
            ..Counts::default()
        }
    }

    #[test]
    fn intervals_add_up() {
        let mut since = Since::new();
        let times = [5, 40, 1_000, 1_001, 1_000_000];
        let mut intervals = Vec::new();
        for (n, time) in (1..).zip(times) {
            since.record(time);
            let lost = Lost {
                missed: n / 2,
                ..Lost::default()
            };
            let counts = Counts {
                lost,
                filtered: 10 * n,
                ..counts(2 * n, n, n)
            };
            intervals.push(since.end(counts, Timestamp::UNIX_EPOCH, n * 100));
        }
        let sum = |of: fn(&Interval) -> u64| intervals.iter().map(of).sum::<u64>();
        assert_eq!(sum(|one| one.exits), 10);
        assert_eq!(sum(|one| one.reaped), 5);
        assert_eq!(sum(|one| one.filtered), 50);
        assert_eq!(sum(|one| one.lost.missed), 2);
        assert_eq!(sum(|one| one.duration_ns), 500);
        assert_eq!(sum(|one| one.zombie_ns.count), 5);
        let last = intervals.last().unwrap();
        assert_eq!((last.alive, last.elapsed_ns), (5, 500));
        assert_eq!(last.zombie_ns.max, Some(1_000_000));
    }

    #[test]
    fn an_exit_that_was_told_of_is_not_taken_back() {
        let mut since = Since::new();
        let ends = [counts(10, 9, 1), counts(8, 8, 0), counts(11, 11, 0)];
        let exits = ends.map(|counts| since.end(counts, Timestamp::UNIX_EPOCH, 1).exits);
        assert_eq!(exits, [10, 0, 1]);
    }

    #[test]
    fn the_histogram_is_sparse() {
        let mut since = Since::new();
        for time in [3, 3, 100, 101, 1 << 40] {
            since.record(time);
        }
        let interval = since.end(Counts::default(), Timestamp::UNIX_EPOCH, 1);
        let json = serde_json::to_value(&interval).unwrap();
        assert_eq!(
            json["histogram"],
            serde_json::json!([
                [3, 4, 2],
                [100, 102, 2],
                [1_u64 << 40, (1_u64 << 40) + (1 << 35), 1]
            ])
        );
    }
}
