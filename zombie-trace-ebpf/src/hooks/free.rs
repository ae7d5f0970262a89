//! `sched_process_free` (delayed_put_task_struct, kernel/exit.c): an RCU grace period after the
//! reap. Whatever no other hook has seen the end of, ends here.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use zombie_trace_common::{TaskState, flags, how, scope};

use crate::{
    emit::{close, forget},
    globals::SCOPE,
    maps::{TASKS, TREE, UNTOLD, UNTOLD_LEN, UntoldReaps},
    record,
    task::{Task, Typed},
    zombie::{self, approximate_start},
};

#[btf_tracepoint(function = "sched_process_free")]
pub fn process_free(ctx: BtfTracePointContext) -> i32 {
    let task = unsafe { Task::typed(ctx.arg::<*const u8>(0)) };
    // Of another thread nothing is known.
    if task.pid() != task.tgid() {
        return 0;
    }
    if let Some(state) = record::find(task) {
        debug!(&ctx, "pid {}: seen at its free", unsafe { (*state).tgid });
        unsafe { freed(state, task) };
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
    if let Some(entry) = unsafe { TREE.get(tgid) } {
        if task.pid() == tgid && entry.start_boottime == task.start_boottime() {
            let _ = TREE.remove(tgid);
        }
    }
}

#[inline(always)]
unsafe fn freed(state: *mut TaskState, task: Task<Typed>) {
    unsafe {
        let record = &raw mut (*state).record;
        if !zombie::has_ended(state) {
            forget(state);
            return;
        }
        if zombie::was_silently_autoreaped(state) {
            zombie::autoreaped(state);
            return;
        }
        (*record).reap_time = bpf_ktime_get_ns();
        bound_end(state, task);
        if (*record).zombie_time == 0 {
            approximate_start(state, Task::probed((*record).task));
        }
        close(state);
    }
}

/// When, and by whom, a zombie was reaped without a hook's seeing it.
#[inline(always)]
unsafe fn bound_end(state: *mut TaskState, task: Task<Typed>) {
    unsafe {
        let record = &raw mut (*state).record;
        let begin = if (*record).zombie_time != 0 {
            (*record).zombie_time
        } else {
            (*record).exit_time
        };
        (*record).flags |= flags::BOUNDED_END;
        (*record).reap_time_min = begin;

        let father = (*state).parent_now;
        if let Some(reaps) = UNTOLD.get_ptr_mut(father) {
            if match_untold(state, reaps, begin) {
                return;
            }
        }
        // The tgid: when a thread of the parent dies, a sibling takes its children over.
        let parent = Task::probed(task.real_parent().address());
        if parent.tgid() != (*state).parent_now_tgid {
            // The father died, and the new one ignores SIGCHLD.
            (*record).how = how::AUTOREAP_ON_REPARENT;
            (*record).flags |= flags::REPARENTED;
            if let Some(dying) = TASKS.get_ptr((*state).parent_now_tgid) {
                if (*dying).record.task == father && (*dying).record.exit_time > begin {
                    (*record).reap_time_min = (*dying).record.exit_time;
                }
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

/// Looks for the reap among those of the parent that did not tell which child they reaped. With
/// one that fits the end is exact, with several it lies between the first and the last.
#[inline(always)]
unsafe fn match_untold(state: *mut TaskState, reaps: *mut UntoldReaps, begin: u64) -> bool {
    unsafe {
        let record = &raw mut (*state).record;
        // Nothing here may depend on how many fit, or on which: the verifier would have to look at
        // every combination.
        let (mut first, mut last, mut entered) = (u64::MAX, 0, u64::MAX);
        for at in 0..UNTOLD_LEN {
            let time = (*reaps).times[at];
            if time < begin {
                continue;
            }
            first = first.min(time);
            last = last.max(time);
            entered = entered.min((*reaps).entered[at]);
        }
        let overwritten = (*reaps).overwritten;
        if overwritten >= begin {
            first = begin;
            entered = begin;
            last = last.max(overwritten);
        }
        if last == 0 {
            return false;
        }
        (*record).how = (*reaps).how;
        (*record).reaper_pid = (*reaps).reaper_pid;
        (*record).reaper_comm = (*reaps).reaper_comm;
        (*record).reap_time = last;
        // Each reap was between a call's begin and its end.
        (*record).reap_time_min = entered.max(begin);
        if first == last {
            (*record).reap_time_min = last;
            (*record).flags &= !flags::BOUNDED_END;
            // It can be no other child's. Of several nobody knows whose each was, as grace periods
            // end in any order.
            for at in 0..UNTOLD_LEN {
                if (*reaps).times[at] == first {
                    (*reaps).times[at] = 0;
                }
            }
        }
        true
    }
}
