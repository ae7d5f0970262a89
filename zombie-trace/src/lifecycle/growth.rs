use std::collections::HashMap;

use super::Comm;

/// Tells which parents have a growing number of zombies: when one has come to so many, and again
/// each time that the number has doubled.
#[derive(Clone, Debug, Default)]
pub struct Growth {
    parents: HashMap<ParentId, Watched>,
}

type ParentId = (u32, Comm);

/// So many are worth a line.
const FIRST: usize = 10;

#[derive(Clone, Copy, Debug)]
struct Watched {
    /// When it was first seen to have zombies, monotonic ns, and how many.
    since: u64,
    then: usize,
    /// The count at which it is reported next.
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
    /// Which parents are to be reported, `now` (monotonic, ns), by the number of their zombies; a
    /// parent that is not among them any more is forgotten.
    pub fn report(&mut self, now: u64, counts: &HashMap<ParentId, usize>) -> Vec<Growing> {
        self.parents.retain(|parent, _| counts.contains_key(parent));
        let mut growing = Vec::new();
        for (&(ppid, comm), &zombies) in counts {
            let watched = self.parents.entry((ppid, comm)).or_insert(Watched {
                since: now,
                then: zombies,
                next: FIRST.max(zombies * 2),
            });
            if zombies < watched.then {
                // It has reaped some: a new beginning.
                *watched = Watched {
                    since: now,
                    then: zombies,
                    next: FIRST.max(zombies * 2),
                };
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
    fn reaping_begins_anew() {
        let mut growth = Growth::default();
        growth.report(0, &counts(100));
        growth.report(SECOND, &counts(2));
        let growing = growth.report(3 * SECOND, &counts(12));
        assert_eq!(growing[0].zombies, 12);
        assert!((growing[0].rate - 5.0).abs() < 1e-9, "{growing:?}");
        assert_eq!(growth.report(4 * SECOND, &HashMap::new()), []);
        assert!(growth.parents.is_empty());
    }
}
