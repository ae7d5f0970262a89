//! The zombies that exist.

use std::{cmp::Reverse, collections::HashMap};

use jiff::Timestamp;

use crate::model::{Alive, Zombie};

/// As many are kept, a bound on memory.
const MOST: usize = 65_536;
/// The texts of all of them together are no longer than this.
const LONGEST_TEXTS: usize = 8 << 20;

/// Those that have been reported and not been reaped since.
#[derive(Debug, Default)]
pub(super) struct Still {
    alive: HashMap<u32, Box<Alive>>,
    /// The length of their texts.
    texts: usize,
}

impl Still {
    /// One exists still.
    pub(super) fn alive(&mut self, alive: &Alive) {
        let before = self.remove(alive.pid);
        if self.alive.len() >= MOST {
            return;
        }
        let mut alive = Box::new(alive.clone());
        // The last look may have found nothing: the cause that an earlier one found still counts. A
        // younger zombie of that pid is another one.
        if let Some(before) = before.filter(|before| before.age_ns <= alive.age_ns)
            && alive.cause.is_none()
        {
            alive.cause = before.cause;
            alive.cause_text = before.cause_text;
            (alive.why, alive.looked_at) = (before.why, before.looked_at);
            alive.advice = before.advice;
        }
        // Only charts and the text of the oldest are made of these: the paths of others can go.
        if self.texts.saturating_add(texts(&alive)) > LONGEST_TEXTS {
            (alive.cause_text, alive.cgroup, alive.parent_container) = (None, None, None);
            (alive.container, alive.advice) = (None, None);
        }
        self.texts += texts(&alive);
        self.alive.insert(alive.pid, alive);
    }

    fn remove(&mut self, pid: u32) -> Option<Box<Alive>> {
        let gone = self.alive.remove(&pid)?;
        self.texts -= texts(&gone);
        Some(gone)
    }

    /// One is gone.
    pub(super) fn reaped(&mut self, zombie: &Zombie) {
        if !self.alive.is_empty() {
            drop(self.remove(zombie.pid));
        }
    }

    /// Those that there were at the end of the run, by age. All that are left are listed then, so
    /// those that were reported only before are gone, and their end was not listed.
    #[expect(
        clippy::vec_box,
        reason = "they move from map to vector: both at once would be too much"
    )]
    pub(super) fn at_end(self, end: Option<Timestamp>) -> Vec<Box<Alive>> {
        let alive = self.alive.into_values();
        let mut alive: Vec<_> = alive
            .filter(|alive| end.is_none_or(|end| alive.ts >= end))
            .collect();
        alive.sort_by_key(|alive| (Reverse(alive.age_ns), alive.pid));
        alive
    }
}

/// The length of what a recording can make long.
fn texts(alive: &Alive) -> usize {
    let container = alive.container.as_ref();
    let texts = [
        alive.cause_text.as_deref(),
        alive.cgroup.as_deref(),
        alive.parent_container.as_deref(),
        alive.advice.as_deref(),
        container.and_then(|it| it.id.as_deref()),
        container.and_then(|it| it.pod_uid.as_deref()),
        container.and_then(|it| it.hostname.as_deref()),
    ];
    texts.into_iter().flatten().map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cause, fixtures};

    fn alive(pid: u32, second: i64, cause: Cause) -> Alive {
        Alive {
            ts: Timestamp::from_second(second).unwrap(),
            pid,
            age_ns: second as u64 * 1_000_000_000 - u64::from(pid),
            cause: Some(cause),
            cause_text: Some(format!("of {pid}").into()),
            ..fixtures::alive()
        }
    }

    #[test]
    fn each_once_and_not_those_that_are_gone() {
        let mut still = Still::default();
        for second in [5, 10] {
            for pid in 1..=3 {
                still.alive(&alive(pid, second, Cause::NeverWaits));
            }
        }
        still.alive(&alive(4, 5, Cause::ParentStopped));
        still.reaped(&Zombie {
            pid: 2,
            ..fixtures::zombie()
        });
        let pids = |alive: &[Box<Alive>]| alive.iter().map(|alive| alive.pid).collect::<Vec<_>>();
        let cut = Still {
            alive: still.alive.clone(),
            texts: 0,
        };
        assert_eq!(pids(&cut.at_end(None)), [1, 3, 4]);
        let end = Timestamp::from_second(10).unwrap();
        assert_eq!(pids(&still.at_end(Some(end))), [1, 3]);
    }

    #[test]
    fn a_look_that_finds_no_cause_keeps_the_one_before() {
        let mut still = Still::default();
        still.alive(&alive(1, 5, Cause::NeverWaits));
        still.alive(&Alive {
            cause: None,
            cause_text: None,
            ..alive(1, 10, Cause::Unknown)
        });
        // Pid 2 is used again.
        still.alive(&alive(2, 10, Cause::NeverWaits));
        still.alive(&Alive {
            age_ns: 1,
            cause: None,
            ..alive(2, 10, Cause::Unknown)
        });
        let mut causes: Vec<_> = still
            .at_end(None)
            .iter()
            .map(|alive| (alive.pid, alive.cause))
            .collect();
        causes.sort_unstable_by_key(|(pid, _)| *pid);
        assert_eq!(causes, [(1, Some(Cause::NeverWaits)), (2, None)]);
    }

    #[test]
    fn their_texts_are_bounded() {
        let mut still = Still::default();
        for round in 0..2 {
            for pid in 0..2_000 {
                still.alive(&Alive {
                    cause_text: Some("x".repeat(60_000).into()),
                    ..alive(pid, 1 + round, Cause::NeverWaits)
                });
            }
        }
        assert!(still.texts <= LONGEST_TEXTS);
        let left = still.at_end(None);
        let kept: usize = left.iter().map(|alive| texts(alive)).sum();
        assert_eq!(left.len(), 2_000);
        assert!(kept <= LONGEST_TEXTS && kept > LONGEST_TEXTS / 2, "{kept}");
    }
}
