//! exec by the wrong thread, and vfork.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use libc::c_int;
use zombie_trace_e2e::{Span, Truth, now};

use crate::{
    process::{Gate, Proc, Refine, wait_for},
    sys,
    threads::wait_leader_dead,
};

fn this_program() -> PathBuf {
    std::env::current_exe().expect("/proc/self/exe")
}

fn exec_exit_9(program: &Path) -> ! {
    sys::exec(program, &["scenario", "exit", "9"])
}

/// Reaps a child that runs another program at the end.
fn watch(child: Proc) -> Truth {
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    // The name is the new program's.
    Truth {
        comm: Some("scenario".into()),
        ..child.truth()
    }
}

/// The only thread calls exec.
pub(crate) fn exec(_: &[String]) {
    let child = Proc::new("before-exec");
    let program = this_program();
    child.fork(|| exec_exit_9(&program));
    watch(child).emit();
}

/// A thread other than the leader calls exec while the leader lives: it becomes the leader.
pub(crate) fn thread_leader_live(_: &[String]) {
    let child = Proc::new("before-exec");
    let program = this_program();
    child.fork(|| {
        thread::spawn(move || exec_exit_9(&program));
        sys::pause_forever()
    });
    watch(child).emit();
}

/// The same when the leader's thread has ended already.
pub(crate) fn thread_leader_zombie(_: &[String]) {
    let child = Proc::new("before-exec");
    // Found now: /proc/self/exe is the leader's, and a dead leader has none.
    let program = this_program();
    child.fork(|| {
        thread::spawn(move || {
            wait_leader_dead();
            exec_exit_9(&program)
        });
        sys::exit_thread(1)
    });
    watch(child).emit();
}

/// `reap-any N`: reaps any N children, and says nothing.
pub(crate) fn reap_any(args: &[String]) {
    let number = args.first().and_then(|arg| arg.parse().ok());
    for _ in 0..number.unwrap_or(1) {
        sys::wait4(-1, libc::__WALL).expect("a child");
    }
    sys::exit_group(0)
}

fn exec_reap_any(program: &Path, number: &str) -> ! {
    sys::exec(program, &["scenario", "reap-any", number])
}

/// Waits until a process has become [`reap_any`], and waits.
fn wait_reaping(parent: Proc) {
    let path = format!("/proc/{}/stat", parent.pid());
    wait_for(|| {
        std::fs::read_to_string(&path)
            .ok()?
            .contains("(scenario) S")
            .then_some(())
    });
}

/// The truth about a child of a parent that has become [`reap_any`].
fn reaped_by_exec(child: Proc, parent: Proc) -> Truth {
    Truth {
        ppid: Some(parent.pid()),
        parent_comm: Some("scenario".into()),
        reaper_pid: Some(parent.pid()),
        reaper_tid: Some(parent.pid()),
        reaper_comm: Some("scenario".into()),
        ..child.truth().foreign(Some(true))
    }
}

/// The parent makes a child, and then calls exec: the new program reaps a child that it did not make.
pub(crate) fn made_before_exec(_: &[String]) {
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    let (program, gate) = (this_program(), Gate::new());
    parent.fork(|| {
        child.fork(|| {
            gate.wait();
            3
        });
        exec_reap_any(&program, "1")
    });
    wait_reaping(parent);
    gate.open();
    child.watch_orphan();
    reaped_by_exec(child, parent).code(3).emit();
    parent.reap();
    Truth {
        comm: Some("scenario".into()),
        ..parent.truth()
    }
    .emit();
}

/// The same, but the child is a zombie before the parent calls exec.
pub(crate) fn exec_with_zombie(_: &[String]) {
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    let program = this_program();
    parent.fork(|| {
        child.fork(|| 3);
        child.poll_birth();
        exec_reap_any(&program, "1")
    });
    let born = child.wait_birth();
    let hi = child.wait_gone();
    child.reaped_by(parent, Span { lo: born.hi, hi });
    Truth {
        parent_comm: Some("parent".into()),
        ..reaped_by_exec(child, parent)
    }
    .code(3)
    .emit();
    parent.reap();
    Truth {
        comm: Some("scenario".into()),
        ..parent.truth()
    }
    .emit();
}

/// A subreaper calls exec, and then adopts an orphan that a child of the former program made.
pub(crate) fn adopted_after_exec(_: &[String]) {
    let [reaper, middle, child] = [Proc::new("reaper"), Proc::new("middle"), Proc::new("child")];
    let program = this_program();
    let (end_middle, end_child) = (Gate::new(), Gate::new());
    reaper.fork(|| {
        sys::become_subreaper();
        middle.fork(|| {
            child.fork(|| {
                end_child.wait();
                3
            });
            end_middle.wait();
            4
        });
        exec_reap_any(&program, "2")
    });
    wait_reaping(reaper);
    // The child is there.
    child.local_pid();
    end_middle.open();
    middle.watch_orphan();
    end_child.open();
    child.watch_orphan();
    reaped_by_exec(middle, reaper).code(4).emit();
    reaped_by_exec(child, reaper).code(3).emit();
    reaper.reap();
    Truth {
        comm: Some("scenario".into()),
        ..reaper.truth()
    }
    .emit();
}

/// What the child of vfork is; it runs on its parent's memory.
static VFORKED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn vforked(_: *mut libc::c_void) -> c_int {
    let child = Proc::from_index(VFORKED.load(SeqCst));
    sys::set_comm(b"vforked");
    child.is_self();
    sys::sleep_ms(10);
    child.ends_now();
    sys::exit_group(6)
}

/// vfork: the parent goes on before the zombie is there (`mm_release`).
pub(crate) fn vfork(_: &[String]) {
    let child = Proc::new("vforked");
    VFORKED.store(child.index(), SeqCst);
    let lo = now();
    let pid = sys::vfork(vforked);
    // fork_by would note the time only now, when the child is gone.
    child.made(
        pid,
        Span {
            lo,
            hi: child.ended() - 10_000_000,
        },
    );
    child.poll_birth();
    sys::sleep_ms(10);
    child.reap();
    child.truth().emit();
}
