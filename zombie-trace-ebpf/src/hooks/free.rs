//! `sched_process_free` (delayed_put_task_struct, kernel/exit.c): an RCU grace period after the
//! reap. Whatever no other hook has seen the end of, ends here.

use core::arch::asm;

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use zombie_trace_common::{COMM_LEN, Record, TaskState, flags, how, scope};

use crate::{
    emit::{close, forget},
    entry,
    globals::SCOPE,
    maps::{TREE, UNTOLD, UNTOLD_LEN},
    table,
    task::{Probed, Task, Typed},
    zombie::{self, approximate_start},
};

#[btf_tracepoint(function = "sched_process_free")]
pub fn process_free(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the first argument is a `struct task_struct *`, which BTF says too.
    let task = unsafe { Task::typed(ctx.arg::<*const u8>(0)) };
    // Of another thread nothing is known.
    if task.pid() != task.tgid() {
        return 0;
    }
    if entry::find(task).is_some() {
        debug!(&ctx, "pid {}: seen at its free", task.tgid());
        // Seldom enough for reads by helper, which cost the verifier far less.
        // SAFETY: the task is freed only after this hook.
        unsafe { freed(Task::probed(task.address())) };
    }
    forget_descendant(task);
    0
}

#[inline(always)]
fn forget_descendant(task: Task<Typed>) {
    if SCOPE.load() & scope::TREE == 0 {
        return;
    }
    let tgid = task.tgid();
    // SAFETY: the map is preallocated, so the entry stays readable even if it is removed meanwhile.
    if let Some(entry) = unsafe { TREE.get(tgid) }
        && task.pid() == tgid
        && entry.start_boottime == task.start_boottime()
    {
        let _ = TREE.remove(tgid);
    }
}

#[inline(always)]
unsafe fn freed(task: Task<Probed>) {
    // SAFETY: `state` is a map value, and that of `task`.
    unsafe {
        let Some(state) = entry::find(task) else {
            return;
        };
        if !zombie::has_ended(state) {
            forget(state);
            return;
        }
        if zombie::complete_if_autoreaped(state) {
            close(state);
            return;
        }
        let begin = begin(state);
        // Without the state, which can be in two maps: the verifier would look at all of this twice.
        let untold = match_untold((*state).parent_now, begin);
        let Some(state) = entry::find(task) else {
            return;
        };
        let record = &raw mut (*state).record;
        (*record).reap_time = bpf_ktime_get_ns();
        (*record).flags |= flags::BOUNDED_END;
        (*record).reap_time_min = begin;
        if untold.latest != 0 {
            told_now(record, &untold);
        } else {
            bound_end(state, task);
        }
        if (*record).zombie_time == 0 {
            approximate_start(state, Task::probed((*record).task));
        }
        close(state);
    }
}

/// The earliest time that its reap can have been.
#[inline(always)]
unsafe fn begin(state: *const TaskState) -> u64 {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        if (*state).record.zombie_time != 0 {
            (*state).record.zombie_time
        } else {
            (*state).record.exit_time
        }
    }
}

/// By whom a zombie was reaped without a hook's seeing it, and a better bound if there is one.
#[inline(always)]
unsafe fn bound_end(state: *mut TaskState, task: Task<Probed>) {
    // SAFETY: the caller vouches for `state`; `dying` is a map value.
    unsafe {
        let record = &raw mut (*state).record;
        let father = (*state).parent_now;
        // The tgid: when a thread of the parent dies, a sibling takes its children over.
        let parent = task.real_parent();
        if parent.tgid() != (*state).parent_now_tgid {
            // The father died, and the new one ignores SIGCHLD.
            (*record).how = how::AUTOREAP_ON_REPARENT;
            (*record).flags |= flags::REPARENTED;
            if let Some(dying) = table::find((*state).parent_now_tgid)
                && (*dying).record.task == father
                && (*dying).record.exit_time > (*record).reap_time_min
            {
                (*record).reap_time_min = (*dying).record.exit_time;
            }
            return;
        }
        if (*record).zombie_time == 0 && (*record).flags & flags::NO_EXIT_SIGNAL == 0 {
            // The hook that sees notifications was skipped: it can have been autoreaped as well.
            return;
        }
        if (*record).flags & flags::KERNEL_PARENT != 0 {
            (*record).how = how::KERNEL;
            return;
        }
        // A wait that no system call tracepoint shows, such as a 32-bit process's.
        (*record).how = how::WAIT;
        let reaper = parent.group_leader();
        (*record).reaper_pid = crate::scope::visible_pid(reaper);
        reaper.read_comm(&raw mut (*record).reaper_comm);
    }
}

/// What a parent's reaps tell that did not tell which child they reaped.
struct Untold {
    how: u32,
    reaper_pid: u32,
    /// 0 if it can have been one of several threads.
    reaper_tid: u32,
    reaper_comm: [u8; COMM_LEN],
    earliest: u64,
    /// 0 if none of them fits.
    latest: u64,
    exact: u64,
}

#[inline(always)]
unsafe fn told_now(record: *mut Record, untold: &Untold) {
    // SAFETY: the caller vouches for `record`.
    unsafe {
        (*record).how = untold.how;
        (*record).reaper_pid = untold.reaper_pid;
        (*record).reaper_tid = untold.reaper_tid;
        (*record).reaper_comm = untold.reaper_comm;
        (*record).reap_time = untold.latest;
        (*record).reap_time_min = untold.earliest;
        if untold.exact != 0 {
            (*record).flags &= !flags::BOUNDED_END;
        }
    }
}

/// Later than any time. Times of CLOCK_MONOTONIC are below 2⁶³ ns, so that the sign of a difference tells
/// which one is earlier.
const NEVER: u64 = i64::MAX as u64;

/// All ones if a number is negative, else 0. The compiler would make a branch of it.
#[inline(always)]
fn sign(number: u64) -> u64 {
    let mut sign = number;
    // SAFETY: it shifts a register.
    unsafe {
        asm!("{} s>>= 63", inout(reg) sign, options(pure, nomem, nostack));
    }
    sign
}

/// `one` where `mask` has ones, `other` where it has zeroes.
#[inline(always)]
fn either(mask: u64, one: u64, other: u64) -> u64 {
    (one & mask) | (other & !mask)
}

#[inline(always)]
fn earlier(one: u64, other: u64) -> u64 {
    either(sign(one.wrapping_sub(other)), one, other)
}

#[inline(always)]
fn later(one: u64, other: u64) -> u64 {
    either(sign(one.wrapping_sub(other)), other, one)
}

/// Looks for the reap of a child that can't have been before `begin` among those of its father that
/// did not tell which child they reaped. With one that fits the end is exact, with several it lies
/// between the first and the last.
#[inline(always)]
unsafe fn match_untold(father: u64, begin: u64) -> Untold {
    // All of it is set, and not left to the compiler, which the verifier would refuse.
    let mut untold = Untold {
        how: 0,
        reaper_pid: 0,
        reaper_tid: 0,
        reaper_comm: [0; COMM_LEN],
        earliest: 0,
        latest: 0,
        exact: 0,
    };
    // SAFETY: `reaps` is a map value.
    unsafe {
        let Some(reaps) = UNTOLD.get_ptr_mut(father) else {
            return untold;
        };
        // Without a branch for each time: the verifier would look at every combination of them.
        let (mut first, mut last, mut entered) = (NEVER, 0, NEVER);
        for at in 0..UNTOLD_LEN {
            let time = (*reaps).times[at];
            let fits = !sign(time.wrapping_sub(begin));
            first = earlier(first, either(fits, time, NEVER));
            last = later(last, time & fits);
            entered = earlier(entered, either(fits, (*reaps).entered[at], NEVER));
        }
        let overwritten = (*reaps).overwritten;
        if overwritten >= begin {
            first = begin;
            entered = begin;
            last = later(last, overwritten);
        }
        if last == 0 {
            return untold;
        }
        let exact = first == last;
        untold.reaper_tid = (*reaps).reaper_tid;
        if exact {
            let mut tid = 0;
            // It can be no other child's. Of several nobody knows whose each was, as grace periods
            // end in any order.
            for at in 0..UNTOLD_LEN {
                let time = (*reaps).times[at];
                let is_other = sign(time.wrapping_sub(first)) | sign(first.wrapping_sub(time));
                (*reaps).times[at] = time & is_other;
                tid = either(is_other, tid, u64::from((*reaps).tids[at]));
            }
            untold.reaper_tid = tid as u32;
        }
        untold.how = (*reaps).how;
        untold.reaper_pid = (*reaps).reaper_pid;
        untold.reaper_comm = (*reaps).reaper_comm;
        // Each reap was between a call's begin and its end.
        untold.earliest = if exact { last } else { entered.max(begin) };
        untold.latest = last;
        untold.exact = u64::from(exact);
    }
    untold
}
