//! The many forms of waitid(2).

use zombie_trace_e2e::{Span, now};

use crate::{
    process::{Proc, Refine},
    sys,
};

/// waitid for a pid.
pub(crate) fn plain(_: &[String]) {
    let child = Proc::new("child");
    child.fork(|| 3);
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap_by(|| sys::waitid(libc::P_PID, child.local_pid() as u32, libc::WEXITED));
    child.truth().how("waitid").emit();
}

/// A blocked look without reaping (systemd does that), and the wait 20 ms later.
pub(crate) fn wnowait(_: &[String]) {
    let child = Proc::new("child");
    child.fork(|| {
        sys::sleep_ms(5);
        3
    });
    let seen = sys::waitid(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT);
    child.born(Span {
        lo: child.ended(),
        hi: now(),
    });
    assert_eq!(seen, Some((child.local_pid(), 3 << 8)), "the look");
    sys::sleep_ms(20);
    child.reap_by(|| sys::waitid(libc::P_PID, child.local_pid() as u32, libc::WEXITED));
    child.truth().how("waitid").emit();
}

/// waitid without a siginfo: the pid is nowhere to be seen. A sibling zombie is left for later, so
/// that a scan finds two.
pub(crate) fn null(_: &[String]) {
    let [child, sibling] = [Proc::new("child"), Proc::new("sibling")];
    child.fork(|| 3);
    sibling.fork(|| 4);
    child.poll_birth();
    sibling.poll_birth();
    sys::sleep_ms(10);
    child.reap_by(|| {
        let pid = child.local_pid();
        sys::waitid_null(libc::P_PID, pid as u32, libc::WEXITED).then_some((pid, 3 << 8))
    });
    sys::sleep_ms(10);
    sibling.reap_by(|| {
        let pid = sibling.local_pid();
        sys::waitid_null(libc::P_ALL, 0, libc::WEXITED).then_some((pid, 4 << 8))
    });
    child.truth().how("waitid").emit();
    sibling.truth().how("waitid").emit();
}

/// `waitid-null-many [N]`: the same with N zombies, the last ten of them all at once. Which one a
/// wait has reaped shows only by its being gone.
pub(crate) fn null_many(args: &[String]) {
    let count = args
        .first()
        .map_or(20, |arg| arg.parse().expect("waitid-null-many N"));
    let children: Vec<_> = (0..count).map(|_| Proc::new("child")).collect();
    for child in &children {
        child.fork(|| 3);
        child.poll_birth();
    }
    let mut left = children.clone();
    while !left.is_empty() {
        if left.len() > 10 {
            sys::sleep_ms(1);
        }
        let lo = now();
        assert!(
            sys::waitid_null(libc::P_ALL, 0, libc::WEXITED),
            "zombies are left"
        );
        let span = Span { lo, hi: now() };
        let gone = left
            .iter()
            .position(|child| !sys::kill(child.local_pid(), 0));
        left.remove(gone.expect("one is gone")).reaped(span, 3 << 8);
    }
    for child in children {
        child.truth().how("waitid").flag_maybe("bounded-end").emit();
    }
}

/// P_PIDFD since 5.4.
pub(crate) fn no_pidfd() -> Option<String> {
    // SAFETY: no pointers; the descriptor lives until this short process ends.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
    (pidfd < 0).then(|| format!("pidfd_open: {}", std::io::Error::last_os_error()))
}

/// waitid for a pidfd.
pub(crate) fn pidfd(_: &[String]) {
    let child = Proc::new("child");
    child.fork(|| 3);
    let pidfd = sys::pidfd_open(child.local_pid());
    reap_pidfd(child, pidfd);
}

/// The same with the pidfd that clone3 gives.
pub(crate) fn clone_pidfd(_: &[String]) {
    let child = Proc::new("child");
    let mut pidfd = -1;
    child.fork_by(
        || {
            let pid;
            (pid, pidfd) = sys::clone3_pidfd();
            pid
        },
        || 3,
    );
    reap_pidfd(child, pidfd);
}

fn reap_pidfd(child: Proc, pidfd: libc::c_int) {
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap_by(|| sys::waitid(libc::P_PIDFD, pidfd as u32, libc::WEXITED));
    child.truth().how("waitid").emit();
}
