use serde::{Deserialize, Serialize};

use crate::model::{Phase, longest};

/// The sum of each of [`Phases`](crate::model::Phases), in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are those of Phases")]
#[non_exhaustive]
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
