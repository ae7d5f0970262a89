//! When this thread runs.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;

/// A thread of ours has changed its policy, which what it forks inherits.
static CHANGED: AtomicBool = AtomicBool::new(false);

/// From now on this thread preempts nobody when it wakes up (`SCHED_BATCH`, sched(7)). What we trace would
/// else be interrupted by us, on a machine with few CPUs even between its reap and the hook that sees it. The
/// thread's share of the CPU stays the same. Does nothing if the user has chosen another policy for us.
pub fn preempt_nobody() {
    // SAFETY: it takes no pointer.
    let is_ordinary = unsafe { libc::sched_getscheduler(0) } == libc::SCHED_OTHER;
    if is_ordinary && set(libc::SCHED_BATCH) {
        CHANGED.store(true, Ordering::Relaxed);
    }
}

/// Gives a new process the policy that ours had. Async-signal-safe.
#[cfg(feature = "cli")]
pub fn restore() {
    if CHANGED.load(Ordering::Relaxed) {
        set(libc::SCHED_OTHER);
    }
}

/// From now on this thread runs when it is time, whoever runs then. It must need little of it. Without the
/// privilege for that, it is scheduled as any other.
#[cfg(feature = "stacks")]
pub fn be_on_time() {
    let _ = set_with(libc::SCHED_RR, 1) || set(libc::SCHED_OTHER);
}

fn set(policy: libc::c_int) -> bool {
    set_with(policy, 0)
}

fn set_with(policy: libc::c_int, priority: libc::c_int) -> bool {
    // SAFETY: plain data, for which zero is a value.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: `parameters` is valid.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_changed_and_restored_in_one_thread() {
        // SAFETY: it takes no pointer.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let before = policy();
        let in_thread = std::thread::spawn(move || {
            preempt_nobody();
            let batch = policy();
            #[cfg(feature = "cli")]
            restore();
            (batch, policy())
        });
        let (batch, after) = in_thread.join().unwrap();
        if before == libc::SCHED_OTHER {
            assert_eq!(batch, libc::SCHED_BATCH);
        }
        assert!(cfg!(not(feature = "cli")) || after == before);
        assert_eq!(policy(), before);
    }
}
