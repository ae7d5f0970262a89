//! Where zombie time went. Pure.

use serde::Serialize;

use super::GroupSummary;
use crate::model::{Phase, longest};

/// The parts of the zombie time of some processes, in ns. They add up to all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Breakdown {
    pub(crate) notify_ns: u64,
    pub(crate) parent_not_waiting_ns: u64,
    pub(crate) runqueue_ns: u64,
    pub(crate) tracer_ns: u64,
    pub(crate) reap_ns: u64,
    /// Zombies that were reaped, but whose phases are not known.
    pub(crate) unknown_ns: u64,
    /// Living zombies, and pre-existing ones.
    pub(crate) unreaped_ns: u64,
}

/// The names of the parts.
pub(crate) const PARTS: [&str; 7] = [
    Phase::ALL[0].as_str(),
    Phase::ALL[1].as_str(),
    Phase::ALL[2].as_str(),
    Phase::ALL[3].as_str(),
    Phase::ALL[4].as_str(),
    "not known",
    "not reaped",
];

/// What the parts mean.
pub(crate) const MEANINGS: [&str; 7] = [
    "the parent’s SIGCHLD handler had not run yet",
    "the parent did something else",
    "the reaper could run, but got no CPU",
    "a debugger held it",
    "waking up, and the wait itself",
    "reaped without a wait that was seen",
    "living zombies, and pre-existing ones",
];

impl Breakdown {
    /// The zombie time of these processes.
    pub(crate) fn of(group: &GroupSummary) -> Self {
        let phases = group.phases.unwrap_or_default();
        let reaped = group.total_ns;
        Self {
            notify_ns: phases.notify_ns,
            parent_not_waiting_ns: phases.parent_not_waiting_ns,
            runqueue_ns: phases.runqueue_ns,
            tracer_ns: phases.tracer_ns,
            reap_ns: phases.reap_ns,
            unknown_ns: reaped.saturating_sub(phases.total()),
            unreaped_ns: group.zombie_time_ns.saturating_sub(reaped),
        }
    }

    /// That of all of them together; `None` if it is 0.
    pub(crate) fn sum<'a>(groups: impl Iterator<Item = &'a GroupSummary>) -> Option<Self> {
        let mut sum = [0_u64; 7];
        for group in groups {
            for (sum, part) in sum.iter_mut().zip(Self::of(group).parts()) {
                *sum = sum.saturating_add(part);
            }
        }
        let [
            notify_ns,
            parent_not_waiting_ns,
            runqueue_ns,
            tracer_ns,
            reap_ns,
            unknown_ns,
            unreaped_ns,
        ] = sum;
        let sum = Self {
            notify_ns,
            parent_not_waiting_ns,
            runqueue_ns,
            tracer_ns,
            reap_ns,
            unknown_ns,
            unreaped_ns,
        };
        (sum.total() > 0).then_some(sum)
    }

    /// In the order of [`PARTS`].
    pub(crate) fn parts(&self) -> [u64; 7] {
        [
            self.notify_ns,
            self.parent_not_waiting_ns,
            self.runqueue_ns,
            self.tracer_ns,
            self.reap_ns,
            self.unknown_ns,
            self.unreaped_ns,
        ]
    }

    /// All of them together.
    pub(crate) fn total(&self) -> u64 {
        self.parts().into_iter().fold(0, u64::saturating_add)
    }

    /// The name of the largest part, and its share in per cent; `None` if there is no time.
    pub(crate) fn largest(&self) -> Option<(&'static str, f64)> {
        let total = self.total();
        let parts = self.parts();
        let known: [u64; 5] = std::array::from_fn(|phase| parts[phase]);
        let most = parts.iter().copied().max().filter(|&most| most > 0)?;
        let at = match most == known.into_iter().max().unwrap_or(0) {
            true => Phase::ALL
                .iter()
                .position(|&phase| phase == longest(known))
                .unwrap_or(0),
            false => parts.iter().rposition(|&part| part == most)?,
        };
        Some((PARTS[at], most as f64 * 100.0 / total as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::PhaseTotals;

    fn group() -> GroupSummary {
        GroupSummary {
            zombie_time_ns: 1000,
            total_ns: 600,
            phases: Some(PhaseTotals {
                runqueue_ns: 300,
                reap_ns: 100,
                ..PhaseTotals::default()
            }),
            ..GroupSummary::default()
        }
    }

    #[test]
    fn parts_add_up_to_the_zombie_time() {
        let parts = Breakdown::of(&group()).parts();
        assert_eq!(parts, [0, 0, 300, 0, 100, 200, 400]);
        let unknown = GroupSummary {
            phases: None,
            ..group()
        };
        let sum = Breakdown::sum([group(), unknown].iter()).unwrap();
        assert_eq!(sum.total(), 2000);
        assert_eq!(Breakdown::sum([GroupSummary::default()].iter()), None);
    }

    #[test]
    fn the_largest_part() {
        assert_eq!(
            Breakdown::of(&group()).largest(),
            Some(("not reaped", 40.0))
        );
        let reaped = GroupSummary {
            zombie_time_ns: 600,
            ..group()
        };
        assert_eq!(Breakdown::of(&reaped).largest(), Some(("run queue", 50.0)));
        assert_eq!(Breakdown::default().largest(), None);
    }
}
