//! Children that lose their parent.

use zombie_trace_e2e::Span;

use crate::{
    process::{Gate, Proc, Refine},
    sys,
};

/// The zombie's parent dies; a subreaper inherits it and reaps it 20 ms later.
pub(crate) fn reparent(_: &[String]) {
    sys::become_subreaper();
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    parent.fork(|| {
        child.fork(|| 3);
        child.poll_birth();
        sys::sleep_ms(8);
        0
    });
    parent.reap();
    sys::sleep_ms(20);
    child.reap();
    child.truth().foreign(Some(true)).flag("reparented").emit();
    parent.truth().emit();
}

/// The zombie's parent dies; the subreaper ignores SIGCHLD, so the kernel reaps at that moment.
pub(crate) fn reparent_ignored(_: &[String]) {
    sys::become_subreaper();
    sys::sigaction(libc::SIGCHLD, libc::SIG_IGN, 0);
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    parent.fork(|| {
        sys::sigaction(libc::SIGCHLD, libc::SIG_DFL, 0);
        child.fork(|| 3);
        child.poll_birth();
        sys::sleep_ms(8);
        0
    });
    // The dying parent releases its zombies at the very end of exit_notify.
    let hi = child.wait_gone();
    child.reaped_by(
        parent,
        Span {
            lo: parent.ended(),
            hi,
        },
    );
    parent.wait_gone();
    emit_autoreaped_orphan(child);
    parent.truth().autoreaped().code(0).emit();
}

/// The same, but the zombie's parent is itself an ordinary zombie.
pub(crate) fn reparent_ignored_grandparent(_: &[String]) {
    sys::become_subreaper();
    sys::sigaction(libc::SIGCHLD, libc::SIG_IGN, 0);
    let [grand, parent, child] = [Proc::new("grand"), Proc::new("parent"), Proc::new("child")];
    grand.fork(|| {
        sys::sigaction(libc::SIGCHLD, libc::SIG_DFL, 0);
        parent.fork(|| {
            child.fork(|| 3);
            child.poll_birth();
            sys::sleep_ms(8);
            0
        });
        parent.poll_birth();
        sys::sleep_ms(5);
        parent.reap();
        0
    });
    let hi = child.wait_gone();
    child.reaped_by(
        parent,
        Span {
            lo: parent.ended(),
            hi,
        },
    );
    grand.wait_gone();
    emit_autoreaped_orphan(child);
    parent.truth().emit();
    grand.truth().autoreaped().code(0).emit();
}

/// Reaped by the kernel in the name of no one: the contract does not say whom to name.
fn emit_autoreaped_orphan(child: Proc) {
    let truth = child.truth().foreign(Some(true)).code(3);
    let mut truth = truth.how("autoreap-on-reparent");
    (truth.reaper_pid, truth.reaper_comm) = (None, None);
    truth.flag("reparented").flag("bounded-end").emit();
}

/// The parent dies first: the subreaper is the real parent when the child ends.
pub(crate) fn parent_dies_first(_: &[String]) {
    sys::become_subreaper();
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    let gate = Gate::new();
    parent.fork(|| {
        child.fork(|| {
            gate.wait();
            2
        });
        0
    });
    parent.reap();
    gate.open();
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    // Neither has called exec: to the kernel it looks like the subreaper's own.
    let truth = child.truth().parent(Proc::MAIN);
    truth.foreign(None).emit();
    parent.truth().emit();
}

/// An orphan without a subreaper goes to init, or whoever reaps for it.
pub(crate) fn adopted_by_init(_: &[String]) {
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    let (gate, adopter) = (Gate::new(), Gate::new());
    parent.fork(|| {
        child.fork(|| {
            gate.wait();
            adopter.pass(sys::global_ppid().into());
            2
        });
        0
    });
    parent.reap();
    gate.open();
    child.watch_orphan();
    child.adopted_truth(adopter.wait() as u32).code(2).emit();
    parent.truth().emit();
}
