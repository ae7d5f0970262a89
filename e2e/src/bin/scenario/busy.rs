//! A parent that could reap at once, but whose CPU is busy with something more important.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

use libc::c_int;
use zombie_trace_e2e::{Span, now};

use crate::{
    process::{Gate, Proc, Refine, has_state, wait_for},
    sys,
};

const CPU: usize = 0;
/// For so long after the child's end the CPU stays busy. The kernel leaves 50 ms of each second to others
/// (sched_rt_runtime_us).
const HOGGED_NS: u64 = 300_000_000;
/// What all of it may take, whatever happens.
const HOG_ENDS_NS: u64 = 800_000_000;

/// What the parent does until its child ends: `reap` opens the gate once it needs nothing but the CPU.
fn under(reap: impl FnOnce(Proc, Gate)) {
    let [child, hog] = [Proc::new("child"), Proc::new("hog")];
    let [ready, go, hogs] = [Gate::new(), Gate::new(), Gate::new()];
    child.fork(|| {
        // There may be one CPU only.
        sys::run_first(2);
        ready.wait();
        wait_for(|| has_state(Proc::MAIN.pid(), 'S').then_some(()));
        go.open();
        hogs.wait();
        sys::sleep_ms(50);
        3
    });
    hog.fork(|| {
        sys::pin(CPU);
        sys::run_first(1);
        go.wait();
        hogs.open();
        let begin = now();
        // Without a pause instruction, which takes emulators very long.
        loop {
            let (now, ended) = (now(), child.ended());
            let is_over = ended != 0 && now > ended + HOGGED_NS;
            if is_over || now > begin + HOG_ENDS_NS {
                break 0;
            }
        }
    });
    sys::pin(CPU);
    reap(child, ready);
    hog.reap();
    child.truth().emit();
    hog.truth().emit();
}

/// It is blocked in wait4.
pub(crate) fn waiter(_: &[String]) {
    under(|child, ready| {
        ready.open();
        child.reap();
    });
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
    under(|child, ready| {
        CHILD.store(child.local_pid(), SeqCst);
        sys::sigaction(
            libc::SIGCHLD,
            reap_child as *const () as libc::sighandler_t,
            libc::SA_RESTART,
        );
        ready.open();
        let hi = wait_for(|| Some(HI.load(SeqCst)).filter(|&hi| hi != 0));
        sys::sigaction(libc::SIGCHLD, libc::SIG_DFL, 0);
        let lo = LO.load(SeqCst);
        child.reaped(Span { lo, hi }, STATUS.load(SeqCst));
    });
}
