use super::{ParentSummary, PhaseTotals, samples::Samples};
use crate::model::{Comm, Phases};

/// Most parents have few children, and there can be very many parents: a histogram, of some
/// 10 KiB, is only for those that have many.
const EXACT_TIMES: usize = 64;
const DIGITS: u8 = 2;

/// The children of one parent.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) times: Samples,
    pub(super) autoreaped: u64,
    pub(super) alive: u64,
    /// The sum of each phase, of those that have phases.
    phases: Option<[u64; 5]>,
}

impl Default for Parent {
    fn default() -> Self {
        Self {
            times: Samples::new(EXACT_TIMES, DIGITS),
            autoreaped: 0,
            alive: 0,
            phases: None,
        }
    }
}

impl Parent {
    /// Takes in the children of another.
    pub(super) fn merge(&mut self, other: &Self) {
        self.times.merge(&other.times);
        self.autoreaped = self.autoreaped.saturating_add(other.autoreaped);
        self.alive = self.alive.saturating_add(other.alive);
        if let Some(times) = other.phases {
            self.add(times);
        }
    }

    /// Takes in where a zombie's time went.
    pub(super) fn phases(&mut self, phases: Option<&Phases>) {
        if let Some(phases) = phases {
            self.add(phases.times());
        }
    }

    fn add(&mut self, times: [u64; 5]) {
        let sums = self.phases.get_or_insert_default();
        for (sum, time) in sums.iter_mut().zip(times) {
            *sum = sum.saturating_add(time);
        }
    }

    pub(super) fn summary(&self, ppid: Option<u32>, comm: Option<Comm>) -> ParentSummary {
        ParentSummary {
            ppid,
            comm,
            reaped: self.times.count(),
            autoreaped: self.autoreaped,
            alive: self.alive,
            p50_ns: self.times.permille(500),
            p99_ns: self.times.permille(990),
            max_ns: self.times.max(),
            total_ns: self.times.sum(),
            phases: self.phases.map(PhaseTotals::from),
        }
    }
}
