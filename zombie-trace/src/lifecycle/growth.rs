use std::collections::HashMap;

use crate::model::Comm;

/// Tells which parents have a growing number of zombies: when one has come to so many, and again
/// each time that the number has doubled.
#[derive(Clone, Debug, Default)]
pub struct Growth {
    parents: HashMap<ParentId, Watched>,
}

type ParentId = (u32, Comm);

/// So many are worth a line.
const FIRST: usize = 10;

/// As many parents without zombies are remembered, at the most.
const MOST_IDLE: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Watched {
    /// When it was first seen to have zombies, monotonic ns, and how many.
    since: u64,
    then: usize,
    /// The count at which it is reported next. It never falls: a parent that comes to the same
    /// number again and again, and reaps them all, does not grow.
    next: usize,
}

/// A parent with a growing number of zombies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growing {
    /// The parent.
    pub ppid: u32,
    /// Its name.
    pub comm: Comm,
    /// Its zombies now.
    pub zombies: usize,
    /// How many more there are each second, since the parent was first seen to have any.
    pub rate: f64,
}

impl Growth {
    /// Which parents are to be reported, `now` (monotonic, ns), by the number of their zombies.
    pub fn report(&mut self, now: u64, counts: &HashMap<ParentId, usize>) -> Vec<Growing> {
        if self.parents.len() > counts.len() + MOST_IDLE {
            self.parents.retain(|parent, _| counts.contains_key(parent));
        }
        for (parent, watched) in &mut self.parents {
            if !counts.contains_key(parent) {
                (watched.since, watched.then) = (now, 0);
            }
        }
        let mut growing = Vec::new();
        for (&(ppid, comm), &zombies) in counts {
            let watched = self.parents.entry((ppid, comm)).or_insert(Watched {
                since: now,
                then: zombies,
                next: FIRST.max(zombies * 2),
            });
            if zombies < watched.then {
                // It has reaped some: a new beginning.
                (watched.since, watched.then) = (now, zombies);
            }
            if zombies >= watched.next && now > watched.since {
                let seconds = (now - watched.since) as f64 / 1e9;
                growing.push(Growing {
                    ppid,
                    comm,
                    zombies,
                    rate: (zombies - watched.then) as f64 / seconds,
                });
                watched.next = zombies * 2;
            }
        }
        growing.sort_by_key(|parent| std::cmp::Reverse(parent.zombies));
        growing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn counts(zombies: usize) -> HashMap<ParentId, usize> {
        HashMap::from([((7, Comm::from("parent")), zombies)])
    }

    #[test]
    fn each_doubling_is_told_with_the_rate() {
        let mut growth = Growth::default();
        let mut told = Vec::new();
        for second in 0..100 {
            for growing in growth.report(second * SECOND, &counts(second as usize)) {
                assert!((growing.rate - 1.0).abs() < 1e-9, "{growing:?}");
                told.push(growing.zombies);
            }
        }
        assert_eq!(told, [10, 20, 40, 80]);
    }

    #[test]
    fn what_does_not_grow_is_not_told() {
        let mut growth = Growth::default();
        for second in 0..100 {
            assert_eq!(growth.report(second * SECOND, &counts(500)), []);
        }
    }

    #[test]
    fn the_rate_is_since_the_last_reaping() {
        let mut growth = Growth::default();
        growth.report(0, &counts(4));
        growth.report(SECOND, &counts(2));
        let growing = growth.report(3 * SECOND, &counts(12));
        assert_eq!(growing[0].zombies, 12);
        assert!((growing[0].rate - 5.0).abs() < 1e-9, "{growing:?}");
    }

    #[test]
    fn to_and_fro_is_no_growth() {
        let mut growth = Growth::default();
        let mut told = Vec::new();
        for second in 0..100 {
            let zombies = [0, 3, 40, 64, 12][second as usize % 5];
            let counts = match zombies {
                0 => HashMap::new(),
                _ => counts(zombies),
            };
            told.extend(growth.report(second * SECOND, &counts));
        }
        let zombies: Vec<_> = told.iter().map(|growing| growing.zombies).collect();
        assert_eq!(zombies, [40]);
        assert_eq!(growth.report(100 * SECOND, &counts(80))[0].zombies, 80);
    }

    #[test]
    fn idle_parents_are_forgotten_in_the_end() {
        let mut growth = Growth::default();
        for pid in 0..=MOST_IDLE as u32 {
            growth.report(0, &HashMap::from([((pid, Comm::from("parent")), 1)]));
        }
        assert_eq!(growth.parents.len(), MOST_IDLE + 1);
        growth.report(SECOND, &HashMap::new());
        assert!(growth.parents.is_empty());
    }
}
