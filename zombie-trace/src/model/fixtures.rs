//! Records for tests.

use jiff::Timestamp;

use super::{Alive, How, Zombie};

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
        exit_code: Some(0),
        signal: None,
        core_dumped: false,
        zombie_ns: 18_234,
        error_ns: 300,
        teardown_ns: Some(41_000),
        run_ns: Some(1_000_900_000),
        how: How::Wait4,
        reaper_pid: Some(4242),
        reaper_comm: Some("bash".into()),
        cgroup: None,
        container: None,
        parent_container: None,
        reaper_container: None,
        flags: Vec::new(),
        phases: None,
        cause: None,
        cause_text: None,
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
        exit_code,
        signal: None,
        age_ns: 3_000_000_000,
        error_ns: 300,
        cause: None,
        cause_text: None,
        advice: None,
        runtime: None,
        watched_ns: None,
        cgroup: None,
        container: None,
        parent_container: None,
        flags: Vec::new(),
    }
}
