//! Ordinary children of single-threaded parents.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

use libc::c_int;
use zombie_trace_e2e::{Span, now};

use crate::{
    process::{Gate, Proc, Refine, has_state, wait_for},
    sys,
};

/// `hold [MS]`: the parent lets the zombie lie for so long.
pub(crate) fn hold(args: &[String]) {
    let ms = args.first().map_or(20, |arg| arg.parse().expect("hold MS"));
    let child = Proc::new("child");
    child.fork(|| 7);
    child.poll_birth();
    sys::sleep_ms(ms);
    child.reap();
    child.truth().emit();
}

/// Five children, one after the other, whose parent is blocked in wait4 when they end.
pub(crate) fn blocked_waiter(_: &[String]) {
    for _ in 0..5 {
        let child = Proc::new("child");
        child.fork(|| {
            // In its wait: there is nothing else that it sleeps in.
            wait_for(|| has_state(Proc::MAIN.pid(), 'S').then_some(()));
            sys::sleep_ms(20);
            0
        });
        child.reap();
        child.truth().emit();
    }
}

static REAP_LO: AtomicU64 = AtomicU64::new(0);
static REAP_HI: AtomicU64 = AtomicU64::new(0);
static REAP_STATUS: AtomicI32 = AtomicI32::new(0);

/// The classic SIGCHLD handler: reaps whatever is there, without blocking.
extern "C" fn reap_all(_: c_int) {
    loop {
        let lo = now();
        match sys::wait4(-1, libc::WNOHANG) {
            None => break,
            Some((_, status)) => {
                REAP_STATUS.store(status, SeqCst);
                REAP_LO.store(lo, SeqCst);
                REAP_HI.store(now(), SeqCst);
            }
        }
    }
}

/// A SIGCHLD handler reaps.
pub(crate) fn handler_wnohang(_: &[String]) {
    let child = Proc::new("child");
    sys::sigaction(
        libc::SIGCHLD,
        reap_all as *const () as libc::sighandler_t,
        libc::SA_RESTART,
    );
    child.fork(|| {
        sys::sleep_ms(10);
        3
    });
    let hi = wait_for(|| Some(REAP_HI.load(SeqCst)).filter(|&hi| hi != 0));
    child.reaped(
        Span {
            lo: REAP_LO.load(SeqCst),
            hi,
        },
        REAP_STATUS.load(SeqCst),
    );
    sys::sigaction(libc::SIGCHLD, libc::SIG_DFL, 0);
    child.truth().emit();
}

/// A child without an exit signal: a real zombie, but its parent is not told and only __WALL (or
/// __WCLONE) waits for it.
pub(crate) fn clone_exit_signal_0(_: &[String]) {
    let child = Proc::new("child");
    child.fork_by(|| sys::clone_raw(0), || 4);
    child.poll_birth();
    sys::sleep_ms(20);
    assert_eq!(
        sys::wait4(child.local_pid(), libc::WNOHANG),
        None,
        "a plain wait must not see it"
    );
    child.reap_by(|| sys::wait4(-1, libc::__WALL));
    child
        .truth()
        .flag("approximate-start")
        .flag("no-exit-signal")
        .emit();
}

/// A child whose parent is told by SIGUSR1.
pub(crate) fn clone_exit_signal_usr1(_: &[String]) {
    let child = Proc::new("child");
    sys::sigaction(libc::SIGUSR1, libc::SIG_IGN, 0);
    child.fork_by(|| sys::clone_raw(libc::SIGUSR1), || 5);
    child.poll_birth();
    sys::sleep_ms(20);
    child.reap_by(|| sys::wait4(-1, libc::__WALL));
    child.truth().emit();
}

/// A child that is made by its sibling.
pub(crate) fn clone_parent(_: &[String]) {
    let [forker, child] = [Proc::new("forker"), Proc::new("child")];
    forker.fork(|| {
        child.fork_by(
            || sys::clone_raw(libc::CLONE_PARENT | libc::SIGCHLD),
            || {
                sys::sleep_ms(5);
                6
            },
        );
        assert_eq!(sys::wait4(-1, 0), None, "not the forker's child");
        0
    });
    forker.reap();
    child.poll_birth();
    sys::sleep_ms(20);
    child.reap();
    child.truth().parent(Proc::MAIN).emit();
    forker.truth().emit();
}

/// A loop that looks for dead children every few ms, by wait4 and by waitid, as init programs do.
pub(crate) fn poll(_: &[String]) {
    let children = [Proc::new("first"), Proc::new("second")];
    for child in children {
        child.fork(|| {
            sys::sleep_ms(12);
            1
        });
        let by_waitid = child == children[1];
        let look = || {
            if by_waitid {
                sys::waitid(libc::P_ALL, 0, libc::WEXITED | libc::WNOHANG)
            } else {
                sys::wait4(-1, libc::WNOHANG)
            }
        };
        child.reap_by(|| {
            let found = wait_for(|| {
                sys::sleep_ms(5);
                look()
            });
            Some(found)
        });
        assert_eq!(look(), None, "no more children");
        child
            .truth()
            .how(if by_waitid { "waitid" } else { "wait4" })
            .emit();
    }
}

/// A thread of the parent other than the leader reaps, while the leader does something else.
pub(crate) fn thread_reaps(_: &[String]) {
    let children = [Proc::new("late"), Proc::new("blocked")];
    children[0].fork(|| 1);
    children[1].fork(|| {
        sys::sleep_ms(20);
        2
    });
    children[0].poll_birth();
    let reaper = std::thread::spawn(move || children.into_iter().for_each(Proc::reap));
    reaper.join().expect("it only waits");
    for child in children {
        child.truth().emit();
    }
}

/// Children that a wait for any child, or for any of the process group, finds.
pub(crate) fn wait_any(_: &[String]) {
    for target in [-1, 0] {
        let child = Proc::new("child");
        let gate = Gate::new();
        child.fork(|| {
            gate.wait();
            1
        });
        gate.open();
        child.poll_birth();
        sys::sleep_ms(5);
        child.reap_by(|| sys::wait4(target, 0));
        child.truth().emit();
    }
}
