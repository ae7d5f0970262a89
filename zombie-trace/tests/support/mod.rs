//! A small run with a bit of everything.

use std::time::Duration;

use jiff::Timestamp;
use zombie_trace::{
    aggregate::{Aggregate, Interval, RunFacts, Summary},
    container::{Container, Runtime},
    filter::Filter,
    kernel::Backend,
    model::{Alive, Counts, FilterLine, Flag, How, Loss, Lost, Phases, ScopeLine, Start, Zombie},
    sink::Sink,
};

const CONTAINER: &str = "b2a102854b4969b2ce98dc329c86b4fb2b06e4ad2cc8da9d8a7578c9cd2004a2";
const POD: &str = "72f7f152-440c-66ac-9084-e0fc1d8a910c";

/// What a sink is told of the run.
pub(crate) struct Run {
    pub(crate) start: Start,
    pub(crate) zombies: Vec<Zombie>,
    pub(crate) alive: Vec<Alive>,
    pub(crate) loss: Option<Loss>,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) summary: Summary,
}

impl Run {
    /// Tells it.
    pub(crate) fn play(&self, sink: &mut dyn Sink) {
        sink.start(&self.start).unwrap();
        for zombie in &self.zombies {
            sink.zombie(zombie).unwrap();
        }
        for alive in &self.alive {
            sink.alive(alive).unwrap();
        }
        if let Some(loss) = &self.loss {
            sink.loss(loss).unwrap();
        }
        for interval in &self.intervals {
            sink.interval(interval).unwrap();
        }
        sink.summary(&self.summary).unwrap();
        sink.flush().unwrap();
    }
}

/// A run of every kind of record, with losses.
pub(crate) fn eventful() -> Run {
    let lost = Lost {
        ring_full: 120,
        map_full: 3,
        missed: 1,
    };
    run(zombies(), alive(), Some(Loss { ts: ts(5), lost }))
}

/// A run in which all goes well.
pub(crate) fn calm() -> Run {
    let zombies = (0..2000).map(|n| Zombie {
        pid: 5000 + n,
        ppid: Some(4242 + n % 13),
        zombie_ns: 5_000 + u64::from(n) * u64::from(n) % 70_000,
        ..zombie()
    });
    run(zombies.collect(), Vec::new(), None)
}

/// A run in which nothing happens.
pub(crate) fn empty() -> Run {
    run(Vec::new(), Vec::new(), None)
}

/// A run of these.
pub(crate) fn run(zombies: Vec<Zombie>, alive: Vec<Alive>, loss: Option<Loss>) -> Run {
    let filter = Filter {
        autoreaped: true,
        ..Filter::default()
    };
    let mut aggregate = Aggregate::new(RunFacts {
        begin: Some(ts(0)),
        error_ns: Backend::Tracepoint.error_ns(),
        tracer_pid: Some(4000),
    });
    aggregate.begin_intervals();
    let mut intervals = Vec::new();
    let mut interval_ends = |aggregate: &mut Aggregate, counts, seconds| {
        let elapsed = Duration::from_secs(seconds);
        intervals.extend(aggregate.end_interval(counts, ts(seconds.cast_signed()), elapsed));
    };
    let (early, late) = zombies.split_at(zombies.len() / 2);
    for zombie in early {
        aggregate.zombie(zombie, filter.passes(zombie));
    }
    let early = Counts {
        exits: early.len() as u64,
        reaped: early.len() as u64,
        ..Counts::default()
    };
    interval_ends(&mut aggregate, early, 6);
    for zombie in late {
        aggregate.zombie(zombie, filter.passes(zombie));
    }
    alive.iter().for_each(|alive| aggregate.alive(alive));

    let lost = loss.as_ref().map_or_else(Lost::default, |loss| loss.lost);
    let autoreaped = zombies.iter().filter(|zombie| zombie.autoreaped()).count() as u64;
    let reaped = zombies.len() as u64 - autoreaped + lost.ring_full;
    let still = alive.iter().filter(|alive| !alive.pre_existing()).count() as u64;
    let counts = Counts {
        exits: reaped + autoreaped + still + lost.map_full + lost.missed,
        reaped,
        autoreaped,
        alive: still,
        pre_existing: alive.len() as u64 - still,
        filtered: 0,
        lost,
        suspicious: 0,
    };
    interval_ends(&mut aggregate, counts, 12);
    Run {
        start: Start {
            ts: ts(0),
            version: "0.1.0".to_owned(),
            kernel: "6.12.0".to_owned(),
            backend: "tracepoint".to_owned(),
            tracer_pid: 4000,
            host: Some("build-1".to_owned()),
            boot_id: Some("0b0d5c0e-2f3c-4c5e-9d0a-5a1b2c3d4e5f".to_owned()),
            cpus: Some(2),
            pid_max: Some(32_768),
            args: Some(vec!["zombie-trace".to_owned(), "--json".to_owned()]),
            command: None,
            scope: Some(ScopeLine::default()),
            filter: Some(FilterLine::default()),
        },
        zombies,
        alive,
        loss,
        intervals,
        summary: aggregate.summary(counts, ts(12), Duration::from_millis(12_345)),
    }
}

fn ts(second: i64) -> Timestamp {
    Timestamp::new(1_767_323_045 + second, 123_456_789).unwrap()
}

fn zombies() -> Vec<Zombie> {
    vec![
        zombie(),
        Zombie {
            pid: 4_194_301,
            comm: "systemd-journal".into(),
            exit_code: Some(255),
            zombie_ns: 1_240_000_000,
            how: How::Waitid,
            reaper_pid: Some(1),
            reaper_tid: Some(1),
            reaper_comm: Some("systemd".into()),
            flags: vec![Flag::Reparented],
            cgroup: Some("/system.slice/journal.service".into()),
            ..zombie()
        },
        Zombie {
            pid: 1234,
            cgroup: Some(format!("/kubepods/burstable/pod{POD}/crio-{CONTAINER}").into()),
            container: Some(Container {
                runtime: Some(Runtime::CriO),
                id: Some(CONTAINER.into()),
                pod_uid: Some(POD.into()),
                hostname: Some("web-7d4b9".into()),
            }),
            parent_container: Some(CONTAINER.into()),
            reaper_container: Some(CONTAINER.into()),
            ..zombie()
        },
        Zombie {
            pid: 999,
            comm: "evil\x1b[31m".into(),
            exit_code: None,
            signal: Some(11),
            core_dumped: true,
            zombie_ns: 192_000_000_000,
            error_ns: 4_000_000,
            how: How::IoUring,
            reaper_pid: Some(77),
            reaper_tid: Some(83),
            reaper_comm: Some("node".into()),
            flags: vec![Flag::BoundedEnd, Flag::Traced, Flag::LeaderExitedEarly],
            ..zombie()
        },
        Zombie {
            pid: 1000,
            comm: "true".into(),
            zombie_ns: 0,
            how: How::Autoreap,
            reaper_pid: None,
            reaper_tid: None,
            reaper_comm: None,
            ..zombie()
        },
        Zombie {
            pid: 1001,
            comm: "日本語".into(),
            ppid: None,
            parent_comm: None,
            foreign: None,
            exit_code: None,
            signal: Some(9),
            zombie_ns: 3_000_000,
            teardown_ns: None,
            run_ns: None,
            how: How::AutoreapOnReparent,
            reaper_pid: None,
            reaper_tid: None,
            reaper_comm: None,
            ..zombie()
        },
    ]
}

/// A zombie that was reaped at once.
pub(crate) fn zombie() -> Zombie {
    Zombie {
        ts: ts(1),
        pid: 4243,
        ns_pid: 7,
        comm: "sleep".into(),
        uid: 1000,
        ppid: Some(4242),
        parent_comm: Some("bash".into()),
        foreign: Some(false),
        exit_code: Some(0),
        signal: None,
        core_dumped: false,
        zombie_ns: 18_234,
        error_ns: 300,
        teardown_ns: Some(41_000),
        run_ns: Some(1_000_900_000),
        how: How::Wait4,
        reaper_pid: Some(4242),
        reaper_tid: Some(4242),
        reaper_comm: Some("bash".into()),
        cgroup: None,
        container: None,
        parent_container: None,
        reaper_container: None,
        flags: Vec::new(),
        phases: Some(Phases {
            notify_ns: Some(0),
            parent_not_waiting_ns: Some(0),
            runqueue_ns: Some(12_000),
            tracer_ns: Some(0),
            reap_ns: Some(6_234),
        }),
        cause: None,
        cause_text: None,
        why: None,
        looked_at: None,
    }
}

/// A zombie that still exists, and an older one.
pub(crate) fn alive() -> Vec<Alive> {
    let recent = Alive {
        ts: ts(12),
        pid: 4300,
        ns_pid: 4300,
        comm: "stuck".into(),
        uid: 0,
        ppid: Some(4242),
        parent_comm: Some("bash".into()),
        foreign: Some(true),
        exit_code: Some(1),
        signal: None,
        age_ns: 3_200_000_000,
        error_ns: 300,
        cause: None,
        cause_text: None,
        why: None,
        looked_at: None,
        advice: None,
        runtime: None,
        watched_ns: None,
        cgroup: None,
        container: Some(Container {
            hostname: Some("web-1".into()),
            ..Container::default()
        }),
        parent_container: None,
        flags: Vec::new(),
    };
    let old = Alive {
        pid: 5,
        age_ns: 360_000_000_000_000,
        error_ns: 10_000_000,
        flags: vec![Flag::PreExisting, Flag::ApproximateStart],
        ..recent.clone()
    };
    vec![recent, old]
}
