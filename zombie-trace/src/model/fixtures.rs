//! Records for tests.

use jiff::Timestamp;

use super::{Alive, Dying, DyingThread, FilterLine, How, ScopeLine, Start, Zombie};

/// A run of everything.
pub(crate) fn start() -> Start {
    Start {
        ts: "2026-01-02T03:04:05Z".parse().unwrap(),
        version: "0.1.0".to_owned(),
        kernel: "6.12.0".to_owned(),
        backend: "tracepoint".to_owned(),
        tracer_pid: 17,
        host: Some("build-1".to_owned()),
        boot_id: Some("0b0d5c0e-2f3c-4c5e-9d0a-5a1b2c3d4e5f".to_owned()),
        cpus: Some(2),
        pid_max: Some(32_768),
        args: Some(vec!["zombie-trace".to_owned(), "--json".to_owned()]),
        command: None,
        scope: Some(ScopeLine::default()),
        filter: Some(FilterLine::default()),
    }
}

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
        cause: None,
        cause_text: None,
        why: None,
        looked_at: None,
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
        why: None,
        looked_at: None,
        advice: None,
        runtime: None,
        watched_ns: None,
        cgroup: None,
        container: None,
        parent_container: None,
        flags: Vec::new(),
    }
}

/// A process that was killed 4.2 s ago. One of its threads hangs in a file system.
pub(crate) fn dying() -> Dying {
    let thread = |tid, state, wchan: Option<&str>| DyingThread {
        tid,
        comm: "worker".into(),
        state,
        wchan: wchan.map(str::to_owned),
    };
    Dying {
        ts: Timestamp::UNIX_EPOCH,
        pid: 120,
        comm: "server".into(),
        ppid: Some(100),
        signal: Some(9),
        since_ns: Some(4_200_000_000),
        tracer_pid: None,
        threads: vec![
            thread(123, 'D', Some("fuse_wait_answer")),
            thread(124, 'R', None),
        ],
    }
}
