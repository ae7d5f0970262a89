use std::{sync::Arc, time::Duration};

use foldhash::HashMap;
use jiff::Timestamp;

use super::DurationHistogram;
use crate::crowd;

/// The parent's label of all that have no series of their own. Longer than any command name
/// (`TASK_COMM_LEN`), so that no process can be called that.
pub const OTHER: &str = "other (--max-series)";

/// A series of which nothing has been heard for so long gives its place to a new one, if there is
/// no other.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// How often a series may take the place of another that is in use, at the most.
const TAKEOVER: Duration = Duration::from_millis(10);

/// What the figures of a zombie are kept by.
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
    /// How long those lasted that are gone.
    pub durations: DurationHistogram,
    /// How many exist.
    pub zombies: u64,
    /// The age of the oldest of them, ns.
    pub oldest_ns: u64,
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
    /// The cgroup of the process that it was made for; empty if that is not known.
    cgroup: Arc<str>,
    /// The figures.
    pub series: Series,
}

/// So many series at the most, and one for all others.
#[derive(Debug)]
pub struct SeriesTable {
    max: usize,
    slots: Vec<Slot>,
    /// Places in `slots`, by container and parent.
    index: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
    other: Option<Slot>,
    /// No series will have been idle for long enough before.
    full_until: Timestamp,
    /// No series may take another's place before.
    kept_until: Timestamp,
}

impl SeriesTable {
    /// Has room for so many besides [`OTHER`].
    pub fn new(max: usize) -> Self {
        Self {
            max,
            slots: Vec::new(),
            index: HashMap::default(),
            other: None,
            full_until: Timestamp::MIN,
            kept_until: Timestamp::MIN,
        }
    }

    /// The series of these labels, or that of all others. `cgroup` is that of the process whose zombie it
    /// is for; empty if it is not known.
    pub fn series(&mut self, labels: Labels<'_>, cgroup: &str, now: Timestamp) -> &mut Series {
        let known = self.index.get(labels.container);
        let known = known.and_then(|parents| parents.get(labels.parent).copied());
        let slot = match known.or_else(|| self.insert(labels, cgroup, now)) {
            Some(place) => &mut self.slots[place],
            None => self.other.get_or_insert_with(|| {
                let labels = Labels {
                    parent: OTHER,
                    container: "",
                };
                Slot::new(labels, "", now)
            }),
        };
        slot.used = now;
        &mut slot.series
    }

    /// Forgets which zombies exist.
    pub fn forget_living(&mut self) {
        for slot in self.slots.iter_mut().chain(&mut self.other) {
            slot.series.zombies = 0;
            slot.series.oldest_ns = 0;
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

    fn insert(&mut self, labels: Labels<'_>, cgroup: &str, now: Timestamp) -> Option<usize> {
        let slot = Slot::new(labels, cgroup, now);
        let place = if self.slots.len() < self.max {
            self.slots.len()
        } else {
            self.free(now).or_else(|| self.take_over(cgroup, now))?
        };
        let parents = self.index.entry(Arc::clone(&slot.container)).or_default();
        parents.insert(Arc::clone(&slot.parent), place);
        if place == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[place] = slot;
        }
        Some(place)
    }

    /// Takes the place of the one that has been idle the longest, if that is long enough.
    fn free(&mut self, now: Timestamp) -> Option<usize> {
        if now < self.full_until {
            return None;
        }
        let oldest = |(_, slot): &(usize, &Slot)| slot.used;
        let (place, slot) = self.slots.iter().enumerate().min_by_key(oldest)?;
        let due = slot.used.saturating_add(IDLE).unwrap_or(Timestamp::MAX);
        if now < due {
            self.full_until = due;
            return None;
        }
        self.remove_from_index(place);
        Some(place)
    }

    /// Takes the place of the least recently used one of whoever has made the most series, if that is
    /// somebody else with more of them.
    fn take_over(&mut self, cgroup: &str, now: Timestamp) -> Option<usize> {
        if now < self.kept_until {
            return None;
        }
        self.kept_until = now.saturating_add(TAKEOVER).unwrap_or(Timestamp::MAX);
        let paths = || self.slots.iter().map(|slot| &*slot.cgroup);
        let (crowded, number) = crowd::largest(paths(), self.max / 8);
        let own = crowd::peer(cgroup, crowded);
        let owned = paths().filter(|path| crowd::is_within(path, own)).count();
        if crowd::is_within(cgroup, crowded) || owned + 1 >= number {
            return None;
        }
        let in_crowd = |(_, slot): &(usize, &Slot)| crowd::is_within(&slot.cgroup, crowded);
        let slots = self.slots.iter().enumerate().filter(in_crowd);
        let (place, _) = slots.min_by_key(|(_, slot)| slot.used)?;
        self.remove_from_index(place);
        Some(place)
    }

    fn remove_from_index(&mut self, place: usize) {
        let slot = &self.slots[place];
        if let Some(parents) = self.index.get_mut(&slot.container) {
            parents.remove(&slot.parent);
            if parents.is_empty() {
                self.index.remove(&slot.container);
            }
        }
    }
}

impl Slot {
    fn new(labels: Labels<'_>, cgroup: &str, now: Timestamp) -> Self {
        Self {
            parent: labels.parent.into(),
            container: labels.container.into(),
            created: now,
            used: now,
            cgroup: cgroup.into(),
            series: Series::default(),
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
        reap_in(table, parent, "", seconds);
    }

    fn reap_in(table: &mut SeriesTable, parent: &str, cgroup: &str, seconds: i64) {
        let labels = Labels {
            parent,
            container: "",
        };
        table
            .series(labels, cgroup, at(seconds))
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
            table
                .series(Labels { parent, container }, "", at(0))
                .zombies += 1;
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
    fn whoever_makes_most_series_gives_way() {
        let mut table = SeriesTable::new(80);
        reap_in(&mut table, "early", "/system/early", 0);
        for n in 0..1000 {
            reap_in(
                &mut table,
                &format!("flood {n}"),
                &format!("/user/mallory/{n}"),
                0,
            );
        }
        assert_eq!(table.overflow(), 921);
        // Many others come, and stay while the flood goes on.
        for n in 1..=30 {
            reap_in(
                &mut table,
                &format!("late {n}"),
                &format!("/system/late{n}"),
                n,
            );
            reap_in(&mut table, &format!("more {n}"), "/user/mallory/more", n);
        }
        let kept = |name: String| counts(&table).contains(&(&*name, 1));
        assert!(kept("early".into()));
        assert!((1..=30).all(|n| kept(format!("late {n}"))));
        assert_eq!(table.slots().count(), 81);
        assert!(table.index[""].len() == 80);
    }

    #[test]
    fn equals_leave_each_other_alone() {
        let mut table = SeriesTable::new(16);
        for n in 0..16 {
            let cgroup = ["/one", "/two"][n % 2];
            reap_in(&mut table, &format!("{n}"), cgroup, 0);
        }
        for n in 16..100 {
            let cgroup = ["/one", "/two"][n % 2];
            reap_in(&mut table, &format!("{n}"), cgroup, n as i64);
        }
        assert_eq!(table.overflow(), 84);
    }

    #[test]
    fn no_process_can_be_called_other() {
        assert!(OTHER.len() > zombie_trace_common::COMM_LEN);
    }

    #[test]
    fn no_room_at_all() {
        let mut table = SeriesTable::new(0);
        reap(&mut table, "a", 0);
        assert_eq!(counts(&table), [(OTHER, 1)]);
    }
}
