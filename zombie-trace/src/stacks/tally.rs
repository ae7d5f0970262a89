//! Samples, added up: which stacks there were, and how much zombie time each stands for.

use std::collections::HashMap;

use super::account::Shares;
use crate::model::{Comm, ThreadState};

/// Distinct stacks that are kept. Later ones are counted as a truncated stack without frames.
const MOST_STACKS: usize = 20_000;

/// A place in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CodeAddress {
    /// Which module, by its index; `None` for code that belongs to no file, and has no map of its names.
    pub(super) module: Option<usize>,
    /// The module's address of it; without a module, the process's.
    pub(super) address: u64,
    /// Where it is in the module's file.
    pub(super) offset: Option<u64>,
}

/// A thread's stack: the innermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Walked {
    pub(super) frames: Vec<CodeAddress>,
    /// The outermost frames are missing.
    pub(super) truncated: bool,
    /// Some caller was found by a frame pointer.
    pub(super) frame_pointers: bool,
}

/// Whose sample it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Thread {
    pub(super) ppid: u32,
    pub(super) comm: Option<Comm>,
    pub(super) tid: u32,
}

/// What a thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Activity {
    pub(super) thread: Thread,
    pub(super) state: ThreadState,
    /// The number of its stack.
    pub(super) stack: usize,
}

/// How much of it there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) zombie_ns: u64,
    pub(super) samples: u64,
}

/// All samples of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    stacks: HashMap<Walked, usize>,
    /// By what was sampled: the weights of samples, which only matter among those of one state.
    sums: HashMap<Activity, Sum>,
    /// What the samples of each thread stand for together.
    shares: HashMap<Thread, Shares>,
    /// How many stacks are truncated, by sample.
    pub(super) truncated: u64,
}

impl Tally {
    /// Zombies have waited while a thread was in these states.
    pub(super) fn charge(&mut self, thread: Thread, shares: Shares) {
        *self.shares.entry(thread).or_default() += shares;
    }

    /// Takes in a sample of this weight: it stands for a part of what the thread's state is charged with.
    pub(super) fn add(&mut self, thread: Thread, state: ThreadState, walked: Walked, weight: u64) {
        self.truncated += u64::from(walked.truncated);
        let walked = match self.stacks.len() < MOST_STACKS || self.stacks.contains_key(&walked) {
            true => walked,
            false => Walked {
                truncated: true,
                ..Walked::default()
            },
        };
        let next = self.stacks.len();
        let stack = *self.stacks.entry(walked).or_insert(next);
        let activity = Activity {
            thread,
            state,
            stack,
        };
        let sum = self.sums.entry(activity).or_default();
        sum.zombie_ns = sum.zombie_ns.saturating_add(weight);
        sum.samples += 1;
    }

    /// What threads did, and the zombie time that it stands for; the most comes first.
    pub(super) fn activities(&self) -> Vec<(Activity, Sum)> {
        let mut weights: HashMap<(Thread, ThreadState), u128> = HashMap::new();
        for (activity, sum) in &self.sums {
            let key = (activity.thread, activity.state);
            *weights.entry(key).or_default() += u128::from(sum.zombie_ns);
        }
        let scaled = |activity: &Activity, sum: &Sum| {
            let shares = self.shares.get(&activity.thread).copied();
            let due = shares.unwrap_or_default().get(activity.state);
            let all = weights.get(&(activity.thread, activity.state));
            let part = u128::from(due) * u128::from(sum.zombie_ns);
            let part = part / all.copied().unwrap_or(0).max(1);
            Sum {
                zombie_ns: u64::try_from(part).unwrap_or(due),
                samples: sum.samples,
            }
        };
        let all = self.sums.iter();
        let mut all: Vec<_> = all.map(|(key, sum)| (*key, scaled(key, sum))).collect();
        all.sort_by_key(|(key, sum)| {
            let Thread { ppid, tid, .. } = key.thread;
            (std::cmp::Reverse(sum.zombie_ns), ppid, tid, key.stack)
        });
        all
    }

    /// The stacks, by their numbers.
    pub(super) fn stacks(&self) -> Vec<&Walked> {
        let mut all: Vec<_> = self.stacks.iter().collect();
        all.sort_by_key(|(_, number)| **number);
        all.into_iter().map(|(walked, _)| walked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(address: u64) -> Walked {
        Walked {
            frames: vec![CodeAddress {
                module: Some(0),
                address,
                offset: None,
            }],
            truncated: address == 3,
            frame_pointers: false,
        }
    }

    const SUP: Thread = Thread {
        ppid: 7,
        comm: None,
        tid: 8,
    };

    #[test]
    fn the_most_zombie_time_comes_first() {
        let mut tally = Tally::default();
        let shares = |running, runnable, blocked| Shares {
            blocked,
            runnable,
            running,
        };
        tally.charge(SUP, shares(40, 5, 0));
        tally.charge(SUP, shares(30, 0, 60));
        for (address, state, weight) in [
            (1, ThreadState::Blocked, 10),
            (2, ThreadState::Running, 7),
            (1, ThreadState::Blocked, 20),
            (1, ThreadState::Runnable, 500),
            (3, ThreadState::Blocked, 10),
        ] {
            tally.add(SUP, state, stack(address), weight);
        }
        let activities = tally.activities();
        let of = |index: usize| {
            let (activity, sum) = activities[index];
            (activity.stack, activity.state, sum.zombie_ns, sum.samples)
        };
        assert_eq!(of(0), (1, ThreadState::Running, 70, 1));
        assert_eq!(of(1), (0, ThreadState::Blocked, 45, 2));
        assert_eq!(of(2), (2, ThreadState::Blocked, 15, 1));
        assert_eq!(of(3), (0, ThreadState::Runnable, 5, 1));
        assert_eq!(activities.len(), 4);
        assert_eq!(tally.stacks(), [&stack(1), &stack(2), &stack(3)]);
        assert_eq!(tally.truncated, 1);
    }

    #[test]
    fn the_number_of_stacks_is_bounded() {
        let mut tally = Tally::default();
        let blocked = MOST_STACKS as u64 + 1100;
        tally.charge(
            SUP,
            Shares {
                blocked,
                ..Shares::default()
            },
        );
        for address in 0..MOST_STACKS as u64 + 100 {
            tally.add(SUP, ThreadState::Blocked, stack(address + 10), 1);
        }
        // A known one keeps its number.
        tally.add(SUP, ThreadState::Blocked, stack(10), 1000);
        assert_eq!(tally.stacks().len(), MOST_STACKS + 1);
        let first = tally.activities()[0];
        assert_eq!((first.0.stack, first.1.zombie_ns), (0, 1001));
        let other = tally.activities()[1];
        assert_eq!((other.0.stack, other.1.samples), (MOST_STACKS, 100));
    }
}
