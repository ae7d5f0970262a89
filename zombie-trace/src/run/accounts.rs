//! The books of a run: every process that ended is in exactly one place. Pure.

use std::collections::{HashMap, HashSet};

use zombie_trace_common::{Counters, Record, RunningDescendant, SnapshotEntry, flags, how};

use crate::model::{Counts, Diagnosis, Lost};

/// `EXIT_ZOMBIE` and `EXIT_TRACE` share this bit (include/linux/sched.h).
const EXIT_ZOMBIE: u32 = 0x20;

/// It is being released (include/linux/sched.h).
const EXIT_DEAD: u32 = 0x10;

/// The kernel side's last word: what is known of the processes in its map.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// The dying processes and zombies that still exist.
    pub existing: Vec<SnapshotEntry>,
    /// Why the zombies among them are still there, by pid.
    pub diagnoses: HashMap<u32, Diagnosis>,
    /// Processes that were released, which no hook has told of yet.
    pub released: Vec<Record>,
    /// Its counters, read when the rest was.
    pub counters: Counters,
    /// How often the program that sees exits was skipped.
    pub missed_exits: u64,
    /// Who ended without a notification was autoreaped.
    pub infers_autoreap: bool,
    /// Records that did not arrive before the deadline.
    pub undelivered: u64,
    /// The descendants of the traced root that run on.
    pub running: Vec<RunningDescendant>,
}

/// What became of the processes that ended during a run.
#[derive(Clone, Copy, Debug)]
pub struct Accounts(Counts);

impl Accounts {
    /// Draws up the accounts. What is in no other place was missed.
    pub fn of(remains: &Remains) -> Self {
        let counters = &remains.counters;
        let mut lost = lost(counters, remains.missed_exits);
        lost.ring_full += remains.undelivered;
        let ours = |record: &&Record| !is_pre_existing(record);
        let (autoreaped, reaped): (Vec<&Record>, Vec<&Record>) = remains
            .released
            .iter()
            .filter(ours)
            .partition(|record| is_autoreaped(record, remains.infers_autoreap));
        let (zombies, dying): (Vec<&SnapshotEntry>, Vec<&SnapshotEntry>) = remains
            .existing
            .iter()
            .filter(|entry| !is_pre_existing(&entry.record))
            .partition(|entry| is_zombie(entry));
        let mut counts = Counts {
            // What is still dying has not ended during the run.
            exits: (counters.exits + lost.missed).saturating_sub(dying.len() as u64),
            reaped: counters.reaped + reaped.len() as u64,
            autoreaped: counters.autoreaped + autoreaped.len() as u64,
            alive: zombies.len() as u64,
            pre_existing: 0,
            filtered: 0,
            lost,
            suspicious: counters.suspicious,
        };
        let accounted =
            counts.reaped + counts.autoreaped + counts.alive + lost.map_full + lost.missed;
        counts.lost.missed += counts.exits.saturating_sub(accounted);
        Self(counts)
    }

    /// The accounts while the run goes on: in the end, no count is less but for that of the living.
    ///
    /// The counters were read before `existing`, for a process that was listed as dying to be none
    /// that had been counted. What a hook missed may be seen yet, and is left to the end.
    pub fn so_far(counters: &Counters, existing: &[SnapshotEntry]) -> Self {
        let ours =
            |entry: &&SnapshotEntry| has_ended(&entry.record) && !is_pre_existing(&entry.record);
        let (zombies, dying): (Vec<&SnapshotEntry>, Vec<&SnapshotEntry>) = existing
            .iter()
            .filter(ours)
            .partition(|entry| is_zombie(entry));
        let lost = lost(counters, 0);
        Self(Counts {
            exits: (counters.exits + lost.missed).saturating_sub(dying.len() as u64),
            reaped: counters.reaped,
            autoreaped: counters.autoreaped,
            alive: zombies.len() as u64,
            pre_existing: 0,
            filtered: 0,
            lost,
            suspicious: counters.suspicious,
        })
    }

    /// The counts of the summary, except `filtered` and `pre_existing`, which the pipeline counts.
    pub fn counts(self) -> Counts {
        self.0
    }
}

/// It was dying or a zombie before the tracer attached.
pub fn is_pre_existing(record: &Record) -> bool {
    record.flags & flags::PRE_EXISTING != 0
}

/// It is a zombie, and not dying any more.
pub fn is_zombie(entry: &SnapshotEntry) -> bool {
    entry.now.exit_state & EXIT_ZOMBIE != 0
}

/// It is reaped, though the kernel's list still has it.
pub fn is_released(entry: &SnapshotEntry) -> bool {
    entry.now.exit_state == EXIT_DEAD
}

/// Its leader ended alone and its threads live on, or have ended unseen.
pub fn has_ended(record: &Record) -> bool {
    record.exit_time != 0 || is_pre_existing(record)
}

/// A process that is gone was autoreaped: the kernel was about to do that when it notified the
/// parent, or, if `inferred`, nobody was notified though somebody should have been.
fn is_autoreaped(record: &Record, inferred: bool) -> bool {
    let never_notified = record.zombie_time == 0 && record.flags & flags::NO_EXIT_SIGNAL == 0;
    record.how == how::AUTOREAP || (inferred && never_notified)
}

/// How many processes the kernel side knows that have not ended for good.
pub fn known(counters: &Counters) -> u64 {
    let known = counters.exits + counters.adopted;
    let gone =
        counters.map_full + counters.reaped + counters.autoreaped + counters.pre_existing_reaped;
    known.saturating_sub(gone)
}

/// How many records the ring buffer was given.
pub fn submitted(counters: &Counters) -> u64 {
    let ended = counters.reaped + counters.autoreaped + counters.pre_existing_reaped;
    ended.saturating_sub(counters.ring_full + counters.pre_existing_lost)
}

/// What was lost so far.
pub fn lost(counters: &Counters, missed_exits: u64) -> Lost {
    Lost {
        ring_full: counters.ring_full,
        map_full: counters.map_full,
        // One that was seen to become a zombie was not missed.
        missed: missed_exits.saturating_sub(counters.recovered)
            + counters.tree_full
            + counters.pre_existing_lost,
    }
}

/// Those of the records in the kernel's map whose process is not in the task list any more.
pub fn released_among(
    records: impl IntoIterator<Item = Record>,
    existing: &[SnapshotEntry],
) -> Vec<Record> {
    let existing: HashSet<_> = existing.iter().map(|entry| entry.record.task).collect();
    records
        .into_iter()
        .filter(|record| has_ended(record) && !existing.contains(&record.task))
        .collect()
}

/// Ends the record of a process that is gone, of whose end nobody has told: it was between its
/// beginning and `now` (monotonic, ns).
pub fn close(record: &Record, now: u64, infers_autoreap: bool) -> Record {
    let mut record = *record;
    if is_autoreaped(&record, infers_autoreap) {
        record.how = how::AUTOREAP;
        record.reap_time = if record.zombie_time == 0 {
            record.exit_time
        } else {
            record.zombie_time
        };
        return record;
    }
    if record.zombie_time == 0 {
        record.flags |= flags::APPROXIMATE_START;
        record.zombie_time = record.exit_time;
        record.zombie_time_max = now;
    }
    if record.how == how::AUTOREAP_ON_REPARENT {
        record.reap_time_min = record.reap_time;
        return record;
    }
    record.how = how::UNKNOWN;
    record.flags |= flags::BOUNDED_END;
    record.reap_time_min = record.zombie_time;
    record.reap_time = now;
    record
}

#[cfg(test)]
mod tests {
    use zombie_trace_common::TaskNow;

    use super::*;

    fn record(task: u64, zombie_time: u64, flags: u32) -> Record {
        Record {
            task,
            exit_time: 100,
            zombie_time,
            flags,
            ..Record::default()
        }
    }

    fn entry(task: u64, exit_state: u32, flags: u32) -> SnapshotEntry {
        SnapshotEntry {
            record: record(task, 110, flags),
            now: TaskNow {
                exit_state,
                ..TaskNow::default()
            },
        }
    }

    fn assert_balanced(counts: &Counts) {
        assert_eq!(
            counts.exits,
            counts.reaped
                + counts.autoreaped
                + counts.alive
                + counts.lost.map_full
                + counts.lost.missed
        );
    }

    #[test]
    fn every_process_is_in_one_place() {
        let remains = Remains {
            existing: vec![
                entry(1, 32, 0),
                entry(2, 0, 0),
                entry(3, 32, flags::PRE_EXISTING),
            ],
            diagnoses: HashMap::new(),
            released: vec![
                record(4, 110, 0),
                record(5, 0, 0),
                record(6, 0, flags::NO_EXIT_SIGNAL),
            ],
            counters: Counters {
                exits: 20,
                reaped: 10,
                autoreaped: 4,
                map_full: 1,
                adopted: 1,
                ..Counters::default()
            },
            infers_autoreap: true,
            ..Remains::default()
        };
        let counts = Accounts::of(&remains).counts();
        assert_eq!(
            (counts.exits, counts.reaped, counts.autoreaped),
            (19, 12, 5)
        );
        assert_eq!(
            (counts.alive, counts.lost.map_full, counts.lost.missed),
            (1, 1, 0)
        );
        assert_balanced(&counts);
    }

    #[test]
    fn no_count_is_more_than_in_the_end() {
        let mut leader = entry(5, 32, 0);
        leader.record.exit_time = 0;
        let existing = [
            entry(1, 32, 0),
            entry(2, 0, 0),
            entry(3, 0, 0),
            entry(4, 32, flags::PRE_EXISTING),
            leader,
        ];
        let counters = Counters {
            exits: 20,
            recovered: 1,
            reaped: 12,
            autoreaped: 4,
            map_full: 1,
            adopted: 1,
            ..Counters::default()
        };
        let sofar = Accounts::so_far(&counters, &existing).counts();
        assert_eq!((sofar.exits, sofar.alive), (18, 1));
        assert_eq!((sofar.reaped, sofar.autoreaped), (12, 4));
        assert_eq!((sofar.lost.map_full, sofar.lost.missed), (1, 0));
        let counts = Accounts::of(&Remains {
            existing: existing[..4].to_vec(),
            counters,
            missed_exits: 2,
            ..Remains::default()
        })
        .counts();
        assert_eq!((counts.exits, counts.lost.missed), (19, 1));
        assert_eq!(counts.alive, sofar.alive);
        assert_balanced(&counts);
    }

    #[test]
    fn records_that_did_not_arrive_are_lost() {
        let counters = Counters {
            exits: 20,
            reaped: 14,
            autoreaped: 6,
            ring_full: 2,
            pre_existing_reaped: 5,
            pre_existing_lost: 1,
            ..Counters::default()
        };
        assert_eq!(submitted(&counters), 22);
        let remains = Remains {
            counters,
            undelivered: 4,
            ..Remains::default()
        };
        let counts = Accounts::of(&remains).counts();
        assert_eq!((counts.lost.ring_full, counts.lost.missed), (6, 1));
        assert_balanced(&counts);
    }

    #[test]
    fn one_that_is_being_released_is_not_dying() {
        assert!(is_released(&entry(1, 16, 0)));
        assert!(!is_released(&entry(1, 32, 0)) && !is_released(&entry(1, 48, 0)));
        assert!(!is_released(&entry(1, 0, 0)));
    }

    #[test]
    fn what_is_nowhere_was_missed() {
        let remains = Remains {
            counters: Counters {
                exits: 20,
                reaped: 10,
                tree_full: 1,
                pre_existing_lost: 1,
                ..Counters::default()
            },
            missed_exits: 3,
            ..Remains::default()
        };
        let counts = Accounts::of(&remains).counts();
        assert_eq!((counts.exits, counts.lost.missed), (25, 15));
        assert_balanced(&counts);
    }

    #[test]
    fn released_are_those_not_in_the_task_list() {
        let waiting_leader = Record {
            exit_time: 0,
            ..record(9, 0, 0)
        };
        let found = released_among(
            [record(1, 110, 0), record(2, 110, 0), waiting_leader],
            &[entry(1, 32, 0)],
        );
        assert_eq!(found, [record(2, 110, 0)]);
    }

    #[test]
    fn an_unseen_end_is_bounded() {
        let closed = close(&record(1, 110, 0), 500, true);
        assert_eq!((closed.reap_time_min, closed.reap_time), (110, 500));
        assert_eq!(
            (closed.how, closed.flags),
            (how::UNKNOWN, flags::BOUNDED_END)
        );
        assert_eq!(close(&record(1, 0, 0), 500, true).how, how::AUTOREAP);
        let missed = close(&record(1, 0, 0), 500, false);
        assert_eq!((missed.how, missed.zombie_time_max), (how::UNKNOWN, 500));
        let unseen = close(&record(1, 0, flags::NO_EXIT_SIGNAL), 500, true);
        assert_eq!((unseen.zombie_time, unseen.zombie_time_max), (100, 500));
    }

    #[test]
    fn an_expected_autoreap_is_believed_once_the_process_is_gone() {
        let expected = |how| Record {
            how,
            reap_time: 120,
            ..record(1, 110, 0)
        };
        let at_once = expected(how::AUTOREAP);
        let closed = close(&at_once, 500, true);
        assert_eq!((closed.how, closed.reap_time), (how::AUTOREAP, 110));
        let closed = close(&expected(how::AUTOREAP_ON_REPARENT), 500, true);
        assert_eq!((closed.reap_time_min, closed.reap_time), (120, 120));
        assert_eq!(closed.flags & flags::BOUNDED_END, 0);
        let counters = Counters {
            exits: 2,
            suspicious: 3,
            ..Counters::default()
        };
        let mut listed = entry(2, 32, 0);
        listed.record.how = how::AUTOREAP;
        let counts = Accounts::of(&Remains {
            existing: vec![listed],
            released: vec![at_once],
            counters,
            ..Remains::default()
        })
        .counts();
        assert_eq!((counts.autoreaped, counts.alive), (1, 1));
        assert_eq!((counts.lost.missed, counts.suspicious), (0, 3));
        assert_balanced(&counts);
    }
}
