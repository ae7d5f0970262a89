//! Many processes at once, or in quick succession.

use zombie_trace_e2e::{Line, Many, now};

use crate::{process, sys};

/// `burst [N]`: N children are zombies at the same time, then all are reaped.
pub(crate) fn burst(args: &[String]) {
    let count = args
        .first()
        .map_or(10_000, |arg| arg.parse().expect("burst N"));
    let begin = now();
    let pids: Vec<u32> = (0..count).map(|_| fork_exit()).collect();
    for pid in &pids {
        sys::waitid(libc::P_PID, *pid, libc::WEXITED | libc::WNOWAIT);
    }
    let mut left = count;
    while sys::wait4(-1, 0).is_some() {
        left -= 1;
    }
    assert_eq!(left, 0, "all are reaped");
    emit(pids, now() - begin);
}

/// `fork-loop [N]`: N children, each reaped before the next one is made.
pub(crate) fn fork_loop(args: &[String]) {
    let count = args
        .first()
        .map_or(20_000, |arg| arg.parse().expect("fork-loop N"));
    let mut longest = 0;
    let mut pids = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = now();
        let pid = fork_exit();
        sys::wait4(pid as libc::pid_t, 0);
        longest = longest.max(now() - begin);
        pids.push(pid);
    }
    emit(pids, longest);
}

fn fork_exit() -> u32 {
    match sys::fork() {
        0 => sys::exit_group(0),
        pid => pid as u32,
    }
}

fn emit(pids: Vec<u32>, max_zombie_ns: u64) {
    process::print_line(&Line::Many(Many {
        comm: "scenario".into(),
        ppid: sys::global_pid(),
        pids,
        exit_code: 0,
        max_zombie_ns,
    }));
}
