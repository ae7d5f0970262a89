//! exec by the wrong thread, and vfork.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use libc::c_int;
use zombie_trace_e2e::{Span, Truth, now};

use crate::{
    process::{Proc, Refine},
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
