//! Processes that began to end and did not come to their end, as the last line about each has them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    cause,
    model::{Alive, Dying},
    text::{printable, visible},
};

/// As many of each kind are kept, a bound on memory.
const MOST: usize = 200;
/// No kernel function has a longer name (`KSYM_NAME_LEN`).
const LONGEST_FUNCTION: usize = 512;

/// Those of all runs.
#[derive(Debug, Default)]
pub(crate) struct UnendedOfRuns {
    /// Those that were killed or began to exit, by run and pid.
    dying: BTreeMap<(usize, u32), Dying>,
    /// Those whose main thread alone has ended.
    leader_ended: BTreeMap<(usize, u32), Box<Alive>>,
}

/// One of them, for people.
pub(crate) struct Said {
    /// When it was seen.
    pub(crate) ts: Timestamp,
    /// Its name and pid.
    pub(crate) who: String,
    /// What is in the way of its end, as a clause.
    pub(crate) why: String,
}

impl UnendedOfRuns {
    /// A line of a run.
    pub(super) fn dying(&mut self, run: usize, dying: &Dying) {
        let key = (run, dying.pid);
        if self.dying.len() < MOST || self.dying.contains_key(&key) {
            let mut dying = dying.clone();
            dying.threads.truncate(Dying::THREADS);
            for thread in &mut dying.threads {
                let place = thread.wchan.take();
                thread.wchan = place.filter(|place| place.len() <= LONGEST_FUNCTION);
            }
            self.dying.insert(key, dying);
        }
    }

    /// The same, of one whose main thread alone has ended.
    pub(super) fn leader_ended(&mut self, run: usize, alive: &Alive) {
        let key = (run, alive.pid);
        if self.leader_ended.len() < MOST || self.leader_ended.contains_key(&key) {
            self.leader_ended.insert(key, Box::new(alive.clone()));
        }
    }

    /// Those that were killed or began to exit.
    pub(crate) fn all_dying(&self) -> impl Iterator<Item = &Dying> {
        self.dying.values()
    }

    /// Those whose main thread alone has ended.
    pub(crate) fn all_leader_ended(&self) -> impl Iterator<Item = &Alive> {
        self.leader_ended.values().map(Box::as_ref)
    }

    /// All of them, in words that no name can fake.
    pub(crate) fn said(&self) -> Vec<Said> {
        let dying = self.all_dying().map(|dying| Said {
            ts: dying.ts,
            who: format!("{} ({})", printable(&dying.comm), dying.pid),
            why: cause::dying(dying),
        });
        let leader_ended = self.all_leader_ended().map(|alive| Said {
            ts: alive.ts,
            who: format!("{} ({})", printable(&alive.comm), alive.pid),
            why: visible(alive.cause_text.as_deref().unwrap_or_default()),
        });
        dying.chain(leader_ended).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures;

    #[test]
    fn the_last_line_about_each_counts() {
        let mut unended = UnendedOfRuns::default();
        for since in [2, 4] {
            let line = Dying {
                since_ns: Some(since * 1_000_000_000),
                ..fixtures::dying()
            };
            unended.dying(0, &line);
        }
        unended.dying(1, &fixtures::dying());
        unended.leader_ended(0, &fixtures::alive());
        let said = unended.said();
        let who: Vec<_> = said.iter().map(|one| one.who.as_str()).collect();
        assert_eq!(who, ["server (120)", "server (120)", "sleep (4243)"]);
        assert!(said[0].why.starts_with("killed at least 4.00 s ago"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut unended = UnendedOfRuns::default();
        for pid in 0..2 * MOST as u32 {
            unended.dying(
                0,
                &Dying {
                    pid,
                    ..fixtures::dying()
                },
            );
        }
        assert_eq!(unended.all_dying().count(), MOST);
    }
}
