//! Multi-threaded processes: one record each, none for their threads.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use crate::{
    process::{Gate, Proc, Refine, wait_for},
    sys,
};

/// The leader's thread ends, another one lives on and ends alone as well.
pub(crate) fn leader_exits_first(_: &[String]) {
    let child = Proc::new("child");
    child.fork(|| {
        leader_ends(3, move || {
            child.ends_now();
            sys::exit_thread(5)
        })
    });
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    // The kernel's answer is the truth: older ones give the leader's code, newer ones the last
    // thread's (synchronize_group_exit makes it the group's).
    let truth = child.truth().flag("leader-exited-early");
    assert!(
        matches!(truth.exit_code, Some(3 | 5)),
        "{:?}",
        truth.exit_code
    );
    truth.emit();
}

/// The leader's thread ends, another one lives on and ends the group.
pub(crate) fn leader_exits_first_group(_: &[String]) {
    let child = Proc::new("child");
    child.fork(|| {
        leader_ends(3, move || {
            child.ends_now();
            sys::exit_group(5)
        })
    });
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    let truth = child.truth().flag("leader-exited-early");
    assert_eq!(truth.exit_code, Some(5), "the group's code counts");
    truth.emit();
}

/// As the first, but the parent ignores SIGCHLD.
pub(crate) fn leader_exits_first_ignored(_: &[String]) {
    let child = Proc::new("child");
    sys::sigaction(libc::SIGCHLD, libc::SIG_IGN, 0);
    // One code for both: nobody can ask whose counts.
    child.fork(|| leader_ends(4, || sys::exit_thread(4)));
    child.wait_gone();
    child
        .truth()
        .autoreaped()
        .code(4)
        .flag("leader-exited-early")
        .emit();
}

/// Ends the calling leader's thread while another one lives on and then ends by `end`.
pub(crate) fn leader_ends(code: u8, end: impl FnOnce() + Send + 'static) -> ! {
    thread::spawn(move || {
        wait_leader_dead();
        end();
    });
    sys::exit_thread(code)
}

/// Waits in another thread until the leader is dead, and a little longer.
pub(crate) fn wait_leader_dead() {
    let stat = format!("/proc/{}/stat", sys::global_pid());
    wait_for(|| {
        let stat = std::fs::read_to_string(&stat).ok()?;
        stat.rsplit_once(") ")?.1.starts_with('Z').then_some(())
    });
    sys::sleep_ms(5);
}

/// The leader takes three threads with it.
pub(crate) fn exit_group_threads(_: &[String]) {
    let child = Proc::new("child");
    child.fork(|| {
        for _ in 0..3 {
            thread::spawn(|| sys::pause_forever());
        }
        sys::sleep_ms(5);
        4
    });
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    child.truth().emit();
}

/// `thread-churn [N]`: threads come and go; no process ends.
pub(crate) fn thread_churn(args: &[String]) {
    let count = args
        .first()
        .map_or(1000, |arg| arg.parse().expect("thread-churn N"));
    for _ in 0..count {
        thread::spawn(|| {})
            .join()
            .expect("a thread that does nothing");
    }
}

/// `two-threads-exit [N]`: two threads, the leader being one, end at the same moment; N times.
pub(crate) fn two_threads_exit(args: &[String]) {
    static GO: AtomicBool = AtomicBool::new(false);
    static READY: AtomicBool = AtomicBool::new(false);
    let count = args
        .first()
        .map_or(1000, |arg| arg.parse().expect("two-threads-exit N"));
    for _ in 0..count {
        let child = Proc::new("child");
        child.fork(|| {
            thread::spawn(|| {
                READY.store(true, SeqCst);
                while !GO.load(SeqCst) {
                    // Not spin_loop: its instruction takes emulators very long.
                    thread::yield_now();
                }
                sys::exit_thread(1)
            });
            wait_for(|| READY.load(SeqCst).then_some(()));
            child.ends_now();
            GO.store(true, SeqCst);
            sys::exit_thread(2)
        });
        child.reap();
        // Either thread may be the last.
        child.truth().flag_maybe("leader-exited-early").emit();
    }
}

/// The parent's leader is itself dead when the child ends: another thread of it reaps.
pub(crate) fn zombie_leader_parent(_: &[String]) {
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    let leader_dead = Gate::new();
    parent.fork(|| {
        child.fork(|| {
            leader_dead.wait();
            2
        });
        thread::spawn(move || {
            wait_leader_dead();
            leader_dead.open();
            child.poll_birth();
            sys::sleep_ms(5);
            child.reap();
            parent.ends_now();
            sys::exit_group(0)
        });
        sys::exit_thread(0)
    });
    parent.poll_birth();
    parent.reap();
    child.truth().emit();
    parent.truth().flag("leader-exited-early").emit();
}

/// The thread that forked the child ends before the child does; its siblings stay.
pub(crate) fn parent_thread_dies(_: &[String]) {
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    let forker_dead = Gate::new();
    parent.fork(|| {
        let forker = thread::spawn(move || {
            child.fork(|| {
                forker_dead.wait();
                2
            });
        });
        forker.join().expect("it only forks");
        forker_dead.open();
        child.poll_birth();
        sys::sleep_ms(5);
        child.reap();
        0
    });
    parent.reap();
    child.truth().emit();
    parent.truth().emit();
}
