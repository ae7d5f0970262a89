//! Zombies that a filter leaves out of the list, on their way into a recording. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::model::{Unlisted, UnlistedParent, Zombie};

/// A line holds this many of them at most.
const MOST: usize = 100;
/// None waits longer for its line.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(1);

/// Collects them for one line.
#[derive(Debug, Default)]
pub(super) struct Unlistings {
    parents: Vec<UnlistedParent>,
    /// When each was reaped, the index of its parent, and its zombie time.
    zombies: Vec<(Timestamp, usize, u64)>,
}

impl Unlistings {
    pub(super) fn add(&mut self, zombie: &Zombie) {
        let parent = UnlistedParent {
            ppid: zombie.ppid,
            comm: zombie.parent_comm,
        };
        let known = self.parents.iter().position(|known| *known == parent);
        let index = known.unwrap_or_else(|| {
            self.parents.push(parent);
            self.parents.len() - 1
        });
        self.zombies.push((zombie.ts, index, zombie.zombie_ns));
    }

    /// The line must be written before the next is added.
    pub(super) fn is_full(&self) -> bool {
        self.zombies.len() >= MOST
    }

    /// The first has waited long enough.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let first = self.zombies.first();
        first.is_some_and(|(reaped, ..)| now.duration_since(*reaped) >= LONGEST_WAIT)
    }

    /// The line; `None` if there are none.
    pub(super) fn take(&mut self) -> Option<Unlisted> {
        let ts = self.zombies.iter().map(|(reaped, ..)| *reaped).max()?;
        let ago = |reaped: Timestamp| {
            let ns = ts.duration_since(reaped).as_nanos();
            u64::try_from(ns).unwrap_or(0)
        };
        let zombies = self.zombies.drain(..);
        Some(Unlisted {
            ts,
            zombies: zombies
                .map(|(reaped, parent, zombie_ns)| (ago(reaped), parent, zombie_ns))
                .collect(),
            parents: std::mem::take(&mut self.parents),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::zombie;

    fn reaped(ns: i64, ppid: u32) -> Zombie {
        Zombie {
            ts: Timestamp::UNIX_EPOCH + SignedDuration::from_nanos(ns),
            ppid: Some(ppid),
            zombie_ns: ns as u64 * 10,
            ..zombie()
        }
    }

    #[test]
    fn a_line_has_each_parent_once_and_keeps_the_order() {
        let mut unlisted = Unlistings::default();
        assert_eq!(unlisted.take(), None);
        for (ns, ppid) in [(5, 1), (7, 2), (9, 1)] {
            unlisted.add(&reaped(ns, ppid));
        }
        let line = unlisted.take().unwrap();
        assert_eq!(line.ts, reaped(9, 1).ts);
        let ppids: Vec<_> = line.parents.iter().map(|parent| parent.ppid).collect();
        assert_eq!(ppids, [Some(1), Some(2)]);
        assert_eq!(line.zombies, [(4, 0, 50), (2, 1, 70), (0, 0, 90)]);
        assert_eq!(unlisted.take(), None);
    }

    #[test]
    fn a_line_is_written_when_it_is_full_or_a_second_old() {
        let mut unlisted = Unlistings::default();
        (0..MOST - 1).for_each(|_| unlisted.add(&reaped(0, 1)));
        assert!(!unlisted.is_full());
        unlisted.add(&reaped(0, 1));
        assert!(unlisted.is_full());
        let at = |ms| Timestamp::UNIX_EPOCH + SignedDuration::from_millis(ms);
        assert!(!unlisted.is_due(at(999)));
        assert!(unlisted.is_due(at(1000)));
        unlisted.take();
        assert!(!unlisted.is_due(at(1000)));
    }
}
