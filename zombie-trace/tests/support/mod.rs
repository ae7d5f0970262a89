//! A small run with a bit of everything.

use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zombie_trace::{
    Alive, Backend, Container, Counts, Doing, FilterLine, Flag, How, Loss, Lost, Runtime,
    ScopeLine, Stack, Start, Summary, Zombie,
    internals::{Aggregate, Filter, Interval, RunFacts, Sink},
};

const CONTAINER: &str = "b2a102854b4969b2ce98dc329c86b4fb2b06e4ad2cc8da9d8a7578c9cd2004a2";
const POD: &str = "72f7f152-440c-66ac-9084-e0fc1d8a910c";

/// A value of a type that only the library makes, as a recording has it.
pub(crate) fn from_json<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// The value with changes: a type of the library can get more fields.
pub(crate) fn changed<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

/// What a sink is told of the run.
pub(crate) struct Run {
    pub(crate) start: Start,
    pub(crate) zombies: Vec<Zombie>,
    pub(crate) alive: Vec<Alive>,
    pub(crate) loss: Option<Loss>,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) stacks: Vec<Stack>,
    pub(crate) doing: Vec<Doing>,
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
        if self.summary.stacks.is_some() {
            sink.doing(&self.stacks, &self.doing).unwrap();
        }
        sink.summary(&self.summary).unwrap();
        sink.flush().unwrap();
    }
}

/// A run of every kind of record, with losses.
pub(crate) fn eventful() -> Run {
    let lost = changed(Lost::default(), |it| {
        it.ring_full = 120;
        it.map_full = 3;
        it.missed = 1;
    });
    run(zombies(), alive(), Some(loss(lost)))
}

fn loss(lost: Lost) -> Loss {
    let mut loss: Loss = from_json(json!({
        "ts": ts(5),
        "ring_full": 0,
        "map_full": 0,
        "missed": 0,
    }));
    loss.lost = lost;
    loss
}

/// A run in which all goes well.
pub(crate) fn calm() -> Run {
    let zombies = (0..2000).map(|n| {
        changed(zombie(), |it| {
            it.pid = 5000 + n;
            it.ppid = Some(4242 + n % 13);
            it.zombie_ns = 5_000 + u64::from(n) * u64::from(n) % 70_000;
        })
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
    let early = changed(Counts::default(), |it| {
        it.exits = early.len() as u64;
        it.reaped = early.len() as u64;
    });
    interval_ends(&mut aggregate, early, 6);
    for zombie in late {
        aggregate.zombie(zombie, filter.passes(zombie));
    }
    alive.iter().for_each(|alive| aggregate.alive(alive));

    let lost = loss.as_ref().map_or_else(Lost::default, |loss| loss.lost);
    let autoreaped = zombies.iter().filter(|zombie| zombie.autoreaped()).count() as u64;
    let reaped = zombies.len() as u64 - autoreaped + lost.ring_full;
    let still = alive.iter().filter(|alive| !alive.pre_existing()).count() as u64;
    let counts = changed(Counts::default(), |it| {
        it.exits = reaped + autoreaped + still + lost.map_full + lost.missed;
        it.reaped = reaped;
        it.autoreaped = autoreaped;
        it.alive = still;
        it.pre_existing = alive.len() as u64 - still;
        it.filtered = 0;
        it.lost = lost;
        it.suspicious = 0;
    });
    interval_ends(&mut aggregate, counts, 12);
    Run {
        start: from_json(json!({
            "ts": ts(0),
            "version": "0.1.0",
            "kernel": "6.12.0",
            "backend": "tracepoint",
            "tracer_pid": 4000,
            "host": "build-1",
            "boot_id": "0b0d5c0e-2f3c-4c5e-9d0a-5a1b2c3d4e5f",
            "cpus": 2,
            "pid_max": 32_768,
            "args": ["zombie-trace", "--json"],
            "command": null,
            "scope": ScopeLine::default(),
            "filter": FilterLine::default(),
        })),
        zombies,
        alive,
        loss,
        intervals,
        stacks: Vec::new(),
        doing: Vec::new(),
        summary: aggregate.summary(counts, ts(12), Duration::from_millis(12_345)),
    }
}

pub(crate) fn ts(second: i64) -> Timestamp {
    Timestamp::new(1_767_323_045 + second, 123_456_789).unwrap()
}

fn zombies() -> Vec<Zombie> {
    vec![
        zombie(),
        changed(zombie(), |it| {
            it.pid = 4_194_301;
            it.comm = "systemd-journal".into();
            it.exit_code = Some(255);
            it.zombie_ns = 1_240_000_000;
            it.how = How::Waitid;
            it.reaper_pid = Some(1);
            it.reaper_tid = Some(1);
            it.reaper_comm = Some("systemd".into());
            it.flags = vec![Flag::Reparented];
            it.cgroup = Some("/system.slice/journal.service".into());
        }),
        changed(zombie(), |it| {
            it.pid = 1234;
            it.cgroup = Some(format!("/kubepods/burstable/pod{POD}/crio-{CONTAINER}").into());
            it.container = Some(changed(Container::default(), |it| {
                it.runtime = Some(Runtime::CriO);
                it.id = Some(CONTAINER.into());
                it.pod_uid = Some(POD.into());
                it.hostname = Some("web-7d4b9".into());
            }));
            it.parent_container = Some(CONTAINER.into());
            it.reaper_container = Some(CONTAINER.into());
        }),
        changed(zombie(), |it| {
            it.pid = 999;
            it.comm = "evil\x1b[31m".into();
            it.exit_code = None;
            it.signal = Some(11);
            it.core_dumped = true;
            it.zombie_ns = 192_000_000_000;
            it.error_ns = 4_000_000;
            it.how = How::IoUring;
            it.reaper_pid = Some(77);
            it.reaper_tid = Some(83);
            it.reaper_comm = Some("node".into());
            it.flags = vec![Flag::BoundedEnd, Flag::Traced, Flag::LeaderExitedEarly];
        }),
        changed(zombie(), |it| {
            it.pid = 1000;
            it.comm = "true".into();
            it.zombie_ns = 0;
            it.how = How::Autoreap;
            it.reaper_pid = None;
            it.reaper_tid = None;
            it.reaper_comm = None;
        }),
        changed(zombie(), |it| {
            it.pid = 1001;
            it.comm = "日本語".into();
            it.ppid = None;
            it.parent_comm = None;
            it.foreign = None;
            it.exit_code = None;
            it.signal = Some(9);
            it.zombie_ns = 3_000_000;
            it.teardown_ns = None;
            it.run_ns = None;
            it.how = How::AutoreapOnReparent;
            it.reaper_pid = None;
            it.reaper_tid = None;
            it.reaper_comm = None;
        }),
    ]
}

/// A zombie that was reaped at once.
pub(crate) fn zombie() -> Zombie {
    from_json(json!({
        "ts": ts(1),
        "pid": 4243,
        "ns_pid": 7,
        "comm": "sleep",
        "uid": 1000,
        "ppid": 4242,
        "parent_comm": "bash",
        "foreign": false,
        "exit_code": 0,
        "signal": null,
        "core_dumped": false,
        "zombie_ns": 18_234,
        "error_ns": 300,
        "teardown_ns": 41_000,
        "run_ns": 1_000_900_000,
        "how": "wait4",
        "reaper_pid": 4242,
        "reaper_tid": 4242,
        "reaper_comm": "bash",
        "cgroup": null,
        "container": null,
        "parent_container": null,
        "reaper_container": null,
        "flags": [],
        "phases": {
            "notify_ns": 0,
            "parent_not_waiting_ns": 0,
            "runqueue_ns": 12_000,
            "tracer_ns": 0,
            "reap_ns": 6_234,
        },
        "cause": null,
        "cause_text": null,
        "why": null,
        "looked_at": null,
    }))
}

/// A zombie that still exists, and an older one.
pub(crate) fn alive() -> Vec<Alive> {
    let recent: Alive = from_json(json!({
        "ts": ts(12),
        "pid": 4300,
        "ns_pid": 4300,
        "comm": "stuck",
        "uid": 0,
        "ppid": 4242,
        "parent_comm": "bash",
        "foreign": true,
        "exit_code": 1,
        "signal": null,
        "age_ns": 3_200_000_000_u64,
        "error_ns": 300,
        "cause": null,
        "cause_text": null,
        "why": null,
        "looked_at": null,
        "advice": null,
        "runtime": null,
        "watched_ns": null,
        "cgroup": null,
        "container": {"runtime": null, "id": null, "pod_uid": null, "hostname": "web-1"},
        "parent_container": null,
        "flags": [],
    }));
    let old = changed(recent.clone(), |it| {
        it.pid = 5;
        it.age_ns = 360_000_000_000_000;
        it.error_ns = 10_000_000;
        it.flags = vec![Flag::PreExisting, Flag::ApproximateStart];
    });
    vec![recent, old]
}
