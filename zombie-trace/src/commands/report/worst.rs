//! The zombies that lasted longest.

use std::{cmp::Reverse, collections::BinaryHeap};

use serde::Serialize;

use crate::model::{Alive, Zombie};

/// As many are kept.
const MOST: usize = 50;

/// A long-lived zombie.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Long {
    /// It was reaped.
    Zombie(Box<Zombie>),
    /// It was a zombie still at the end of the run.
    Alive(Box<Alive>),
}

impl Long {
    /// How long it was a zombie, in ns.
    pub(crate) fn time_ns(&self) -> u64 {
        match self {
            Self::Zombie(zombie) => zombie.zombie_ns,
            Self::Alive(alive) => alive.age_ns,
        }
    }
}

/// The worst so far.
#[derive(Debug, Default)]
pub(super) struct Worst {
    /// By lifetime; of equal ones the first comes first.
    heap: BinaryHeap<Reverse<(u64, Reverse<u64>)>>,
    zombies: Vec<(u64, Long)>,
    seen: u64,
}

impl Worst {
    /// Takes in one that was reaped, if it is among them.
    pub(super) fn zombie(&mut self, zombie: &Zombie) {
        self.add(zombie.zombie_ns, || Long::Zombie(Box::new(zombie.clone())));
    }

    /// Takes in one that is living, if it is among them.
    pub(super) fn alive(&mut self, alive: &Alive) {
        self.add(alive.age_ns, || Long::Alive(Box::new(alive.clone())));
    }

    fn add(&mut self, time_ns: u64, zombie: impl FnOnce() -> Long) {
        self.seen += 1;
        let rank = Reverse((time_ns, Reverse(self.seen)));
        if self.heap.len() < MOST {
            self.heap.push(rank);
        } else if self.heap.peek().is_some_and(|least| rank < *least) {
            let gone = self.heap.pop().map(|Reverse((_, Reverse(number)))| number);
            self.zombies.retain(|(number, _)| Some(*number) != gone);
            self.heap.push(rank);
        } else {
            return;
        }
        self.zombies.push((self.seen, zombie()));
    }

    /// The worst first.
    pub(super) fn into_zombies(self) -> Vec<Long> {
        let mut zombies = self.zombies;
        zombies.sort_by_key(|(number, zombie)| (Reverse(zombie.time_ns()), *number));
        zombies.into_iter().map(|(_, zombie)| zombie).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::{alive, zombie};

    #[test]
    fn the_longest_are_kept_and_of_equal_ones_the_first() {
        let mut worst = Worst::default();
        let lifetime = |n: u64| n * 7919 % 1009;
        for n in 0..10_000 {
            let pid = n as u32;
            // Every third is living.
            if n % 3 == 0 {
                worst.alive(&Alive {
                    pid,
                    age_ns: lifetime(n),
                    ..alive()
                });
            } else {
                worst.zombie(&Zombie {
                    pid,
                    zombie_ns: lifetime(n),
                    ..zombie()
                });
            }
        }
        let mut right: Vec<_> = (0..10_000).collect();
        right.sort_by_key(|&n| (Reverse(lifetime(n)), n));
        let kept: Vec<_> = worst
            .into_zombies()
            .into_iter()
            .map(|zombie| match zombie {
                Long::Zombie(zombie) => u64::from(zombie.pid),
                Long::Alive(alive) => u64::from(alive.pid),
            })
            .collect();
        assert_eq!(kept, right[..MOST]);
    }
}
