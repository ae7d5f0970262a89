//! Pid namespaces. /proc is the initial namespace's throughout, so everyone knows its pid there.

use std::{fs, io};

use libc::{CLONE_NEWPID, SIGCHLD};
use zombie_trace_e2e::{Span, Truth};

use crate::{
    process::{Gate, Proc, Refine},
    sys,
    threads::leader_ends,
};

fn clone_init() -> libc::pid_t {
    sys::clone_raw(CLONE_NEWPID | SIGCHLD)
}

/// The namespace's init reaps its child; its parent outside reaps it.
pub(crate) fn reap_inside(_: &[String]) {
    let [init, child] = [Proc::new("init"), Proc::new("child")];
    init.fork_by(clone_init, || {
        child.fork(|| 3);
        child.poll_birth();
        sys::sleep_ms(10);
        child.reap();
        1
    });
    init.poll_birth();
    sys::sleep_ms(5);
    init.reap();
    emit_numbered(child, 2);
    emit_numbered(init, 1);
}

fn emit_numbered(proc: Proc, ns_pid: u32) {
    let truth = proc.truth();
    assert_eq!(truth.ns_pid, Some(ns_pid), "{}", truth.role);
    truth.emit();
}

/// The namespace's init dies while it has a zombie and a live child: the kernel waits for the
/// one in its name and kills the other (`zap_pid_ns_processes`).
pub(crate) fn init_dies(_: &[String]) {
    let [init, zombie, live] = [Proc::new("init"), Proc::new("zombie"), Proc::new("live")];
    init.fork_by(clone_init, || {
        zombie.fork(|| 3);
        live.fork(|| sys::pause_forever());
        zombie.poll_birth();
        live.pid();
        sys::sleep_ms(20);
        1
    });
    init.poll_birth();
    zombie.reaped_by(
        init,
        Span {
            lo: init.ended(),
            hi: init.wait_birth().hi,
        },
    );
    init.reap();
    zombie
        .truth()
        .code(3)
        .how("ns-teardown")
        .flag_maybe("bounded-end")
        .emit();
    live.truth().autoreaped().killed(libc::SIGKILL).emit();
    init.truth().emit();
}

/// The same with five zombies of different ages.
pub(crate) fn init_dies_many(_: &[String]) {
    let init = Proc::new("init");
    let zombies: Vec<_> = (0..5).map(|_| Proc::new("zombie")).collect();
    init.fork_by(clone_init, || {
        for zombie in &zombies {
            zombie.fork(|| 3);
            zombie.poll_birth();
            sys::sleep_ms(4);
        }
        1
    });
    init.poll_birth();
    init.reap();
    for zombie in zombies {
        zombie.reaped_by(
            init,
            Span {
                lo: init.ended(),
                hi: init.wait_birth().hi,
            },
        );
        zombie
            .truth()
            .code(3)
            .how("ns-teardown")
            .flag_maybe("bounded-end")
            .emit();
    }
    init.truth().emit();
}

/// A namespace in a namespace.
pub(crate) fn nested(_: &[String]) {
    let [outer, inner, child] = [Proc::new("outer"), Proc::new("inner"), Proc::new("child")];
    outer.fork_by(clone_init, || {
        inner.fork_by(clone_init, || {
            child.fork(|| 3);
            child.poll_birth();
            sys::sleep_ms(10);
            child.reap();
            2
        });
        inner.poll_birth();
        sys::sleep_ms(10);
        inner.reap();
        1
    });
    outer.poll_birth();
    sys::sleep_ms(5);
    outer.reap();
    emit_numbered(child, 2);
    emit_numbered(inner, 1);
    emit_numbered(outer, 1);
}

/// The outer init dies; so does the inner one, which has a zombie.
pub(crate) fn nested_teardown(_: &[String]) {
    let [outer, inner, child] = [Proc::new("outer"), Proc::new("inner"), Proc::new("child")];
    outer.fork_by(clone_init, || {
        inner.fork_by(clone_init, || {
            child.fork(|| 3);
            child.poll_birth();
            sys::pause_forever()
        });
        child.wait_birth();
        sys::sleep_ms(10);
        1
    });
    outer.poll_birth();
    child.reaped_by(
        inner,
        Span {
            lo: outer.ended(),
            hi: outer.wait_birth().hi,
        },
    );
    outer.reap();
    child
        .truth()
        .code(3)
        .how("ns-teardown")
        .flag_maybe("bounded-end")
        .emit();
    inner.truth().autoreaped().killed(libc::SIGKILL).emit();
    outer.truth().emit();
}

/// The parent unshares: its next child is the new namespace's init.
pub(crate) fn unshare(_: &[String]) {
    let [parent, init] = [Proc::new("parent"), Proc::new("init")];
    parent.fork(|| {
        sys::unshare_pid();
        init.fork(|| 3);
        init.poll_birth();
        sys::sleep_ms(10);
        init.reap();
        0
    });
    parent.reap();
    emit_numbered(init, 1);
    parent.truth().emit();
}

/// A UTS namespace with two names in succession, and a leader that ends, with its namespaces, before
/// its thread.
pub(crate) fn uts_names(_: &[String]) {
    let [parent, first, second] = [Proc::new("parent"), Proc::new("first"), Proc::new("second")];
    let threads = Proc::new("threads");
    parent.fork(|| {
        sys::unshare_uts();
        for (child, name) in [(first, "zt-one"), (second, "zt-two")] {
            sys::set_host_name(name);
            child.fork(|| 3);
            child.poll_birth();
            child.reap();
        }
        threads.fork(|| {
            leader_ends(3, move || {
                threads.ends_now();
                sys::exit_group(5)
            })
        });
        threads.poll_birth();
        threads.reap();
        0
    });
    parent.reap();
    for (child, name) in [(first, "zt-one"), (second, "zt-two"), (parent, "zt-two")] {
        emit_named(child.truth(), name);
    }
    emit_named(threads.truth().flag("leader-exited-early"), "zt-two");
}

fn emit_named(truth: Truth, name: &str) {
    Truth {
        host_name: Some(name.into()),
        ..truth
    }
    .emit();
}

const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// CONFIG_CHECKPOINT_RESTORE, and a writable /proc/sys.
pub(crate) fn no_ns_last_pid() -> Option<String> {
    let opened = fs::OpenOptions::new().write(true).open(LAST_PID);
    opened.err().map(|error| format!("{LAST_PID}: {error}"))
}

fn set_last_pid(pid: i32) -> io::Result<()> {
    // The write counts for the writer's namespace (pid_ns_ctl_handler), whatever /proc is.
    fs::write(LAST_PID, pid.to_string())
}

/// Inside a namespace, the number of a reaped process goes to the very next one.
pub(crate) fn pid_reuse(_: &[String]) {
    let [init, first, second] = [Proc::new("init"), Proc::new("first"), Proc::new("second")];
    init.fork_by(clone_init, || {
        for (child, code) in [(first, 3), (second, 4)] {
            child.fork(|| code);
            child.poll_birth();
            sys::sleep_ms(5);
            child.reap();
            set_last_pid(1).expect(LAST_PID);
        }
        0
    });
    init.reap();
    emit_numbered(first, 2);
    emit_numbered(second, 2);
    init.truth().emit();
}

/// The same in our own namespace, where others may snatch the number: tried some times, with a new number
/// each time.
pub(crate) fn pid_reuse_global(_: &[String]) {
    for _ in 0..50 {
        let [first, second] = [Proc::new("first"), Proc::new("second")];
        first.fork(|| 3);
        first.poll_birth();
        first.reap();
        first.truth().emit();
        let gate = Gate::new();
        set_last_pid(first.local_pid() - 1).expect(LAST_PID);
        second.fork(|| {
            gate.wait();
            4
        });
        gate.open();
        second.poll_birth();
        sys::sleep_ms(2);
        second.reap();
        second.truth().emit();
        if second.local_pid() == first.local_pid() {
            return;
        }
    }
    sys::broken("the pid was never reused");
}
