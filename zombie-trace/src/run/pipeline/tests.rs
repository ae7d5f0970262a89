use zombie_trace_common::how;

use super::*;
use crate::{
    run::fakes::{BEGIN, FakeHost, FakeSink, Line, MS, ended, reaped, zombie},
    value::TimeSpan,
};

struct Fixture {
    host: FakeHost,
    sink: FakeSink,
    pipeline: Pipeline,
}

impl Fixture {
    fn new(filter: Filter) -> Self {
        let (host, sink) = (FakeHost::new(), FakeSink::default());
        let pipeline = Pipeline::new(
            1_000,
            20 * MS,
            filter,
            Box::new(sink.clone()),
            Box::new(host.clone()),
        );
        Self {
            host,
            sink,
            pipeline,
        }
    }

    /// It is so much later than at the beginning.
    fn after(&self, ms: u64) {
        self.host.0.now.set(BEGIN + ms * MS);
    }

    fn reap(&mut self, record: Record) {
        self.pipeline.begin_batch();
        self.pipeline.event(&Event::Record(record)).unwrap();
        self.pipeline.end_batch().unwrap();
    }

    /// Looks at what exists, and reports what has come to its age with this diagnosis.
    fn look(&mut self, existing: &[SnapshotEntry], found: Option<Diagnosis>) {
        let census = self.pipeline.census(existing);
        let due = self.pipeline.due(&census);
        let found = found.map(|found| (census.zombies[0].alive.pid, found));
        let diagnoses = found.into_iter().collect();
        self.pipeline.alive(&census, &due, &diagnoses).unwrap();
    }

    /// What has been seen until now.
    fn history(&self, entry: &SnapshotEntry, zombies: &HashMap<u32, ZombiesOf>) -> History {
        self.pipeline.history(entry, zombies, self.pipeline.now())
    }

    fn finish(&mut self, remains: &Remains) -> Ending {
        self.pipeline.finish(remains, None).unwrap()
    }

    fn summary(&self) -> Summary {
        let summary = self.sink.take().into_iter().find_map(|line| match line {
            Line::Summary(summary) => Some(*summary),
            _ => None,
        });
        summary.unwrap()
    }
}

fn diagnosis(cause: Cause) -> Diagnosis {
    Diagnosis {
        cause,
        finding: format!("{cause:?}").into(),
        advice: None,
        runtime: None,
        watched_ns: None,
        looked_at: None,
    }
}

fn counted(exits: u64, reaped: u64) -> Counters {
    Counters {
        exits,
        reaped,
        ..Counters::default()
    }
}

#[test]
fn a_record_becomes_a_line_with_the_clocks_and_places_of_the_host() {
    let mut run = Fixture::new(Filter::default());
    run.reap(reaped(42));
    let lines = run.sink.take();
    let [Line::Zombie(zombie)] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!((zombie.pid, zombie.zombie_ns), (42, 5 * MS));
    assert_eq!(zombie.cgroup.as_deref(), Some("/fake"));
    // The wall clock was 1.7e9 s when the monotonic one was 0.
    let since = zombie.ts.as_nanosecond() - 1_700_000_000 * 1_000_000_000;
    assert_eq!(since, i128::from(BEGIN + 15 * MS));
}

#[test]
fn what_the_output_has_no_room_for_is_lost_and_reported_once_it_has() {
    let mut run = Fixture::new(Filter::default());
    run.sink.lock().is_full = true;
    for pid in 1..=3 {
        run.reap(reaped(pid));
    }
    let counters = counted(3, 3);
    let new = run.pipeline.loss(&counters, 0).unwrap().unwrap();
    assert_eq!((new.lost.ring_full, new.unwritten), (3, 3));
    assert!(run.sink.take().is_empty(), "there is no room for it");
    // The warning has been given.
    assert_eq!(run.pipeline.loss(&counters, 0).unwrap(), None);
    run.sink.lock().is_full = false;
    assert_eq!(run.pipeline.loss(&counters, 0).unwrap(), None);
    let lines = run.sink.take();
    assert!(matches!(&lines[..], [Line::Loss(loss)] if loss.lost.ring_full == 3));

    let ending = run.finish(&Remains {
        counters,
        ..Remains::default()
    });
    assert!(!ending.complete);
    // They are lost to the list only.
    let summary = run.summary();
    assert_eq!((summary.counts.reaped, summary.zombie_ns.count), (3, 3));
}

#[test]
fn zombies_are_reported_as_they_age() {
    let mut run = Fixture::new(Filter::default());
    let existing = [zombie(42)];
    let mut ages = Vec::new();
    for ms in 10..=100 {
        run.after(ms);
        run.look(&existing, None);
        ages.extend(run.sink.take().into_iter().map(|line| match line {
            Line::Alive(alive) => alive.age_ns / MS,
            other => panic!("{other:?}"),
        }));
    }
    // At 20 ms, and with each doubling.
    assert_eq!(ages, [20, 40, 80]);
}

#[test]
fn a_cause_stays_where_later_looks_find_none() {
    let mut run = Fixture::new(Filter::default());
    let existing = [zombie(42)];
    run.after(30);
    run.look(&existing, Some(diagnosis(Cause::NeverWaits)));
    run.after(50);
    run.look(&existing, Some(diagnosis(Cause::Unknown)));
    let causes: Vec<_> = run
        .sink
        .take()
        .into_iter()
        .map(|line| match line {
            Line::Alive(alive) => alive.cause,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(causes, [Some(Cause::NeverWaits); 2]);
    run.reap(Record {
        reap_time: BEGIN + 60 * MS,
        reap_time_min: BEGIN + 60 * MS,
        ..reaped(42)
    });
    let lines = run.sink.take();
    assert!(
        matches!(&lines[..], [Line::Zombie(zombie)] if zombie.cause == Some(Cause::NeverWaits))
    );
    // The next process with this pid is another one.
    run.reap(Record {
        start_boottime: BEGIN + 70 * MS,
        ..reaped(42)
    });
    assert!(matches!(&run.sink.take()[..], [Line::Zombie(zombie)] if zombie.cause.is_none()));
}

#[test]
fn whoever_inherits_a_zombie_at_the_end_is_not_its_cause() {
    let mut run = Fixture::new(Filter::default());
    run.after(30);
    run.look(&[zombie(42)], Some(diagnosis(Cause::ParentStopped)));
    run.sink.take();
    let mut inherited = zombie(42);
    inherited.now.ppid = 1;
    let own = zombie(43);
    let found = |pid, cause| (pid, diagnosis(cause));
    run.finish(&Remains {
        existing: vec![inherited, own],
        diagnoses: [found(42, Cause::NeverWaits), found(43, Cause::NeverWaits)].into(),
        counters: counted(2, 0),
        ..Remains::default()
    });
    let causes: Vec<_> = run
        .sink
        .take()
        .into_iter()
        .filter_map(|line| match line {
            Line::Alive(alive) => Some((alive.pid, alive.cause)),
            _ => None,
        })
        .collect();
    let expected = [
        (42, Some(Cause::ParentStopped)),
        (43, Some(Cause::NeverWaits)),
    ];
    assert_eq!(causes, expected);
}

#[test]
fn at_the_end_every_process_is_in_one_place() {
    let mut run = Fixture::new(Filter::default());
    run.reap(reaped(1));
    run.after(100);
    let ending = run.finish(&Remains {
        existing: vec![zombie(2)],
        released: vec![ended(3)],
        counters: counted(4, 1),
        ..Remains::default()
    });
    let counts = ending.summary.counts;
    assert_eq!((counts.exits, counts.reaped, counts.alive), (4, 2, 1));
    // Nothing is known about the fourth.
    assert_eq!(counts.lost.missed, 1);
    assert!(!ending.complete && ending.lost.is_some());
    let lines = run.sink.take();
    let [
        Line::Zombie(_),
        Line::Zombie(unseen),
        Line::Alive(alive),
        Line::Loss(_),
        Line::Summary(summary),
    ] = &lines[..]
    else {
        panic!("{lines:?}");
    };
    // It was reaped at some time between its beginning and now.
    assert_eq!((unseen.pid, unseen.zombie_ns), (3, 45 * MS));
    assert!(unseen.error_ns >= 45 * MS);
    assert_eq!((alive.pid, alive.age_ns), (2, 90 * MS));
    assert_eq!(summary.duration_ns, 100 * MS);
    // 5 ms, 90 ms, and 45 ms.
    assert_eq!(summary.zombie_time_ns, 140 * MS);
}

#[test]
fn a_filter_leaves_lines_out_and_no_figure() {
    let long = Filter {
        min: Some(TimeSpan::from_millis(6)),
        ..Filter::default()
    };
    for wants_unlisted in [false, true] {
        let mut run = Fixture::new(long.clone());
        run.sink.lock().wants_unlisted = wants_unlisted;
        run.reap(reaped(1));
        run.reap(Record {
            how: how::AUTOREAP,
            ..reaped(2)
        });
        run.finish(&Remains {
            counters: Counters {
                autoreaped: 1,
                ..counted(2, 1)
            },
            ..Remains::default()
        });
        let lines = run.sink.take();
        let unlisted = lines
            .iter()
            .filter(|line| matches!(line, Line::Unlisted(_)));
        assert_eq!(unlisted.count(), usize::from(wants_unlisted));
        let Some(Line::Summary(summary)) = lines.last() else {
            panic!("{lines:?}");
        };
        assert_eq!((summary.listed, summary.counts.filtered), (0, 2));
        assert_eq!(summary.zombie_ns.max, Some(5 * MS));
        assert!(!lines.iter().any(|line| matches!(line, Line::Zombie(_))));
    }
}

#[test]
fn a_storm_of_parents_reads_no_more_command_lines_than_a_second_has_room_for() {
    let mut run = Fixture::new(Filter::default());
    for pid in 0..1_000 {
        run.reap(Record {
            ppid: 10_000 + pid,
            ..reaped(pid)
        });
    }
    let read = run.host.0.command_lines.get();
    assert_eq!(read, CommandLines::MOST_A_SECOND);
    run.after(1_000);
    run.reap(Record {
        ppid: 20_000,
        ..reaped(2_000)
    });
    assert_eq!(run.host.0.command_lines.get(), read + 1);
}

#[test]
fn command_is_known_by_its_arguments_though_it_is_gone() {
    let comm = Comm::from("build");
    let mut run = Fixture::new(Filter::default());
    let args = ["/opt/build", "-j8"].map(OsString::from);
    run.pipeline.command_runs(41, &args);
    assert_eq!(
        run.pipeline.command,
        Some((41, comm, "/opt/build -j8".to_owned()))
    );
}

#[test]
fn the_parent_s_history_is_what_was_seen_of_it() {
    let mut run = Fixture::new(Filter::default());
    run.reap(reaped(1));
    run.reap(Record {
        reap_time: BEGIN + 25 * MS,
        reap_time_min: BEGIN + 25 * MS,
        ..reaped(2)
    });
    run.after(100);
    let mut zombies = ZombiesOf::default();
    (0..6).for_each(|start| zombies.add(start));
    let zombies = HashMap::from([(41, zombies)]);
    let history = run.history(&zombie(3), &zombies);
    assert_eq!((history.watched_ns, history.zombies), (100 * MS, 6));
    let reaps = history.reaps.unwrap();
    assert_eq!((reaps.count, reaps.since_last_ns), (2, 75 * MS));
    // Where the scope may leave reaps out, nothing is said of them.
    run.pipeline = run.pipeline.seeing(Sees::Some);
    assert_eq!(run.history(&zombie(3), &zombies).reaps, None);
}

/// Who is late knows nothing of the time since the last record was taken in.
#[test]
fn a_late_history_ends_with_what_was_seen() {
    let mut run = Fixture::new(Filter::default());
    run.reap(Record {
        reap_time: BEGIN + 25 * MS,
        reap_time_min: BEGIN + 25 * MS,
        ..reaped(2)
    });
    run.after(10_000);
    let mut young = zombie(3);
    young.record.zombie_time = BEGIN + 40 * MS;
    young.record.zombie_time_max = BEGIN + 40 * MS;
    let history = run
        .pipeline
        .history(&young, &HashMap::new(), BEGIN + 50 * MS);
    assert_eq!((history.watched_ns, history.age_ns), (50 * MS, 10 * MS));
    assert_eq!(history.reaps.unwrap().since_last_ns, 25 * MS);
}

#[test]
fn a_zombie_from_before_the_start_is_as_old_as_it_is_listed() {
    let mut run = Fixture::new(Filter::default());
    let mut old = zombie(3);
    // It became one between its last run and the look that found it, of which the first is likelier.
    old.record.flags |= flags::PRE_EXISTING;
    old.record.zombie_time = 0;
    old.record.exit_time = BEGIN - 500 * MS;
    old.record.zombie_time_max = BEGIN + 10 * MS;
    run.after(10);
    let history = run.history(&old, &HashMap::new());
    let census = run.pipeline.census(std::slice::from_ref(&old));
    assert_eq!(history.age_ns, census.zombies[0].alive.age_ns);
    assert!(history.age_ns > 200 * MS, "{}", history.age_ns);
}

#[cfg(feature = "stacks")]
mod sampled {
    use super::*;
    use crate::model::ThreadState;

    fn doing(tid: u32, zombie_ns: u64) -> Doing {
        Doing {
            ts: jiff::Timestamp::UNIX_EPOCH,
            ppid: 7,
            parent_comm: None,
            tid,
            state: ThreadState::Blocked,
            stack: 1,
            zombie_ns,
            samples: 1,
        }
    }

    /// What becomes of samples that stand for these times, in ms, in a run with a zombie of 5 ms.
    fn summed_up(after_ms: u64, times: &[u64]) -> (Vec<u64>, StackTotals) {
        let mut run = Fixture::new(Filter::default());
        let totals = StackTotals {
            after_ns: after_ms * MS,
            covered_ns: times.iter().sum::<u64>() * MS,
            samples: times.len() as u64,
            ..StackTotals::default()
        };
        run.pipeline = run.pipeline.sampling(totals);
        run.reap(reaped(42));
        let doing = times.iter().zip(1..).map(|(ms, tid)| doing(tid, ms * MS));
        run.pipeline.sampled(Sampled {
            stacks: Vec::new(),
            doing: doing.collect(),
            totals,
        });
        let ending = run.finish(&Remains::default());
        let sampled = ending.sampled.unwrap();
        assert_eq!(ending.summary.stacks, Some(sampled.totals));
        let times = sampled.doing.iter().map(|one| one.zombie_ns).collect();
        (times, sampled.totals)
    }

    #[test]
    fn samples_stand_for_no_more_zombie_time_than_there_was() {
        // A zombie was seen once, just after it came to the age of 1 ms, and 52 ms after the last look.
        let (times, totals) = summed_up(1, &[39, 13]);
        assert_eq!(times, [3 * MS, MS]);
        assert_eq!((totals.covered_ns, totals.due_ns), (4 * MS, 4 * MS));
        let (times, totals) = summed_up(1, &[2, 1]);
        assert_eq!(times, [2 * MS, MS]);
        assert_eq!((totals.covered_ns, totals.due_ns), (3 * MS, 4 * MS));
    }

    #[test]
    fn the_parts_never_add_up_to_more() {
        let (times, totals) = summed_up(4, &[7, 7, 7]);
        assert_eq!(times, [MS / 3; 3]);
        assert!(totals.covered_ns <= totals.due_ns, "{totals:?}");
        assert_eq!(totals.covered_ns, times.iter().sum::<u64>());
        // A zombie whose record was lost.
        let (times, totals) = summed_up(5, &[7]);
        assert_eq!((times, totals.covered_ns, totals.due_ns), (vec![0], 0, 0));
    }
}
