use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Log2Histogram, samples::Samples};
use crate::{
    container::Container,
    model::{Comm, Counts, Phase, longest},
};

/// The end of a run: the JSON object `summary` but for its `type` and `ts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// When the run ended.
    #[serde(skip_serializing)]
    pub ts: Timestamp,
    /// How long it lasted, in ns.
    pub duration_ns: u64,
    /// What became of the processes in scope.
    #[serde(flatten)]
    pub counts: Counts,
    /// Nothing was lost.
    pub complete: bool,
    /// The zombie times of the listed processes that were reaped.
    pub zombie_ns: ZombieTimes,
    /// The same by parent, the largest total first.
    pub by_parent: Vec<ParentSummary>,
    /// The same by container, of those that are in one.
    #[serde(default)]
    pub by_container: Vec<ContainerSummary>,
    /// The zombie times in powers of two, in ns.
    #[serde(skip)]
    pub histogram: Log2Histogram,
}

/// How long processes were zombies, in ns; all but the count are `None` when that is 0.
///
/// Percentiles are exact for a few thousand zombies, and to three digits beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZombieTimes {
    /// How many there were.
    pub count: u64,
    /// The shortest, exact.
    pub min: Option<u64>,
    /// The arithmetic mean, rounded down.
    pub mean: Option<u64>,
    /// The median.
    pub p50: Option<u64>,
    /// What 90 % do not exceed.
    pub p90: Option<u64>,
    /// What 99 % do not exceed.
    pub p99: Option<u64>,
    /// What 99.9 % do not exceed.
    pub p999: Option<u64>,
    /// The longest, exact.
    pub max: Option<u64>,
}

impl From<&Samples> for ZombieTimes {
    fn from(times: &Samples) -> Self {
        Self {
            count: times.count(),
            min: times.min(),
            mean: times.mean(),
            p50: times.permille(500),
            p90: times.permille(900),
            p99: times.permille(990),
            p999: times.permille(999),
            max: times.max(),
        }
    }
}

/// The listed children of one parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentSummary {
    /// The parent, in the tracer's pid namespace.
    pub ppid: Option<u32>,
    /// Its command name.
    pub comm: Option<Comm>,
    /// Zombies that were reaped.
    pub reaped: u64,
    /// Children that the kernel released at once, listed or not.
    pub autoreaped: u64,
    /// Zombies that are still there.
    pub alive: u64,
    /// The median of the zombie times, to two digits where there are many.
    pub p50_ns: Option<u64>,
    /// What 99 % of them do not exceed, to two digits where there are many.
    pub p99_ns: Option<u64>,
    /// The longest, exact.
    pub max_ns: Option<u64>,
    /// Their sum, exact.
    pub total_ns: u64,
    /// Where that time went, of the zombies whose phases are known; `None` if there is none.
    pub phases: Option<PhaseTotals>,
}

/// The listed zombies of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSummary {
    /// The container; all of it `None` for those that are not kept apart.
    #[serde(flatten)]
    pub container: Container,
    /// Zombies that were reaped.
    pub reaped: u64,
    /// Processes that the kernel released at once, listed or not.
    pub autoreaped: u64,
    /// Zombies that are still there.
    pub alive: u64,
    /// The median of the zombie times, to two digits where there are many.
    pub p50_ns: Option<u64>,
    /// What 99 % of them do not exceed, to two digits where there are many.
    pub p99_ns: Option<u64>,
    /// The longest, exact.
    pub max_ns: Option<u64>,
    /// Their sum, exact.
    pub total_ns: u64,
}

/// The sum of each of [`Phases`](crate::model::Phases), in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are those of Phases")]
pub struct PhaseTotals {
    pub notify_ns: u64,
    pub parent_not_waiting_ns: u64,
    pub runqueue_ns: u64,
    pub tracer_ns: u64,
    pub reap_ns: u64,
}

impl PhaseTotals {
    /// The phase that took the most, and its share of all, in per cent.
    pub fn worst(&self) -> (Phase, u64) {
        let times = self.times();
        let worst = longest(times);
        let total: u128 = times.iter().map(|&time| u128::from(time)).sum();
        let most = times.iter().max().copied().unwrap_or(0);
        let share = (u128::from(most) * 100 + total / 2).checked_div(total);
        (worst, share.map_or(100, |share| share as u64))
    }

    /// The sum of those of several parents; `None` if none of them has any.
    pub fn sum<'a>(totals: impl IntoIterator<Item = &'a Option<Self>>) -> Option<Self> {
        let add = |a: [u64; 5], b: [u64; 5]| std::array::from_fn(|n| a[n].saturating_add(b[n]));
        let times = totals.into_iter().flatten().map(Self::times);
        times.reduce(add).map(Self::from)
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.times().into_iter().fold(0, u64::saturating_add)
    }

    /// In the order of [`Phase::ALL`].
    pub fn times(&self) -> [u64; 5] {
        [
            self.notify_ns,
            self.parent_not_waiting_ns,
            self.runqueue_ns,
            self.tracer_ns,
            self.reap_ns,
        ]
    }
}

impl From<[u64; 5]> for PhaseTotals {
    fn from(
        [
            notify_ns,
            parent_not_waiting_ns,
            runqueue_ns,
            tracer_ns,
            reap_ns,
        ]: [u64; 5],
    ) -> Self {
        Self {
            notify_ns,
            parent_not_waiting_ns,
            runqueue_ns,
            tracer_ns,
            reap_ns,
        }
    }
}
