use std::{sync::Arc, time::Duration};

use foldhash::HashMap;
use jiff::Timestamp;

use super::DurationHistogram;
use crate::model::Cause;

/// The parent's label of all zombies that have no series of their own. Longer than any command name
/// (`TASK_COMM_LEN`), so that no process can be called that.
pub const OTHER: &str = "other (--max-series)";

/// A series that has been idle for this long gives its place to a new one, if no other is free.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// One part of this many is the share of a user who is not root, and of a container: neither can
/// take all series by making up names.
const SHARES: usize = 4;

/// What distinguishes a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels<'a> {
    /// The real parent's command name; empty if it is not known.
    pub parent: &'a str,
    /// The container; empty if it is in none.
    pub container: &'a str,
}

/// The figures of the zombies that have the same labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// How long reaped processes were zombies.
    pub durations: DurationHistogram,
    /// The zombie time of all of them since counting began, ns: living ones count as they age.
    pub zombie_time_ns: u64,
    /// Living zombies.
    pub zombies: u64,
    /// The age of the oldest of them, ns.
    pub oldest_ns: u64,
    /// Those of them that are old enough to have a cause, by cause.
    pub by_cause: Vec<(Cause, Living)>,
}

/// Living zombies.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Living {
    /// How many there are.
    pub zombies: u64,
    /// The age of the oldest, ns.
    pub oldest_ns: u64,
}

impl Series {
    /// A zombie of this age exists. `cause` is that of one old enough to have one.
    pub fn living(&mut self, age_ns: u64, cause: Option<Cause>) {
        self.zombies += 1;
        self.oldest_ns = self.oldest_ns.max(age_ns);
        let Some(cause) = cause else {
            return;
        };
        let known = self.by_cause.iter().position(|(other, _)| *other == cause);
        let place = known.unwrap_or_else(|| {
            self.by_cause.push((cause, Living::default()));
            self.by_cause.len() - 1
        });
        let of_cause = &mut self.by_cause[place].1;
        of_cause.zombies += 1;
        of_cause.oldest_ns = of_cause.oldest_ns.max(age_ns);
    }

    /// No zombie exists.
    fn forget_living(&mut self) {
        self.zombies = 0;
        self.oldest_ns = 0;
        self.by_cause.clear();
    }
}

/// A series and what it is kept by.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// See [`Labels::parent`].
    pub parent: Arc<str>,
    /// See [`Labels::container`].
    pub container: Arc<str>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used.
    used: Timestamp,
    /// Whose share it counts against.
    uid: u32,
    /// The figures.
    pub series: Series,
}

/// A bounded number of series, and one for all others.
#[derive(Debug)]
pub struct SeriesTable {
    max: usize,
    /// What a new series begins with.
    empty: Series,
    slots: Vec<Slot>,
    /// Places in `slots`, by container and parent.
    index: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
    /// How many each user has.
    by_uid: HashMap<u32, usize>,
    other: Option<Slot>,
    /// No series will have been idle for long enough before.
    full_until: Timestamp,
}

impl SeriesTable {
    /// Has room for `max` series besides [`OTHER`].
    pub fn new(max: usize) -> Self {
        Self {
            max,
            empty: Series::default(),
            slots: Vec::new(),
            index: HashMap::default(),
            by_uid: HashMap::default(),
            other: None,
            full_until: Timestamp::MIN,
        }
    }

    /// Every series has an exponential histogram as well.
    pub fn with_exponential(self) -> Self {
        Self {
            empty: Series {
                durations: DurationHistogram::with_exponential(),
                ..self.empty
            },
            ..self
        }
    }

    /// The series of these labels, or that of all others. `uid` is the zombie's user.
    pub fn series(&mut self, labels: Labels<'_>, uid: u32, now: Timestamp) -> &mut Series {
        let known = self.index.get(labels.container);
        let known = known.and_then(|parents| parents.get(labels.parent).copied());
        let slot = match known.or_else(|| self.insert(labels, uid, now)) {
            Some(place) => &mut self.slots[place],
            None => self.other.get_or_insert_with(|| {
                let labels = Labels {
                    parent: OTHER,
                    container: "",
                };
                Slot::new(labels, 0, now, &self.empty)
            }),
        };
        slot.used = now;
        &mut slot.series
    }

    /// Forgets which zombies exist.
    pub fn forget_living(&mut self) {
        for slot in self.slots.iter_mut().chain(&mut self.other) {
            slot.series.forget_living();
        }
    }

    /// All of them, [`OTHER`] last.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().chain(&self.other)
    }

    /// How many zombies were not counted under their own labels.
    pub fn overflow(&self) -> u64 {
        let other = self.other.as_ref();
        other.map_or(0, |other| other.series.durations.count())
    }

    fn insert(&mut self, labels: Labels<'_>, uid: u32, now: Timestamp) -> Option<usize> {
        let share = self.max.div_ceil(SHARES);
        let of_user = self.by_uid.get(&uid).copied().unwrap_or(0);
        let of_container = self.index.get(labels.container);
        let of_container = of_container.map_or(0, |parents| parents.len());
        let user_is_full = uid != 0 && of_user >= share;
        let container_is_full = !labels.container.is_empty() && of_container >= share;
        let slot = Slot::new(labels, uid, now, &self.empty);
        let place = if user_is_full || container_is_full {
            let may_go = |other: &Slot| {
                (!user_is_full || other.uid == uid)
                    && (!container_is_full || other.container == slot.container)
            };
            self.free(now, may_go).ok()?
        } else if self.slots.len() < self.max {
            self.slots.len()
        } else if now < self.full_until {
            return None;
        } else {
            match self.free(now, |_| true) {
                Ok(place) => place,
                Err(due) => {
                    self.full_until = due;
                    return None;
                }
            }
        };
        let parents = self.index.entry(Arc::clone(&slot.container)).or_default();
        parents.insert(Arc::clone(&slot.parent), place);
        *self.by_uid.entry(uid).or_default() += 1;
        if place == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[place] = slot;
        }
        Some(place)
    }

    /// Takes the place of the one that has been idle the longest among those that may go; fails with
    /// the time when one will have been idle for long enough.
    fn free(&mut self, now: Timestamp, may_go: impl Fn(&Slot) -> bool) -> Result<usize, Timestamp> {
        let slots = self.slots.iter().enumerate();
        let oldest = slots
            .filter(|(_, slot)| may_go(slot))
            .min_by_key(|(_, slot)| slot.used);
        let (place, slot) = oldest.ok_or(Timestamp::MAX)?;
        let due = slot.used.saturating_add(IDLE).unwrap_or(Timestamp::MAX);
        if now < due {
            return Err(due);
        }
        if let Some(count) = self.by_uid.get_mut(&slot.uid) {
            *count -= 1;
            if *count == 0 {
                self.by_uid.remove(&slot.uid);
            }
        }
        if let Some(parents) = self.index.get_mut(&slot.container) {
            parents.remove(&slot.parent);
            if parents.is_empty() {
                self.index.remove(&slot.container);
            }
        }
        Ok(place)
    }
}

impl Slot {
    fn new(labels: Labels<'_>, uid: u32, now: Timestamp, empty: &Series) -> Self {
        Self {
            parent: labels.parent.into(),
            container: labels.container.into(),
            created: now,
            used: now,
            uid,
            series: empty.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn reap(table: &mut SeriesTable, parent: &str, seconds: i64) {
        let labels = Labels {
            parent,
            container: "",
        };
        table
            .series(labels, 0, at(seconds))
            .durations
            .record(seconds as u64);
    }

    fn counts(table: &SeriesTable) -> Vec<(&str, u64)> {
        table
            .slots()
            .map(|slot| (&*slot.parent, slot.series.durations.count()))
            .collect()
    }

    #[test]
    fn the_rest_is_other() {
        let mut table = SeriesTable::new(2);
        for parent in ["a", "b", "c", "a", "d", "b"] {
            reap(&mut table, parent, 0);
        }
        assert_eq!(counts(&table), [("a", 2), ("b", 2), (OTHER, 2)]);
        assert_eq!(table.overflow(), 2);
    }

    #[test]
    fn parent_and_container_are_both_told_apart() {
        let mut table = SeriesTable::new(10);
        for (parent, container) in [("a", "x"), ("a", "y"), ("x", "a"), ("a", "x")] {
            table.series(Labels { parent, container }, 0, at(0)).zombies += 1;
        }
        assert_eq!(table.slots().count(), 3);
        table.forget_living();
        assert!(table.slots().all(|slot| slot.series.zombies == 0));
    }

    #[test]
    fn the_idle_make_room_and_the_busy_stay() {
        let idle = IDLE.as_secs() as i64;
        let mut table = SeriesTable::new(2);
        reap(&mut table, "idle", 0);
        reap(&mut table, "busy", 0);
        reap(&mut table, "new", idle - 1);
        reap(&mut table, "busy", idle - 1);
        assert_eq!(table.overflow(), 1);
        reap(&mut table, "new", idle);
        assert_eq!(counts(&table), [("new", 1), ("busy", 2), (OTHER, 1)]);
        reap(&mut table, "idle", idle);
        assert_eq!(table.overflow(), 2);
    }

    #[test]
    fn no_process_can_be_called_other() {
        assert!(OTHER.len() > zombie_trace_common::COMM_LEN);
    }

    #[test]
    fn nobody_takes_all_series_by_making_up_names() {
        let own = |table: &SeriesTable| table.slots.len();
        let mut table = SeriesTable::new(8);
        let mut reap = |parent: &str, container: &str, uid| {
            let labels = Labels { parent, container };
            table.series(labels, uid, at(0)).durations.record(1);
            own(&table)
        };
        for number in 0..100 {
            reap(&format!("flood-{number}"), "", 1000);
        }
        assert_eq!(reap("victim", "", 1001), 3);
        for number in 0..100 {
            reap(&format!("flood-{number}"), "container", 0);
        }
        assert_eq!(reap("victim", "other container", 0), 6);
        // What a user has stays its own.
        assert_eq!(reap("flood-0", "", 1000), 6);
        assert_eq!(reap("root", "", 0), 7);
    }

    #[test]
    fn idle_series_give_their_user_its_share_back() {
        let idle = IDLE.as_secs() as i64;
        let mut table = SeriesTable::new(4);
        let labels = |parent| Labels {
            parent,
            container: "",
        };
        table.series(labels("a"), 1000, at(0));
        for parent in ["b", "c", "d"] {
            table.series(labels(parent), 0, at(idle));
        }
        table.series(labels("e"), 0, at(idle));
        table.series(labels("f"), 1000, at(2 * idle)).zombies = 7;
        assert!(table.slots().any(|slot| &*slot.parent == "f"));
    }

    #[test]
    fn no_room_at_all() {
        let mut table = SeriesTable::new(0);
        reap(&mut table, "a", 0);
        assert_eq!(counts(&table), [(OTHER, 1)]);
    }
}
