//! `release_task` (kernel/exit.c): a zombie is reaped. The running task is its reaper, the process
//! itself, or a father or tracer that dies.

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use zombie_trace_common::{TaskState, how};

use crate::{
    arch,
    current::{self, OfCurrent},
    emit::forget,
    entry, syscall,
    task::{Access, PF_EXITING, Task},
    zombie,
};

#[fentry(function = "release_task")]
pub fn release_fentry(ctx: FEntryContext) -> i32 {
    // SAFETY: the first argument is a `struct task_struct *`, which BTF says too.
    release(unsafe { Task::typed(ctx.arg::<*const u8>(0)) });
    0
}

#[kprobe(function = "release_task")]
pub fn release_kprobe(ctx: ProbeContext) -> u32 {
    release(Task::probed(arch::first_argument(&ctx)));
    0
}

#[inline(always)]
fn release<A: Access>(task: Task<A>) {
    if let Some(state) = entry::find(task) {
        // SAFETY: `state` is a map value.
        unsafe { released(state, task.address()) };
    }
}

#[inline(always)]
unsafe fn released(state: *mut TaskState, task: u64) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        if !zombie::has_ended(state) {
            // A leader whose place another thread took by exec (de_thread, fs/exec.c).
            forget(state);
            return;
        }
        let now = bpf_ktime_get_ns();
        let current = current::task();
        let leader = current.group_leader();
        if current.flags() & PF_EXITING == 0 {
            zombie::reaped(state, wait_kind(current), now, Some(leader));
        } else if leader.address() == task {
            // do_notify_parent has said so, if its return was seen.
            zombie::autoreaped(state);
        } else if is_namespace_init(leader) {
            zombie::reaped(state, how::NS_TEARDOWN, now, Some(leader));
        } else {
            // Nobody is told if the tracer that dies is the parent itself (__ptrace_detach).
            zombie::reaped(state, how::AUTOREAP_ON_REPARENT, now, None);
        }
    }
}

/// The wait that the running task is in.
#[inline(always)]
fn wait_kind(current: Task<OfCurrent>) -> u32 {
    if current.is_kthread() {
        how::KERNEL
    } else {
        syscall::wait_kind(current)
    }
}

/// Whether it is the first process of a pid namespace, which waits for all that is left in it when
/// it dies (zap_pid_ns_processes, kernel/pid_namespace.c).
#[inline(always)]
fn is_namespace_init(leader: Task<OfCurrent>) -> bool {
    let numbers = leader.thread_pid();
    let level = numbers.level();
    level != 0 && numbers.at(level).nr == 1
}
