//! Processes under a tracer that is not their parent: the kernel tells the tracer first.

use std::thread;

use zombie_trace_e2e::{Span, now};

use crate::{
    process::{Gate, Proc, Refine},
    sys,
};

/// The tracer waits 15 ms after the death, the parent 25 ms after that: one zombie of 40 ms.
pub(crate) fn seize(_: &[String]) {
    let [child, tracer] = [Proc::new("child"), Proc::new("tracer")];
    let (traced, released) = (Gate::new(), Gate::new());
    child.fork(|| {
        sys::allow_tracing();
        traced.wait();
        3
    });
    child.pid();
    tracer.fork(|| {
        sys::seize(child.local_pid());
        traced.open();
        child.poll_birth();
        sys::sleep_ms(15);
        let seen = sys::wait4(child.local_pid(), libc::__WALL);
        assert_eq!(seen, Some((child.local_pid(), 3 << 8)), "the tracer's wait");
        released.open();
        0
    });
    released.wait();
    sys::sleep_ms(25);
    child.reap();
    tracer.reap();
    child.truth().flag("traced").emit();
    tracer.truth().emit();
}

/// The tracer dies without having waited: the parent is told then.
pub(crate) fn tracer_dies(_: &[String]) {
    let [child, tracer] = [Proc::new("child"), Proc::new("tracer")];
    let traced = Gate::new();
    child.fork(|| {
        sys::allow_tracing();
        traced.wait();
        3
    });
    child.pid();
    tracer.fork(|| {
        sys::seize(child.local_pid());
        traced.open();
        child.poll_birth();
        sys::sleep_ms(5);
        0
    });
    tracer.reap();
    sys::sleep_ms(10);
    child.reap();
    child.truth().flag("traced").emit();
    tracer.truth().emit();
}

/// The parent is the tracer.
pub(crate) fn trace_me(_: &[String]) {
    let child = Proc::new("child");
    child.fork(|| {
        sys::trace_me();
        3
    });
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    child.truth().flag("traced").emit();
}

/// Only a thread is traced: the tracer is told of its death, which is no process's.
pub(crate) fn thread(_: &[String]) {
    let [child, tracer] = [Proc::new("child"), Proc::new("tracer")];
    let (tid, traced, waited) = (Gate::new(), Gate::new(), Gate::new());
    child.fork(|| {
        sys::allow_tracing();
        thread::spawn(move || traced_thread(tid, traced));
        waited.wait();
        sys::sleep_ms(5);
        2
    });
    tracer.fork(|| {
        let tid = tid.wait() as libc::pid_t;
        sys::seize(tid);
        traced.open();
        assert_eq!(
            sys::wait4(tid, libc::__WALL),
            Some((tid, 5 << 8)),
            "the tracer's wait"
        );
        waited.open();
        0
    });
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    tracer.reap();
    child.truth().emit();
    tracer.truth().emit();
}

/// The tracer keeps the dead thread until 15 ms after the leader's end. Only then is the group
/// empty, and the parent is told, by the tracer's wait (`release_task` of the thread).
pub(crate) fn thread_last(_: &[String]) {
    let [child, tracer] = [Proc::new("child"), Proc::new("tracer")];
    let (tid, traced, dead) = (Gate::new(), Gate::new(), Gate::new());
    child.fork(|| {
        sys::allow_tracing();
        thread::spawn(move || traced_thread(tid, traced));
        dead.wait();
        child.ends_now();
        sys::exit_thread(2)
    });
    tracer.fork(|| {
        let tid = tid.wait() as libc::pid_t;
        sys::seize(tid);
        traced.open();
        let options = libc::WEXITED | libc::WNOWAIT | libc::__WALL;
        assert!(
            sys::waitid(libc::P_PID, tid as u32, options).is_some(),
            "the dead thread"
        );
        dead.open();
        sys::sleep_ms(15);
        let lo = now();
        let waited = sys::wait4(tid, libc::__WALL);
        assert!(
            waited.is_some_and(|(pid, _)| pid == tid),
            "the tracer's wait: {waited:?}"
        );
        child.born(Span { lo, hi: now() });
        0
    });
    tracer.reap();
    sys::sleep_ms(10);
    child.reap();
    child.truth().emit();
    tracer.truth().emit();
}

/// Announces itself, waits to be traced, ends.
fn traced_thread(tid: Gate, traced: Gate) {
    tid.pass(sys::gettid() as u64);
    traced.wait();
    sys::exit_thread(5)
}
