//! `do_notify_parent` (kernel/signal.c): a process becomes a zombie, or gets a new parent while it
//! is one. What it returns tells whether anybody has to wait for it.
//!
//! It runs under the write side of tasklist_lock: never twice at a time, even with PREEMPT_RT.

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    arch, current, entry,
    maps::NOTIFYING,
    table, take_in,
    task::{Access, Task},
    zombie,
};

#[fentry(function = "do_notify_parent")]
pub fn notify_fentry(ctx: FEntryContext) -> i32 {
    // SAFETY: the first argument is a `struct task_struct *`, which BTF says too.
    notify(unsafe { Task::typed(ctx.arg::<*const u8>(0)) });
    0
}

#[fexit(function = "do_notify_parent")]
pub fn notify_fexit(ctx: FExitContext) -> i32 {
    // After the two arguments.
    notified(ctx.arg::<u64>(2) & 1 != 0);
    0
}

#[kprobe(function = "do_notify_parent")]
pub fn notify_kprobe(ctx: ProbeContext) -> u32 {
    notify(Task::probed(arch::first_argument(&ctx)));
    0
}

#[kretprobe(function = "do_notify_parent")]
pub fn notify_kretprobe(ctx: RetProbeContext) -> u32 {
    notified(arch::result(&ctx) & 1 != 0);
    0
}

/// The kernel is about to tell the parent, or tracer, of this task's end.
#[inline(always)]
fn notify<A: Access>(task: Task<A>) {
    let Some(notifying) = NOTIFYING.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the helper takes no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: `notifying` is a map value.
    unsafe {
        (*notifying).thread = current::pid_tgid();
        (*notifying).tgid = 0;
    }
    // A tracer is told of every thread.
    if task.pid() != task.tgid() {
        return;
    }
    let Some(state) = entry::find(task).or_else(|| take_in::take_in(task)) else {
        return;
    };
    // SAFETY: `state` is a map value, and that of `task`.
    unsafe {
        // A tracer is told of the leader's end, though its threads live on.
        if !zombie::has_ended_unseen(state, task) {
            return;
        }
        (*notifying).tgid = (*state).tgid;
        (*notifying).again = u32::from((*state).record.zombie_time != 0);
        if (*notifying).again == 0 {
            zombie::begin(state, task.real_parent(), task.is_traced(), now);
        } else {
            zombie::handed_on(state, task);
        }
    }
}

/// The kernel has told; `autoreap`: the parent ignores SIGCHLD.
#[inline(always)]
fn notified(autoreap: bool) {
    let Some(notifying) = NOTIFYING.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: `notifying` and `state` are map values.
    unsafe {
        let tgid = (*notifying).tgid;
        // If the kernel skips the program at the next call's start, its return must find nothing.
        (*notifying).tgid = 0;
        if !autoreap || tgid == 0 || (*notifying).thread != current::pid_tgid() {
            return;
        }
        if let Some(state) = table::find(tgid) {
            if (*notifying).again == 0 {
                zombie::autoreaped(state);
            } else {
                zombie::autoreaped_on_reparent(state);
            }
        }
    }
}
