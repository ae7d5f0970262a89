use foldhash::HashMap;

use crate::model::Comm;

/// How parents reap: of each that has reaped a child, how many and when. A bounded memory.
#[derive(Clone, Debug, Default)]
pub struct Reaping {
    parents: HashMap<(u32, Comm), Reaps>,
}

/// The reaps of one parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaps {
    /// How many children it has reaped.
    pub count: u64,
    /// When the first reap was (monotonic, ns).
    pub first: u64,
    /// When the last reap was.
    pub last: u64,
}

/// As many parents are remembered, at the most: some 300 KiB.
const MOST: usize = 4096;

impl Reaping {
    /// A parent has reaped a child, `at` (monotonic, ns).
    pub fn reaped(&mut self, ppid: u32, comm: Comm, at: u64) {
        if self.parents.len() >= MOST && !self.parents.contains_key(&(ppid, comm)) {
            self.forget();
        }
        let reaps = self.parents.entry((ppid, comm)).or_insert(Reaps {
            count: 0,
            first: at,
            last: at,
        });
        reaps.count += 1;
        reaps.first = reaps.first.min(at);
        reaps.last = reaps.last.max(at);
    }

    /// What is known of a parent; `None` if it was not seen to reap.
    pub fn of(&self, ppid: u32, comm: Comm) -> Option<Reaps> {
        self.parents.get(&(ppid, comm)).copied()
    }

    /// Forgets the half that has not reaped for the longest time.
    fn forget(&mut self) {
        let mut lasts: Vec<u64> = self.parents.values().map(|reaps| reaps.last).collect();
        let middle = lasts.len() / 2;
        let (_, &mut median, _) = lasts.select_nth_unstable(middle);
        self.parents.retain(|_, reaps| reaps.last > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaps_are_counted_and_dated() {
        let mut reaping = Reaping::default();
        for at in [30, 10, 20] {
            reaping.reaped(1, "a".into(), at);
        }
        let reaps = reaping.of(1, "a".into()).unwrap();
        assert_eq!((reaps.count, reaps.first, reaps.last), (3, 10, 30));
        assert_eq!(reaping.of(1, "b".into()), None);
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_latest() {
        let mut reaping = Reaping::default();
        let all = 3 * MOST as u32;
        for pid in 0..all {
            reaping.reaped(pid, "a".into(), pid.into());
        }
        assert!(reaping.parents.len() <= MOST);
        assert!(reaping.of(all - 1, "a".into()).is_some());
    }
}
