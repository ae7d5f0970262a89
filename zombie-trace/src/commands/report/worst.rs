//! The zombies that lasted longest.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::model::Zombie;

/// As many are kept.
const MOST: usize = 50;

/// The worst so far.
#[derive(Debug, Default)]
pub(super) struct Worst {
    /// By lifetime; of equal ones the first comes first.
    heap: BinaryHeap<Reverse<(u64, Reverse<u64>)>>,
    zombies: Vec<(u64, Zombie)>,
    seen: u64,
}

impl Worst {
    /// Takes in one, if it is among them.
    pub(super) fn zombie(&mut self, zombie: &Zombie) {
        self.seen += 1;
        let rank = Reverse((zombie.zombie_ns, Reverse(self.seen)));
        if self.heap.len() < MOST {
            self.heap.push(rank);
        } else if self.heap.peek().is_some_and(|least| rank < *least) {
            let gone = self.heap.pop().map(|Reverse((_, Reverse(number)))| number);
            self.zombies.retain(|(number, _)| Some(*number) != gone);
            self.heap.push(rank);
        } else {
            return;
        }
        self.zombies.push((self.seen, zombie.clone()));
    }

    /// The worst first.
    pub(super) fn into_zombies(self) -> Vec<Zombie> {
        let mut zombies = self.zombies;
        zombies.sort_by_key(|(number, zombie)| (Reverse(zombie.zombie_ns), *number));
        zombies.into_iter().map(|(_, zombie)| zombie).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::zombie;

    #[test]
    fn the_longest_are_kept_and_of_equal_ones_the_first() {
        let mut worst = Worst::default();
        let lifetime = |n: u64| n * 7919 % 1009;
        for n in 0..10_000 {
            worst.zombie(&Zombie {
                pid: n as u32,
                zombie_ns: lifetime(n),
                ..zombie()
            });
        }
        let mut right: Vec<_> = (0..10_000).collect();
        right.sort_by_key(|&n| (Reverse(lifetime(n)), n));
        let kept: Vec<_> = worst
            .into_zombies()
            .into_iter()
            .map(|zombie| u64::from(zombie.pid))
            .collect();
        assert_eq!(kept, right[..MOST]);
    }
}
