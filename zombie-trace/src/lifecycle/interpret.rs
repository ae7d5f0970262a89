use foldhash::HashMap;

use zombie_trace_common::{Record, SnapshotEntry, flags, how};

use super::{RunQueueClocks, WallClock};
use crate::model::{Alive, Comm, Flag, How, Phases, Place, Zombie};

/// Turns the kernel side's records into lifetimes.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// The backend's error for a record with exact ends, ns.
    exact_error_ns: u64,
    /// When the zombies that were there before began, by identity of the task.
    begins: HashMap<(u64, u64), Bounds>,
}

/// An instant that lies between two times (monotonic, ns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    min: u64,
    max: u64,
}

impl Bounds {
    fn exact(time: u64) -> Self {
        Self {
            min: time,
            max: time,
        }
    }

    fn middle(self) -> u64 {
        self.min + self.half_width()
    }

    fn half_width(self) -> u64 {
        self.max.saturating_sub(self.min) / 2
    }
}

impl Lifecycle {
    /// `exact_error_ns`: the measured error of the backend's hooks, ns.
    pub fn new(exact_error_ns: u64) -> Self {
        Self {
            exact_error_ns,
            begins: HashMap::default(),
        }
    }

    /// Dates a zombie that was there before the tracer by the last time that its task ran.
    ///
    /// The date is 0.7–1.6 ms late after 25 s (measured on 6.18), and the later the more time
    /// interrupts and the hypervisor have taken since, as the run-queue clock leaves that out.
    pub fn adopt(&mut self, entry: &SnapshotEntry, clocks: &RunQueueClocks, wall: &WallClock) {
        const ERROR_NS: u64 = 2_000_000;
        const DRIFT: u64 = 1000;
        let record = &entry.record;
        if record.flags & flags::APPROXIMATE_START == 0 {
            return;
        }
        let found = record.zombie_time;
        let started = record
            .start_boottime
            .saturating_sub(wall.suspended_ns)
            .min(found);
        let begin = match clocks.monotonic(entry.now.cpu, entry.now.exec_start) {
            Some(last_run) => {
                let last_run = last_run.clamp(started, found);
                let error = ERROR_NS + (found - last_run) / DRIFT;
                Bounds {
                    min: last_run.saturating_sub(error).max(started),
                    max: (last_run + error).min(found),
                }
            }
            None => Bounds {
                min: started,
                max: found,
            },
        };
        self.begins
            .insert((record.task, record.start_boottime), begin);
    }

    /// A process that is gone.
    pub fn zombie(&mut self, record: &Record, wall: &WallClock, place: Place) -> Zombie {
        let begin = self.begin(record);
        self.begins.remove(&(record.task, record.start_boottime));
        let end = if record.flags & flags::BOUNDED_END != 0 {
            Bounds {
                min: record.reap_time_min,
                max: record.reap_time,
            }
        } else {
            Bounds::exact(record.reap_time)
        };
        let how = how(record.how);
        let (zombie_ns, error_ns) = if how == How::Autoreap {
            (0, 0)
        } else {
            self.between(begin, end)
        };
        let (exit_code, signal, core_dumped) = status(record.wait_status);
        let exit_seen = record.exit_time != 0 && record.flags & flags::EXIT_UNSEEN == 0;
        let exited = exit_seen.then_some(record.exit_time);
        let notified = record.zombie_time != 0 && record.flags & flags::APPROXIMATE_START == 0;
        let reaper = (record.reaper_pid != 0).then_some(record.reaper_pid);
        Zombie {
            ts: wall.timestamp(end.middle()),
            pid: record.pid,
            ns_pid: record.ns_pid,
            comm: Comm::new(record.comm),
            uid: record.uid,
            ppid: parent(record),
            parent_comm: parent(record).map(|_| Comm::new(record.parent_comm)),
            foreign: foreign(record.flags),
            exit_code,
            signal,
            core_dumped,
            zombie_ns,
            error_ns,
            teardown_ns: exited
                .filter(|_| notified)
                .map(|exited| record.zombie_time.saturating_sub(exited)),
            run_ns: exited
                .map(|exited| wall.boottime(exited).saturating_sub(record.start_boottime)),
            how,
            reaper_pid: reaper,
            reaper_tid: reaper.and((record.reaper_tid != 0).then_some(record.reaper_tid)),
            reaper_comm: reaper.map(|_| Comm::new(record.reaper_comm)),
            cgroup: place.cgroup,
            container: place.container,
            parent_container: place.parent_container,
            reaper_container: place.reaper_container.filter(|_| reaper.is_some()),
            flags: flags_of(record.flags),
            phases: Phases::of(record),
            cause: None,
            cause_text: None,
            why: None,
            looked_at: None,
        }
    }

    /// How long it has been a zombie `now` (monotonic, ns), and how far off that can be.
    pub fn age(&self, record: &Record, now: u64) -> (u64, u64) {
        let mut begin = self.begin(record);
        if begin.min == 0 {
            // Nobody was notified of it (exit_signal 0).
            begin = Bounds {
                min: record.exit_time,
                max: now,
            };
        }
        self.between(begin, Bounds::exact(now))
    }

    /// A zombie that still exists `now` (monotonic, ns).
    pub fn alive(&self, record: &Record, now: u64, wall: &WallClock, place: Place) -> Alive {
        let (age_ns, error_ns) = self.age(record, now);
        let (exit_code, signal, _) = status(record.wait_status);
        let mut flags = flags_of(record.flags);
        if record.zombie_time == 0 {
            flags.insert(0, Flag::ApproximateStart);
        }
        Alive {
            ts: wall.timestamp(now),
            pid: record.pid,
            ns_pid: record.ns_pid,
            comm: Comm::new(record.comm),
            uid: record.uid,
            ppid: parent(record),
            parent_comm: parent(record).map(|_| Comm::new(record.parent_comm)),
            foreign: foreign(record.flags),
            exit_code,
            signal,
            age_ns,
            error_ns,
            cause: None,
            cause_text: None,
            why: None,
            looked_at: None,
            advice: None,
            runtime: None,
            watched_ns: None,
            cgroup: place.cgroup,
            container: place.container,
            parent_container: place.parent_container,
            flags,
        }
    }

    fn begin(&self, record: &Record) -> Bounds {
        if let Some(begin) = self.begins.get(&(record.task, record.start_boottime)) {
            return *begin;
        }
        Bounds {
            min: record.zombie_time,
            max: record.zombie_time.max(record.zombie_time_max),
        }
    }

    /// The time between two instants, and the bound on its error.
    fn between(&self, begin: Bounds, end: Bounds) -> (u64, u64) {
        let between = Bounds {
            min: end.min.saturating_sub(begin.max),
            max: end.max.saturating_sub(begin.min),
        };
        (between.middle(), between.half_width() + self.exact_error_ns)
    }
}

fn parent(record: &Record) -> Option<u32> {
    (record.ppid != 0).then_some(record.ppid)
}

/// Whether the program that its parent is now did not make it. A new parent has adopted it.
pub(crate) fn foreign(set: u32) -> Option<bool> {
    if set & (flags::FOREIGN | flags::REPARENTED) != 0 {
        Some(true)
    } else {
        (set & flags::OWN != 0).then_some(false)
    }
}

/// Exit code, signal and whether core was dumped, from a wait status (wait(2)).
fn status(status: u32) -> (Option<u8>, Option<u8>, bool) {
    const CORE_DUMPED: u32 = 0x80;
    let signal = (status & 0x7f) as u8;
    if signal == 0 {
        (Some((status >> 8) as u8), None, false)
    } else {
        (None, Some(signal), status & CORE_DUMPED != 0)
    }
}

fn how(how: u32) -> How {
    match how {
        how::WAIT4 => How::Wait4,
        how::WAITID => How::Waitid,
        how::IO_URING => How::IoUring,
        how::WAIT => How::Wait,
        how::AUTOREAP => How::Autoreap,
        how::AUTOREAP_ON_REPARENT => How::AutoreapOnReparent,
        how::NS_TEARDOWN => How::NsTeardown,
        how::KERNEL => How::Kernel,
        _ => How::Unknown,
    }
}

fn flags_of(set: u32) -> Vec<Flag> {
    const FLAGS: [(u32, Flag); 7] = [
        (flags::APPROXIMATE_START, Flag::ApproximateStart),
        (flags::BOUNDED_END, Flag::BoundedEnd),
        (flags::LEADER_EXITED_EARLY, Flag::LeaderExitedEarly),
        (flags::REPARENTED, Flag::Reparented),
        (flags::TRACED, Flag::Traced),
        (flags::PRE_EXISTING, Flag::PreExisting),
        (flags::NO_EXIT_SIGNAL, Flag::NoExitSignal),
    ];
    FLAGS
        .iter()
        .filter(|(bit, _)| set & bit != 0)
        .map(|(_, flag)| *flag)
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use zombie_trace_common::{ClockSample, TaskNow};

    use super::*;

    const ERROR: u64 = 12_000;
    const MS: u64 = 1_000_000;

    fn wall() -> WallClock {
        WallClock {
            wall: SignedDuration::from_secs(1_700_000_000),
            suspended_ns: 5 * MS,
        }
    }

    fn record() -> Record {
        Record {
            task: 0xffff_8880_0000_0000,
            start_boottime: 105 * MS,
            exit_time: 200 * MS,
            zombie_time: 201 * MS,
            reap_time: 221 * MS,
            reap_time_min: 221 * MS,
            pid: 42,
            ns_pid: 42,
            ppid: 41,
            wait_status: 7 << 8,
            reaper_pid: 41,
            reaper_tid: 43,
            how: how::WAIT4,
            ..Record::default()
        }
    }

    /// Found as a zombie, and reaped later.
    fn adopted() -> Record {
        Record {
            exit_time: 0,
            zombie_time: 210 * MS,
            flags: flags::PRE_EXISTING | flags::APPROXIMATE_START,
            ..record()
        }
    }

    fn interpret(record: &Record) -> Zombie {
        Lifecycle::new(ERROR).zombie(record, &wall(), Place::default())
    }

    #[test]
    fn an_ordinary_zombie() {
        let zombie = interpret(&record());
        assert_eq!((zombie.zombie_ns, zombie.error_ns), (20 * MS, ERROR));
        assert_eq!(zombie.teardown_ns, Some(MS));
        assert_eq!(zombie.run_ns, Some(100 * MS));
        assert_eq!((zombie.exit_code, zombie.signal), (Some(7), None));
        assert_eq!((zombie.ppid, zombie.reaper_pid), (Some(41), Some(41)));
        assert_eq!(zombie.reaper_tid, Some(43));
        assert_eq!(zombie.ts.to_string(), "2023-11-14T22:13:20.221Z");
        assert_eq!(zombie.flags, []);
    }

    #[test]
    fn foreign_is_what_the_kernel_side_is_certain_of() {
        for (flags, foreign) in [
            (0, None),
            (flags::OWN, Some(false)),
            (flags::FOREIGN, Some(true)),
            (flags::OWN | flags::REPARENTED, Some(true)),
            (flags::REPARENTED, Some(true)),
        ] {
            let record = Record { flags, ..record() };
            assert_eq!(interpret(&record).foreign, foreign, "{flags:#x}");
        }
    }

    #[test]
    fn a_parent_that_called_exec_since_is_another_program() {
        let relation = |now| {
            let entry = SnapshotEntry {
                record: Record {
                    flags: flags::OWN | flags::TRACED,
                    ..record()
                },
                now: TaskNow {
                    relation: now,
                    ..TaskNow::default()
                },
            };
            let place = Place::default();
            let alive = Lifecycle::new(ERROR).alive(&entry.record_now(), 300 * MS, &wall(), place);
            assert_eq!(alive.flags, [Flag::Traced]);
            alive.foreign
        };
        assert_eq!(relation(flags::FOREIGN), Some(true));
        assert_eq!(relation(flags::OWN), Some(false));
        assert_eq!(relation(0), None);
    }

    #[test]
    fn a_signal_and_a_core() {
        let zombie = interpret(&Record {
            wait_status: 0x80 | 11,
            ..record()
        });
        assert_eq!((zombie.exit_code, zombie.signal), (None, Some(11)));
        assert!(zombie.core_dumped);
    }

    #[test]
    fn autoreaped_was_never_a_zombie() {
        let zombie = interpret(&Record {
            zombie_time: 0,
            how: how::AUTOREAP,
            reap_time: 200 * MS,
            reaper_pid: 0,
            ..record()
        });
        assert_eq!((zombie.zombie_ns, zombie.error_ns), (0, 0));
        assert_eq!((zombie.teardown_ns, zombie.reaper_pid), (None, None));
        assert_eq!(zombie.reaper_tid, None);
    }

    #[test]
    fn a_bounded_end_gives_the_middle_and_half_the_width() {
        let zombie = interpret(&Record {
            reap_time_min: 211 * MS,
            flags: flags::BOUNDED_END,
            ..record()
        });
        assert_eq!(
            (zombie.zombie_ns, zombie.error_ns),
            (15 * MS, 5 * MS + ERROR)
        );
        assert_eq!(zombie.flags, [Flag::BoundedEnd]);
    }

    #[test]
    fn an_approximate_start_widens_the_error_and_hides_the_teardown() {
        let zombie = interpret(&Record {
            zombie_time: 200 * MS,
            zombie_time_max: 202 * MS,
            flags: flags::APPROXIMATE_START | flags::NO_EXIT_SIGNAL,
            ..record()
        });
        assert_eq!((zombie.zombie_ns, zombie.error_ns), (20 * MS, MS + ERROR));
        assert_eq!(zombie.teardown_ns, None);
    }

    #[test]
    fn an_adopted_zombie_is_dated_by_its_last_run() {
        let mut lifecycle = Lifecycle::new(ERROR);
        let adopted = adopted();
        let clocks = RunQueueClocks::new(&[ClockSample {
            now: 230 * MS,
            exec_start: 130 * MS,
            cpu: 1,
            reserved: 0,
        }]);
        let entry = SnapshotEntry {
            record: adopted,
            now: TaskNow {
                exec_start: 101 * MS,
                cpu: 1,
                exit_state: 32,
                ..TaskNow::default()
            },
        };
        lifecycle.adopt(&entry, &clocks, &wall());
        let alive = lifecycle.alive(&adopted, 221 * MS, &wall(), Place::default());
        let zombie = lifecycle.zombie(&adopted, &wall(), Place::default());
        for (time, error) in [
            (alive.age_ns, alive.error_ns),
            (zombie.zombie_ns, zombie.error_ns),
        ] {
            assert!(time.abs_diff(20 * MS) <= error, "{time} ± {error}");
            assert!(error < 3 * MS);
        }
        assert_eq!(zombie.flags, [Flag::ApproximateStart, Flag::PreExisting]);
        assert_eq!(zombie.run_ns, None);
    }

    #[test]
    fn without_a_clock_an_adopted_zombie_is_as_old_as_its_process_at_most() {
        let mut lifecycle = Lifecycle::new(ERROR);
        let adopted = adopted();
        let entry = SnapshotEntry {
            record: adopted,
            ..SnapshotEntry::default()
        };
        lifecycle.adopt(&entry, &RunQueueClocks::default(), &wall());
        let zombie = lifecycle.zombie(&adopted, &wall(), Place::default());
        assert_eq!(
            (zombie.zombie_ns, zombie.error_ns),
            (66 * MS, 55 * MS + ERROR)
        );
    }

    #[test]
    fn a_zombie_nobody_is_told_of_has_an_age() {
        let unseen = Record {
            zombie_time: 0,
            flags: flags::NO_EXIT_SIGNAL,
            ..record()
        };
        let alive = Lifecycle::new(ERROR).alive(&unseen, 300 * MS, &wall(), Place::default());
        assert_eq!((alive.age_ns, alive.error_ns), (50 * MS, 50 * MS + ERROR));
        assert_eq!(alive.flags, [Flag::ApproximateStart, Flag::NoExitSignal]);
    }
}
