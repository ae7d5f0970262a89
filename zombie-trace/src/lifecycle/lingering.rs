use std::{collections::HashMap, sync::Arc};

use crate::model::{Alive, Comm};

/// A parent whose zombies linger.
#[derive(Clone, Debug, PartialEq)]
pub struct LingeringParent {
    /// The parent; `None` if it is not known.
    pub ppid: Option<u32>,
    /// Its command name.
    pub comm: Option<Comm>,
    /// Its command line, if it was there to be read.
    pub cmdline: Option<Arc<str>>,
    /// How many zombies it has.
    pub zombies: usize,
    /// The oldest of them, with why it is there.
    pub oldest: Alive,
}

type ParentId = (Option<u32>, Option<Comm>);

impl LingeringParent {
    /// Sums up zombies by parent, the one with the most first.
    pub fn of(zombies: impl IntoIterator<Item = Alive>) -> Vec<Self> {
        let mut parents: HashMap<ParentId, Self> = HashMap::new();
        for alive in zombies {
            let (ppid, comm) = (alive.ppid, alive.parent_comm);
            match parents.get_mut(&(ppid, comm)) {
                Some(parent) => {
                    parent.zombies += 1;
                    if alive.age_ns > parent.oldest.age_ns {
                        parent.oldest = alive;
                    }
                }
                None => {
                    let parent = Self {
                        ppid,
                        comm,
                        cmdline: None,
                        zombies: 1,
                        oldest: alive,
                    };
                    parents.insert((ppid, comm), parent);
                }
            }
        }
        let mut parents: Vec<_> = parents.into_values().collect();
        parents.sort_by_key(|parent| (std::cmp::Reverse(parent.zombies), parent.ppid));
        parents
    }

    fn id(&self) -> ParentId {
        (self.ppid, self.comm)
    }
}

/// Decides which parents with lingering zombies to report: each when it is new, when the finding has changed,
/// and when the number of its zombies or the age of the oldest has doubled.
#[derive(Clone, Debug, Default)]
pub struct Lingering {
    reported: HashMap<ParentId, Reported>,
}

#[derive(Clone, Debug)]
struct Reported {
    zombies: usize,
    oldest_ns: u64,
    finding: String,
}

impl Lingering {
    /// Those of all parents with lingering zombies that are due. The others are forgotten once they have none.
    pub fn due(&mut self, parents: Vec<LingeringParent>) -> Vec<LingeringParent> {
        let mut known = std::mem::take(&mut self.reported);
        let mut due = Vec::new();
        for parent in parents {
            let old = known.remove(&parent.id());
            let new = Reported::of(&parent);
            let is_due = old.as_ref().is_none_or(|old| new.differs(old));
            let reported = old.filter(|_| !is_due).unwrap_or(new);
            self.reported.insert(parent.id(), reported);
            if is_due {
                due.push(parent);
            }
        }
        due
    }
}

impl Reported {
    fn of(parent: &LingeringParent) -> Self {
        let text = parent.oldest.cause_text.as_deref().unwrap_or_default();
        let cause = parent.oldest.cause.map_or("", |cause| cause.code());
        Self {
            zombies: parent.zombies,
            oldest_ns: parent.oldest.age_ns,
            finding: format!("{cause} {}", without_numbers(text)),
        }
    }

    fn differs(&self, old: &Self) -> bool {
        self.finding != old.finding
            || self.zombies >= old.zombies.saturating_mul(2)
            || self.oldest_ns >= old.oldest_ns.saturating_mul(2)
    }
}

/// What a finding says, apart from its numbers and their units, which change all the time.
fn without_numbers(text: &str) -> String {
    let words = text.split(' ').filter(|word| {
        let is_unit =
            ["ns", "µs", "ms", "s"].contains(&word.trim_end_matches([',', '.', ':', ';']));
        !is_unit && !word.contains(|char: char| char.is_ascii_digit())
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cause, fixtures::alive};

    const SECOND: u64 = 1_000_000_000;

    fn of(ppid: u32, ages: impl IntoIterator<Item = u64>, text: &str) -> Vec<LingeringParent> {
        let alive = |age| Alive {
            ppid: Some(ppid),
            age_ns: age * SECOND,
            cause: Some(Cause::NeverWaits),
            cause_text: Some(text.into()),
            ..alive()
        };
        LingeringParent::of(ages.into_iter().map(alive))
    }

    #[test]
    fn a_steady_leak_is_reported_at_each_doubling() {
        let mut lingering = Lingering::default();
        let mut counts = Vec::new();
        // One more each second, reported from an age of 5 s on.
        for now in 5..=100 {
            let due = lingering.due(of(7, 5..=now, "sleeps"));
            counts.extend(due.iter().map(|parent| parent.zombies));
        }
        assert_eq!(counts, [1, 2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn other_numbers_and_units_are_no_news() {
        let mut lingering = Lingering::default();
        let mut due = |text| lingering.due(of(7, [5], text)).len();
        assert_eq!(
            due("reaps one child every 1.02 s, and has 9 zombies now"),
            1
        );
        assert_eq!(
            due("reaps one child every 958 ms, and has 10 zombies now"),
            0
        );
        assert_eq!(
            due("reaps two children every 958 ms, and has 10 zombies now"),
            1
        );
    }

    #[test]
    fn the_age_alone_can_double() {
        let mut lingering = Lingering::default();
        let ages: Vec<_> = (5..50)
            .filter(|&age| !lingering.due(of(7, [age], "sleeps")).is_empty())
            .collect();
        assert_eq!(ages, [5, 10, 20, 40]);
    }

    #[test]
    fn a_new_finding_is_reported_but_not_new_numbers() {
        let mut lingering = Lingering::default();
        assert_eq!(lingering.due(of(7, [5], "ran 3 times")).len(), 1);
        assert_eq!(lingering.due(of(7, [6], "ran 14 times")).len(), 0);
        assert_eq!(lingering.due(of(7, [7], "is stopped")).len(), 1);
        assert_eq!(lingering.due(of(8, [7], "is stopped")).len(), 1);
        // The first has reaped all, and begins anew.
        assert_eq!(lingering.due(of(7, [5], "is stopped")).len(), 1);
    }

    #[test]
    fn parents_with_their_oldest_zombie() {
        let zombies = [(7, 5), (8, 6), (7, 9), (7, 6)].map(|(ppid, age)| Alive {
            ppid: Some(ppid),
            age_ns: age,
            ..alive()
        });
        let found: Vec<_> = LingeringParent::of(zombies)
            .into_iter()
            .map(|parent| (parent.ppid, parent.zombies, parent.oldest.age_ns))
            .collect();
        assert_eq!(found, [(Some(7), 3, 9), (Some(8), 1, 6)]);
    }
}
