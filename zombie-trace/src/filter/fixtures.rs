//! Records for tests.

use std::time::Duration;

use jiff::Timestamp;

use super::Listing;
use crate::{
    aggregate::{Aggregate, Counts, Interval},
    lifecycle::{Alive, How, Zombie},
};

/// A child of `bash` that slept, exited with 0 and was a zombie for 18,234 ns.
pub(crate) fn zombie() -> Zombie {
    Zombie {
        ts: Timestamp::UNIX_EPOCH,
        pid: 4243,
        ns_pid: 4243,
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
        phases: None,
    }
}

/// The same process, not reaped for 3 s yet.
pub(crate) fn alive() -> Alive {
    let Zombie {
        ts,
        pid,
        ns_pid,
        comm,
        uid,
        ppid,
        parent_comm,
        foreign,
        exit_code,
        ..
    } = zombie();
    Alive {
        ts,
        pid,
        ns_pid,
        comm,
        uid,
        ppid,
        parent_comm,
        foreign,
        exit_code,
        signal: None,
        age_ns: 3_000_000_000,
        error_ns: 300,
        cause: None,
        cause_text: None,
        cgroup: None,
        container: None,
        parent_container: None,
        flags: Vec::new(),
    }
}

/// A second in which three zombies of bash were reaped and one was left.
pub(crate) fn interval() -> Interval {
    let mut aggregate = Aggregate::default();
    aggregate.begin_intervals();
    for zombie_ns in [18_234, 20_000, 1_500_000] {
        let zombie = Zombie {
            zombie_ns,
            ..zombie()
        };
        aggregate.zombie(&zombie, Listing::Listed);
    }
    let counts = Counts {
        exits: 4,
        reaped: 3,
        alive: 1,
        ..Counts::default()
    };
    let interval = aggregate.end_interval(
        counts,
        "2026-01-02T03:04:05Z".parse().unwrap(),
        Duration::from_secs(1),
    );
    interval.unwrap()
}
