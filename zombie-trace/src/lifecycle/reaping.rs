use std::collections::VecDeque;

use foldhash::HashMap;

use crate::cause::Pace;

/// How parents reap: for each that has reaped a child, how many and when. A bounded memory.
#[derive(Clone, Debug, Default)]
pub struct Reaping {
    parents: HashMap<ParentId, Reaps>,
}

/// Pid and address of a parent's `task_struct`, which it keeps over exec.
type ParentId = (u32, u64);

/// The reaps of one parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaps {
    /// How many children it has reaped.
    pub count: u64,
    /// The last of those reaps, oldest first.
    recent: VecDeque<Reap>,
}

/// One reap. Times are monotonic, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reap {
    /// When the child was started.
    pub start: u64,
    /// When it became a zombie.
    pub zombie: u64,
    /// When it was reaped.
    pub reap: u64,
}

/// Parents remembered at most: some 2 MiB.
const MOST: usize = 4096;
/// Reaps remembered of each.
const RECENT: usize = 16;
/// Reaps that follow one another faster are one round, ns.
const ROUND: u64 = 10_000_000;

impl Reaping {
    /// A parent has reaped a child.
    pub fn reaped(&mut self, parent: ParentId, reap: Reap) {
        if self.parents.len() >= MOST && !self.parents.contains_key(&parent) {
            self.forget();
        }
        self.parents.entry(parent).or_default().add(reap);
    }

    /// What is known of a parent; `None` if it was not seen to reap.
    pub fn of(&self, parent: ParentId) -> Option<&Reaps> {
        self.parents.get(&parent)
    }

    /// Forgets the half that has not reaped for the longest time.
    fn forget(&mut self) {
        let mut lasts: Vec<u64> = self.parents.values().map(Reaps::last).collect();
        let middle = lasts.len() / 2;
        let (_, &mut median, _) = lasts.select_nth_unstable(middle);
        self.parents.retain(|_, reaps| reaps.last() > median);
    }
}

impl Reaps {
    fn add(&mut self, reap: Reap) {
        self.count += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        // Records of several CPUs can come out of order.
        let at = self.recent.partition_point(|other| other.reap <= reap.reap);
        self.recent.insert(at, reap);
    }

    /// When the last one was.
    pub fn last(&self) -> u64 {
        self.recent.back().map_or(0, |reap| reap.reap)
    }

    /// How many of the last [`RECENT`] reaps were of children that became zombies after this time. The round
    /// that may still go on now is left out: it can reap in any order.
    pub fn passed_over(&self, zombie: u64, now: u64) -> u64 {
        let over = now.saturating_sub(5 * ROUND);
        let later = self.recent.iter();
        later
            .filter(|reap| reap.zombie > zombie + ROUND && reap.reap < over)
            .count() as u64
    }

    /// Whether reaps before the last [`RECENT`] can have been of such children too.
    pub fn may_have_passed_over_more(&self, zombie: u64) -> bool {
        let is_later = |reap: &Reap| reap.zombie > zombie + ROUND;
        self.count > self.recent.len() as u64 && self.recent.front().is_some_and(is_later)
    }

    /// Its rhythm, if there were several rounds. `starts`: when the children were started that it has now.
    pub fn pace(&self, starts: &[u64]) -> Option<Pace> {
        let mut rounds: Vec<[u64; 2]> = Vec::new();
        for reap in self.recent.iter().map(|reap| reap.reap) {
            match rounds.last_mut() {
                Some([_, last]) if reap - *last < ROUND => *last = reap,
                _ => rounds.push([reap, reap]),
            }
        }
        let [first, .., last] = rounds[..] else {
            return None;
        };
        let gaps = rounds.windows(2).map(|pair| pair[1][0] - pair[0][0]);
        let every_ns = (last[0] - first[0]) / (rounds.len() as u64 - 1);
        // The last child may still be alive.
        let earlier = &rounds[..rounds.len() - 1];
        let all_starts = || {
            let of_reaped = self.recent.iter().map(|reap| reap.start);
            of_reaped.chain(starts.iter().copied())
        };
        let starts_one = |[_, round]: &[u64; 2]| {
            all_starts().any(|start| {
                start + ROUND / 10 >= *round && start.saturating_sub(*round) <= every_ns / 8
            })
        };
        Some(Pace {
            rounds: rounds.len() as u64,
            reaped: self.recent.len() as u64,
            every_ns,
            longest_ns: gaps.max().unwrap_or(0),
            longest_zombie_ns: self
                .recent
                .iter()
                .map(|reap| reap.reap.saturating_sub(reap.zombie))
                .max()
                .unwrap_or(0),
            before_starts: earlier.len() >= 2 && earlier.iter().all(starts_one),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn reap(zombie: u64, reap: u64) -> Reap {
        Reap {
            start: zombie,
            zombie,
            reap,
        }
    }

    fn reaps(all: impl IntoIterator<Item = Reap>) -> Reaps {
        let mut reaping = Reaping::default();
        for reap in all {
            reaping.reaped((1, 7), reap);
        }
        reaping.of((1, 7)).unwrap().clone()
    }

    #[test]
    fn reaps_are_counted_and_dated() {
        let reaps = reaps([30, 10, 20].map(|at| reap(0, at)));
        assert_eq!((reaps.count, reaps.last()), (3, 30));
        assert_eq!(Reaping::default().of((1, 7)), None);
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_latest() {
        let mut reaping = Reaping::default();
        let all = 3 * MOST as u32;
        for pid in 0..all {
            reaping.reaped((pid, 7), reap(0, pid.into()));
        }
        assert!(reaping.parents.len() <= MOST);
        assert!(reaping.of((all - 1, 7)).is_some());
        let many = reaps((0..1000).map(|at| reap(0, at)));
        assert_eq!((many.count, many.recent.len()), (1000, RECENT));
    }

    #[test]
    fn reaps_in_quick_succession_are_one_round() {
        let two_each_3_s = (1..=4).flat_map(|round| {
            let at = 3 * SECOND * round;
            [reap(at - SECOND, at), reap(at - SECOND, at + 1000)]
        });
        let pace = reaps(two_each_3_s).pace(&[]).unwrap();
        assert_eq!((pace.rounds, pace.reaped), (4, 8));
        assert_eq!((pace.every_ns, pace.longest_ns), (3 * SECOND, 3 * SECOND));
        assert_eq!(pace.longest_zombie_ns, SECOND + 1000);
        assert!(!pace.before_starts);
        assert_eq!(reaps([reap(0, 1), reap(0, 2)]).pace(&[]), None);
    }

    #[test]
    fn one_that_reaps_when_it_starts_the_next_child() {
        let mut all: Vec<_> = (1..5_u64)
            .map(|at| Reap {
                start: at * SECOND + 3_000_000,
                zombie: at * SECOND + 9_000_000,
                reap: (at + 1) * SECOND,
            })
            .collect();
        let now = [5 * SECOND + 3_000_000];
        assert!(reaps(all.clone()).pace(&now).unwrap().before_starts);
        // The last child is alive, and not known.
        assert!(reaps(all.clone()).pace(&[]).unwrap().before_starts);
        all[2].start += SECOND / 2;
        assert!(!reaps(all).pace(&now).unwrap().before_starts);
    }

    #[test]
    fn children_that_died_later_and_were_reaped_are_counted() {
        let reaps = reaps([
            reap(1, 2),
            reap(SECOND, 2 * SECOND),
            reap(3 * SECOND, 4 * SECOND),
        ]);
        assert_eq!(reaps.passed_over(SECOND / 2, 10 * SECOND), 2);
        assert_eq!(reaps.passed_over(2 * SECOND, 10 * SECOND), 1);
        // It may be this one's turn next.
        assert_eq!(reaps.passed_over(2 * SECOND, 4 * SECOND + 1), 0);
        assert!(!reaps.may_have_passed_over_more(0));
        let mut many = Reaps::default();
        (1..=20).for_each(|second| {
            many.add(Reap {
                start: 0,
                zombie: second * SECOND,
                reap: second * SECOND,
            })
        });
        assert!(many.may_have_passed_over_more(SECOND));
        assert!(!many.may_have_passed_over_more(10 * SECOND));
    }
}
