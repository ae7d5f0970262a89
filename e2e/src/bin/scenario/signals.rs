//! What the parent's and the child's signals have to do with it: nothing.

use crate::{
    process::{Gate, Proc, Refine},
    sys,
};

/// SIGCHLD is blocked and stays pending: the second child's is merged with the first's.
pub(crate) fn blocked_sigchld(_: &[String]) {
    let children = [Proc::new("first"), Proc::new("second")];
    sys::block(libc::SIGCHLD);
    for (child, code) in children.into_iter().zip([1, 2]) {
        child.fork(|| code);
        child.poll_birth();
        sys::sleep_ms(5);
    }
    for child in children {
        child.reap();
        child.truth().emit();
    }
}

/// Stopped, continued (the parent is told of both), killed.
pub(crate) fn stop_cont_kill(_: &[String]) {
    let child = Proc::new("child");
    child.fork(|| sys::pause_forever());
    let pid = child.local_pid();
    child.pid();
    sys::kill(pid, libc::SIGSTOP);
    let stopped = sys::wait4(pid, libc::WUNTRACED);
    assert!(
        stopped.is_some_and(|(_, status)| libc::WIFSTOPPED(status)),
        "stopped"
    );
    sys::kill(pid, libc::SIGCONT);
    let continued = sys::wait4(pid, libc::WCONTINUED);
    assert!(
        continued.is_some_and(|(_, status)| libc::WIFCONTINUED(status)),
        "continued"
    );
    child.ends_now();
    sys::kill(pid, libc::SIGKILL);
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    child.truth().emit();
}

/// A forged SIGCHLD says that a living child exited, 20 ms before it does.
pub(crate) fn forged_sigchld(_: &[String]) {
    let child = Proc::new("child");
    let forged = Gate::new();
    child.fork(|| {
        forged.wait();
        sys::sleep_ms(20);
        1
    });
    child.pid();
    sys::forge_sigchld(child.local_pid());
    forged.open();
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    child.truth().emit();
}

/// Death by a signal that leaves no core.
pub(crate) fn killed(_: &[String]) {
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGRTMAX()] {
        let child = Proc::new("child");
        child.fork(|| sys::pause_forever());
        child.pid();
        child.ends_now();
        sys::kill(child.local_pid(), signal);
        child.poll_birth();
        sys::sleep_ms(2);
        child.reap();
        child.truth().emit();
    }
}
