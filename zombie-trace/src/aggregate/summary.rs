use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    CauseSummary, CommSummary, ContainerSummary, Log2Histogram, ParentSummary, samples::Samples,
};
use crate::model::{Counts, StackTotals};

/// The end of a run: the JSON object `summary` but for its `type` and `ts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// Processes that are gone and were listed.
    #[serde(default)]
    pub listed: u64,
    /// The part of all zombies' time that lies in the run, in ns: of those that were reaped, of those
    /// that are still zombies, and of those that were before the run.
    #[serde(default)]
    pub zombie_time_ns: u64,
    /// The age of the oldest zombie that is left at the end of the run, in ns.
    #[serde(default)]
    pub oldest_ns: Option<u64>,
    /// Zombies that were reaped, but whose time is not exact: they are in no percentile.
    #[serde(default)]
    pub inexact: u64,
    /// The zombie times that are exact.
    pub zombie_ns: ZombieTimes,
    /// Processes by parent, the most zombie time first. The tracer's own children are in none.
    pub by_parent: Vec<ParentSummary>,
    /// The same by command name.
    #[serde(default)]
    pub by_comm: Vec<CommSummary>,
    /// The same by container, of those that are in one.
    #[serde(default)]
    pub by_container: Vec<ContainerSummary>,
    /// Zombies by why they lingered.
    #[serde(default)]
    pub by_cause: Vec<CauseSummary>,
    /// The recording ends before the run's own summary: this is what it adds up to.
    #[serde(skip)]
    pub(crate) is_cut: bool,
    /// How well samples of parents cover the run; `None` if none were asked for.
    #[serde(default)]
    pub stacks: Option<StackTotals>,
    /// The zombie times in powers of two, in ns.
    #[serde(skip)]
    pub(crate) histogram: Log2Histogram,
}

impl Summary {
    /// All living zombies of the scope at the end of the run. `counts.alive` leaves out the pre-existing
    /// ones.
    pub fn living(&self) -> u64 {
        let by_comm = self.by_comm.iter().map(|row| row.group.alive);
        let by_parent = self.by_parent.iter().map(|row| row.group.alive);
        let add = u64::saturating_add;
        // The tracer's own children are in no row of a parent, and old recordings have parents only.
        let sums = [by_comm.fold(0, add), by_parent.fold(0, add)];
        sums.into_iter().fold(self.counts.alive, u64::max)
    }
}

/// How long processes were zombies, in ns; all but the count are `None` when that is 0.
///
/// Percentiles are exact for a few thousand zombies, and rounded up by at most 0.1 % beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
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
