//! A parent that could reap at once, but whose CPU is busy with something more important.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

use libc::c_int;
use zombie_trace_e2e::{Span, now};

use crate::{
    process::{Proc, Refine, wait_for},
    sys,
};

const CPU: usize = 0;
const CHILD_ENDS_MS: u64 = 150;
const HOG_BEGINS_MS: u64 = 50;
/// The kernel leaves 50 ms of each second to others (sched_rt_runtime_us).
const HOG_ENDS_NS: u64 = 500_000_000;

/// What the parent does until its child ends 150 ms from now.
fn under(reap: impl FnOnce(Proc)) {
    let child = Proc::new("child");
    child.fork(|| {
        // There may be one CPU only.
        sys::run_first(2);
        sys::sleep_ms(CHILD_ENDS_MS);
        3
    });
    let hog = Proc::new("hog");
    hog.fork(|| {
        let begin = now();
        sys::pin(CPU);
        sys::run_first(1);
        sys::sleep_ms(HOG_BEGINS_MS);
        // Without a pause instruction, which takes emulators very long.
        while now() < begin + HOG_ENDS_NS {}
        0
    });
    sys::pin(CPU);
    reap(child);
    hog.reap();
    child.truth().emit();
    hog.truth().emit();
}

/// It is blocked in wait4.
pub(crate) fn waiter(_: &[String]) {
    under(|child| child.reap());
}

static CHILD: AtomicI32 = AtomicI32::new(0);
static STATUS: AtomicI32 = AtomicI32::new(0);
static LO: AtomicU64 = AtomicU64::new(0);
static HI: AtomicU64 = AtomicU64::new(0);

/// Reaps the child, if it is that which has ended.
extern "C" fn reap_child(_: c_int) {
    let lo = now();
    if let Some((_, status)) = sys::wait4(CHILD.load(SeqCst), libc::WNOHANG) {
        STATUS.store(status, SeqCst);
        LO.store(lo, SeqCst);
        HI.store(now(), SeqCst);
    }
}

/// Its SIGCHLD handler reaps.
pub(crate) fn handler(_: &[String]) {
    under(|child| {
        CHILD.store(child.local_pid(), SeqCst);
        sys::sigaction(
            libc::SIGCHLD,
            reap_child as *const () as libc::sighandler_t,
            libc::SA_RESTART,
        );
        let hi = wait_for(|| Some(HI.load(SeqCst)).filter(|&hi| hi != 0));
        sys::sigaction(libc::SIGCHLD, libc::SIG_DFL, 0);
        let lo = LO.load(SeqCst);
        child.reaped(Span { lo, hi }, STATUS.load(SeqCst));
    });
}
