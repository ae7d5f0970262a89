//! The zombies that exist, and why.

use std::{cmp::Reverse, collections::HashMap};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cause::Cause,
    lifecycle::{Alive, Zombie},
};

/// As many are kept, a bound on memory.
const MOST: usize = 65_536;

/// Those that have been reported and not been reaped since.
#[derive(Debug, Default)]
pub(super) struct Still(HashMap<u32, Alive>);

/// The zombies that were left for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CauseSummary {
    /// The reason; `None` if they were not looked at.
    pub(crate) cause: Option<Cause>,
    /// How many.
    pub(crate) count: u64,
    /// The age of the oldest of them, ns.
    pub(crate) oldest_ns: u64,
    /// What is said of the oldest, with what usually helps.
    pub(crate) text: Option<String>,
}

impl Still {
    /// One exists still.
    pub(super) fn alive(&mut self, alive: Alive) {
        if self.0.len() < MOST || self.0.contains_key(&alive.pid) {
            self.0.insert(alive.pid, alive);
        }
    }

    /// One is gone.
    pub(super) fn reaped(&mut self, zombie: &Zombie) {
        if !self.0.is_empty() {
            self.0.remove(&zombie.pid);
        }
    }

    /// Those that there were at the end of the run, by age. All that are left are listed then, so
    /// those that were reported only before are gone, and their end was not listed.
    pub(super) fn at_end(self, end: Option<Timestamp>) -> Vec<Alive> {
        let alive = self.0.into_values();
        let mut alive: Vec<_> = alive
            .filter(|alive| end.is_none_or(|end| alive.ts >= end))
            .collect();
        alive.sort_by_key(|alive| (Reverse(alive.age_ns), alive.pid));
        alive
    }
}

/// By cause, the most frequent first. The zombies are sorted by age.
pub(super) fn causes<'a>(alive: impl IntoIterator<Item = &'a Alive>) -> Vec<CauseSummary> {
    let mut causes: Vec<CauseSummary> = Vec::new();
    for alive in alive {
        match causes.iter_mut().find(|cause| cause.cause == alive.cause) {
            Some(cause) => cause.count += 1,
            None => causes.push(CauseSummary {
                cause: alive.cause,
                count: 1,
                oldest_ns: alive.age_ns,
                text: alive.cause_text.clone(),
            }),
        }
    }
    causes.sort_by_key(|cause| Reverse((cause.count, cause.oldest_ns)));
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::fixtures;

    fn alive(pid: u32, second: i64, cause: Cause) -> Alive {
        Alive {
            ts: Timestamp::from_second(second).unwrap(),
            pid,
            age_ns: second as u64 * 1_000_000_000 - u64::from(pid),
            cause: Some(cause),
            cause_text: Some(format!("of {pid}")),
            ..fixtures::alive()
        }
    }

    #[test]
    fn each_once_and_not_those_that_are_gone() {
        let mut still = Still::default();
        for second in [5, 10] {
            for pid in 1..=3 {
                still.alive(alive(pid, second, Cause::NeverWaits));
            }
        }
        still.alive(alive(4, 5, Cause::ParentStopped));
        still.reaped(&Zombie {
            pid: 2,
            ..fixtures::zombie()
        });
        let pids = |alive: Vec<Alive>| alive.iter().map(|alive| alive.pid).collect::<Vec<_>>();
        let cut = Still(still.0.clone()).at_end(None);
        assert_eq!(pids(cut), [1, 3, 4]);
        let end = Timestamp::from_second(10).unwrap();
        assert_eq!(pids(still.at_end(Some(end))), [1, 3]);
    }

    #[test]
    fn causes_by_number_with_the_oldest() {
        let all = [
            alive(9, 30, Cause::ParentStopped),
            alive(1, 20, Cause::NeverWaits),
            alive(2, 10, Cause::NeverWaits),
        ];
        let causes = causes(&all);
        assert_eq!(
            (causes[0].cause, causes[0].count),
            (Some(Cause::NeverWaits), 2)
        );
        assert_eq!(causes[0].text.as_deref(), Some("of 1"));
        assert_eq!(causes[1].oldest_ns, 29_999_999_991);
    }
}
