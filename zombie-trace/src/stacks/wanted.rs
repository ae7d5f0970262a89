//! Which threads are worth a sample.

use std::collections::HashMap;

use zombie_trace_common::{Record, SnapshotEntry, flags};

use super::tally::Thread;
use crate::model::Comm;

/// The threads that made the zombies that are older than this `now` (monotonic, ns), and how many of these
/// each has made. The tracer's own threads are left out.
pub(super) fn wanted(
    zombies: &[SnapshotEntry],
    now: u64,
    after_ns: u64,
    own_pid: u32,
) -> Vec<(Thread, u64)> {
    let mut threads: HashMap<(u32, u32), (Thread, u64)> = HashMap::new();
    for SnapshotEntry { record, now: task } in zombies {
        let ppid = task.ppid;
        let is_old = now.saturating_sub(since(record)) >= after_ns;
        if !is_old || ppid == 0 || ppid == own_pid {
            continue;
        }
        let tid = match task.parent_tid {
            0 => ppid,
            tid => tid,
        };
        // Whoever has inherited it has another name.
        let has_name = record.ppid == ppid;
        let (_, zombies) = threads.entry((ppid, tid)).or_insert_with(|| {
            let thread = Thread {
                ppid,
                comm: has_name.then(|| Comm::new(record.parent_comm)),
                tid,
            };
            (thread, 0)
        });
        *zombies += 1;
    }
    let mut threads: Vec<_> = threads.into_values().collect();
    threads.sort_by_key(|(thread, _)| (thread.ppid, thread.tid));
    threads
}

/// When it became a zombie. One from before the run is older than any bound.
fn since(record: &Record) -> u64 {
    if record.flags & flags::PRE_EXISTING != 0 {
        return 0;
    }
    let times = [record.zombie_time_max, record.zombie_time, record.exit_time];
    times.into_iter().find(|&time| time != 0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use zombie_trace_common::TaskNow;

    use super::*;

    fn zombie(ppid: u32, now: u32, tid: u32, zombie_time: u64) -> SnapshotEntry {
        SnapshotEntry {
            record: Record {
                ppid,
                zombie_time,
                parent_comm: *b"sup\0\0\0\0\0\0\0\0\0\0\0\0\0",
                ..Record::default()
            },
            now: TaskNow {
                ppid: now,
                parent_tid: tid,
                ..TaskNow::default()
            },
        }
    }

    #[test]
    fn threads_that_made_old_zombies_are_wanted() {
        let zombies = [
            zombie(7, 7, 7, 50),
            zombie(7, 7, 8, 50),
            zombie(7, 7, 8, 90),
            zombie(7, 7, 8, 91),
            // Inherited since: the name is the former parent's.
            zombie(7, 1, 1, 50),
            // Outside of our pid namespace.
            zombie(0, 0, 0, 50),
            zombie(9, 9, 0, 91),
            // Ours.
            zombie(5, 5, 5, 50),
        ];
        let found = wanted(&zombies, 100, 10, 5);
        let found: Vec<_> = found
            .iter()
            .map(|(one, zombies)| (one.ppid, one.tid, *zombies, one.comm.is_some()))
            .collect();
        assert_eq!(found, [(1, 1, 1, false), (7, 7, 1, true), (7, 8, 2, true)]);
    }

    #[test]
    fn a_zombie_without_a_date_is_old() {
        let mut pre_existing = zombie(7, 7, 7, 99);
        pre_existing.record.flags = flags::PRE_EXISTING;
        for zombie in [zombie(7, 7, 7, 0), pre_existing] {
            assert_eq!(wanted(&[zombie], 100, 10, 5).len(), 1);
        }
    }
}
