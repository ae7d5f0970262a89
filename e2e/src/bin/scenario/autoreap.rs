//! Parents that do not want zombies.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use libc::c_int;

use crate::{
    process::{Proc, Refine},
    sys,
};

/// SIGCHLD ignored, the parent does something else.
pub(crate) fn ignore_idle(_: &[String]) {
    let child = Proc::new("child");
    sys::sigaction(libc::SIGCHLD, libc::SIG_IGN, 0);
    child.fork(|| {
        sys::sleep_ms(5);
        3
    });
    child.wait_gone();
    child.truth().autoreaped().code(3).emit();
}

/// SIGCHLD ignored, the parent is blocked in a wait, which fails with ECHILD in the end.
pub(crate) fn ignore_blocked(_: &[String]) {
    let child = Proc::new("child");
    sys::sigaction(libc::SIGCHLD, libc::SIG_IGN, 0);
    child.fork(|| {
        sys::sleep_ms(10);
        4
    });
    assert_eq!(sys::wait4(child.local_pid(), 0), None, "autoreaped");
    child.wait_gone();
    child.truth().autoreaped().code(4).emit();
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

/// SA_NOCLDWAIT with a handler: the signal is sent, but there is nothing to reap.
pub(crate) fn nocldwait_handler(_: &[String]) {
    nocldwait(count as *const () as libc::sighandler_t);
    assert_eq!(
        SIGNALS.load(SeqCst),
        1,
        "SA_NOCLDWAIT sends the signal all the same"
    );
}

/// SA_NOCLDWAIT without a handler.
pub(crate) fn nocldwait_default(_: &[String]) {
    nocldwait(libc::SIG_DFL);
}

fn nocldwait(handler: libc::sighandler_t) {
    let child = Proc::new("child");
    sys::sigaction(libc::SIGCHLD, handler, libc::SA_NOCLDWAIT);
    child.fork(|| {
        sys::sleep_ms(5);
        3
    });
    child.wait_gone();
    child.truth().autoreaped().code(3).emit();
}

/// SIGCHLD ignored only once the zombie is there: it stays.
pub(crate) fn ignore_after_death(_: &[String]) {
    let child = Proc::new("child");
    child.fork(|| 5);
    child.poll_birth();
    sys::sigaction(libc::SIGCHLD, libc::SIG_IGN, 0);
    sys::sleep_ms(10);
    child.reap();
    child.truth().emit();
}
