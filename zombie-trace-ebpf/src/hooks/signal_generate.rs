//! `signal_generate` (__send_signal_locked, kernel/signal.c) with a child's status: the kernel
//! notifies a parent or tracer (do_notify_parent), which makes the child a zombie to be reaped.
//!
//! It runs with interrupts off under tasklist_lock: as little as possible here.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use zombie_trace_common::{TaskState, flags, how};

use crate::{
    counters::count,
    current::{self, OfCurrent},
    entry,
    globals::EXIT_CAN_BE_SKIPPED,
    scope, syscall, table, take_in,
    task::{Access, EXIT_TRACE, EXIT_ZOMBIE, PF_EXITING, Probed, Task},
    zombie,
};

pub const SIGCHLD: u32 = 17;

/// `CLD_EXITED`, `CLD_KILLED`, `CLD_DUMPED`; the other codes tell of stops.
const CLD_ENDED: core::ops::RangeInclusive<i32> = 1..=3;

/// The begin of `struct kernel_siginfo`, part of the ABI.
#[derive(Clone, Copy)]
#[repr(C)]
struct ChildInfo {
    signo: i32,
    errno: i32,
    code: i32,
    #[cfg(target_pointer_width = "64")]
    padding: i32,
    pid: u32,
}

#[btf_tracepoint(function = "signal_generate")]
pub fn signal_generate(ctx: BtfTracePointContext) -> i32 {
    let info: u64 = ctx.arg(1);
    // SEND_SIG_NOINFO and SEND_SIG_PRIV. Newer kernels type this argument as a scalar.
    if info < 2 {
        return 0;
    }
    let signal = ctx.arg::<u32>(0);
    let notified = ctx.arg::<*const u8>(2);
    let current = current::task();
    // Nearly always the running process tells of its own end; a dying father can tell of his
    // children's too, and a tracer of its tracee's.
    if let Some(state) = find_own(current, notified as u64) {
        // SAFETY: `state` is a map value, and that of `current`; the third argument is a `struct
        // task_struct *`, which BTF says too.
        unsafe { child_ended(state, current, signal, Task::typed(notified)) };
        return 0;
    }
    // SAFETY: the helper reads any address, and fails where there is no memory.
    let Ok(info) = (unsafe { bpf_probe_read_kernel(info as *const ChildInfo) }) else {
        return 0;
    };
    if !CLD_ENDED.contains(&info.code) {
        return 0;
    }
    // Seldom enough for reads by helper, which cost the verifier far less.
    let notified = Task::probed(notified as u64);
    let Some(state) = find(info.pid, notified) else {
        return 0;
    };
    // SAFETY: `state` is a map value, and that of `leader`.
    unsafe {
        let leader = Task::probed((*state).record.task);
        if !is_zombie(leader) {
            return 0;
        }
        if is_forged(leader, notified) {
            count(|counters| &raw mut counters.suspicious);
            return 0;
        }
        child_ended(state, leader, signal, notified);
    }
    0
}

/// The running process, if this can only be about its own end, whatever the siginfo says: from the
/// moment it looks like a zombie until its parent was told of it interrupts are off (exit_notify,
/// kernel/exit.c), and nothing else sends a signal.
#[inline(always)]
fn find_own(current: Task<OfCurrent>, notified: u64) -> Option<*mut TaskState> {
    if current.exit_state() & EXIT_ZOMBIE == 0
        || current.pid() != current.tgid()
        || current.threads() != 1
        // A leader that ended early can be interrupted, by a timer that sends signals, before it
        // leaves its CPU.
        || current.parent().address() != notified
    {
        return None;
    }
    let state = table::find_in_slot(current.tgid())?;
    // SAFETY: `state` is a map value.
    let record = unsafe { &raw const (*state).record };
    // SAFETY: `record` is part of a map value.
    let untold = unsafe {
        (*record).task == current.address()
            && (*record).zombie_time == 0
            && (*record).flags & flags::NO_EXIT_SIGNAL == 0
    };
    untold.then_some(state)
}

/// The process that the notification is about.
#[inline(always)]
fn find(pid: u32, notified: Task<Probed>) -> Option<*mut TaskState> {
    if EXIT_CAN_BE_SKIPPED.load() != 0
        && let Some(state) = recover(pid, notified)
    {
        return Some(state);
    }
    entry::find_numbered(pid, notified.pid_namespace())
}

/// Takes in the running process, if it is the one that ends and its exit was not seen. Here no
/// program is skipped, as none can be preempted.
#[inline(always)]
fn recover(pid: u32, notified: Task<Probed>) -> Option<*mut TaskState> {
    let current = current::task();
    let leader = current.group_leader();
    if current.flags() & PF_EXITING == 0
        || entry::find(leader).is_some()
        || !is_numbered(leader, pid, notified.pid_namespace())
    {
        return None;
    }
    take_in::take_in(leader)
}

/// Whether a process has this number in that namespace (a key of aliases).
#[inline(always)]
fn is_numbered(leader: Task<OfCurrent>, pid: u32, namespace: u64) -> bool {
    if namespace == 0 {
        return leader.tgid() == pid;
    }
    let numbers = leader.thread_pid();
    let level = numbers.level();
    for at in 1..=scope::MAX_PID_NS_LEVEL {
        if at > level {
            break;
        }
        let number = numbers.at(at);
        if number.ns == namespace {
            return number.nr == pid;
        }
    }
    false
}

#[inline(always)]
unsafe fn child_ended<A: Access, B: Access>(
    state: *mut TaskState,
    leader: Task<A>,
    signal: u32,
    notified: Task<B>,
) {
    // SAFETY: the caller vouches for `state`.
    let record = unsafe { &raw mut (*state).record };
    // SAFETY: the caller vouches for `state`, and that it is that of `leader`.
    unsafe {
        if !zombie::has_ended_unseen(state, leader) {
            return;
        }
        let traced = leader.is_traced();
        let autoreap = signal == SIGCHLD && !traced && notified.ignores_children();
        // With exit_signal 0 nobody is notified but a later parent.
        if (*record).zombie_time == 0 && (*record).flags & flags::NO_EXIT_SIGNAL == 0 {
            let now = bpf_ktime_get_ns();
            if traced {
                zombie::begin(state, zombie::seldom(leader).real_parent(), traced, now);
            } else {
                zombie::begin(state, notified, traced, now);
            }
            if autoreap {
                zombie::expect_autoreap(state, how::AUTOREAP, now);
            }
        } else {
            zombie::handed_on(state, leader);
            if autoreap {
                let now = bpf_ktime_get_ns();
                zombie::expect_autoreap(state, how::AUTOREAP_ON_REPARENT, now);
            }
        }
    }
}

/// Whether a process is a zombie. If it is not, the signal is about a thread, or made up.
#[inline(always)]
fn is_zombie(leader: Task<Probed>) -> bool {
    let exit_state = leader.exit_state();
    exit_state == EXIT_ZOMBIE || exit_state == EXIT_TRACE
}

/// Whether a process made up this notification of a zombie's end (rt_sigqueueinfo(2)).
///
/// The kernel notifies the parent, or the tracer, and nobody else. A process can make up such a
/// signal for itself alone (do_rt_sigqueueinfo, kernel/signal.c), and not while it exits. So only
/// the parent or tracer can forge one, and the system call tells that from its wait for a thread
/// that the zombie had, in which the kernel notifies it, too (release_task, kernel/exit.c).
#[inline(always)]
fn is_forged(leader: Task<Probed>, notified: Task<Probed>) -> bool {
    if leader.parent().address() != notified.address() {
        return true;
    }
    let current = current::task();
    current.flags() & PF_EXITING == 0
        && current.tgid() == notified.tgid()
        && syscall::sends_signal_with_info(current)
}
