//! Where a zombie's time goes: when its parent was told, when its reaper came to wait, and how long
//! it stood in a run queue meanwhile.
//!
//! What is not known is left at zero; a zombie whose wait is not known has no phases.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use zombie_trace_common::{HANDLER_TIMES, HANDLERS_LEN, HandlerRuns, MISSING, Record, TaskState};

use crate::{
    current::OfCurrent,
    globals::TASK_RUN_DELAY,
    maps::{HANDLERS, WAITS, WAITS_LEN, Wait},
    task::{Access, Task},
};

/// The running thread comes to wait (do_wait, kernel/exit.c).
#[inline(always)]
pub fn wait_begins(thread: Task<OfCurrent>) {
    let id = thread.pid();
    let first = id % WAITS_LEN;
    let Some(mut wait) = WAITS.get_ptr_mut(first) else {
        return;
    };
    // SAFETY: `wait` is a map value.
    unsafe {
        let other = (*wait).task;
        // Another thread of this number that still sleeps in its wait keeps its place.
        if other != 0 && other != thread.address() && Task::probed(other).is_sleeping() {
            let Some(second) = WAITS.get_ptr_mut(second(first)) else {
                return;
            };
            wait = second;
        }
        (*wait).task = thread.address();
        (*wait).time = bpf_ktime_get_ns();
        (*wait).run_delay = run_delay(thread);
    }
}

/// Where those go whose place is taken.
#[inline(always)]
fn second(first: u32) -> u32 {
    (first + WAITS_LEN / 2) % WAITS_LEN
}

/// The running thread's wait, which is over.
#[inline(always)]
unsafe fn take_wait(thread: Task<OfCurrent>) -> Option<*mut Wait> {
    let first = thread.pid() % WAITS_LEN;
    let wait = WAITS.get_ptr_mut(first)?;
    // SAFETY: `wait` is a map value.
    unsafe {
        if (*wait).task == thread.address() {
            (*wait).task = 0;
            return Some(wait);
        }
        let wait = WAITS.get_ptr_mut(second(first))?;
        if (*wait).task == thread.address() {
            (*wait).task = 0;
            return Some(wait);
        }
    }
    None
}

/// A SIGCHLD handler of the running process is about to run (get_signal, kernel/signal.c).
#[inline(always)]
pub fn handler_runs(leader: Task<OfCurrent>) {
    let Some(handler) = handler_for(leader) else {
        return;
    };
    // SAFETY: `handler` is a map value.
    unsafe {
        let runs = (*handler).runs;
        (*handler).times[runs as usize % HANDLER_TIMES] = bpf_ktime_get_ns();
        (*handler).runs = runs + 1;
    }
}

/// The process's place, which it takes from another if need be.
#[inline(always)]
fn handler_for<A: Access>(leader: Task<A>) -> Option<*mut HandlerRuns> {
    let handler = HANDLERS.get_ptr_mut(leader.tgid() % HANDLERS_LEN)?;
    // SAFETY: `handler` is a map value.
    unsafe {
        if (*handler).task != leader.address() {
            (*handler).task = leader.address();
            (*handler).deaths = 0;
            (*handler).runs = 0;
        }
    }
    Some(handler)
}

#[inline(always)]
fn handler_of<A: Access>(leader: Task<A>) -> Option<*const HandlerRuns> {
    let handler = HANDLERS.get_ptr(leader.tgid() % HANDLERS_LEN)?;
    // SAFETY: `handler` is a map value.
    (unsafe { (*handler).task } == leader.address()).then_some(handler)
}

/// A thread of the parent is told of the zombie.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn told<A: Access>(state: *mut TaskState, father: Task<A>) {
    // SAFETY: the caller vouches for `state`; `handler` is a map value.
    unsafe {
        (*state).father = father.address();
        (*state).father_run_delay = run_delay(father);
        (*state).handler_runs = 0;
        if father.handles_children()
            && let Some(handler) = handler_for(father.group_leader())
        {
            (*handler).deaths += 1;
            (*state).handler_runs = (*handler).runs;
        }
    }
}

/// The running thread has reaped it, by a wait.
///
/// # Safety
/// `state` must be valid, with the times of its begin and end.
#[inline(always)]
pub unsafe fn reaped(state: *mut TaskState, thread: Task<OfCurrent>) {
    // SAFETY: the caller vouches for `state`; `wait` and `handler` are map values.
    unsafe {
        let record: *mut Record = &raw mut (*state).record;
        let Some(wait) = take_wait(thread) else {
            return;
        };
        let begin = (*record).zombie_time.max((*record).tracer_end_time);
        (*record).wait_time = (*wait).time;
        if TASK_RUN_DELAY.load() == MISSING {
            (*record).run_delay_in_wait = u64::MAX;
        } else {
            let now = run_delay(thread);
            let at_wait = (*wait).run_delay;
            let told = (*state).father == thread.address();
            let at_begin = if told {
                (*state).father_run_delay
            } else {
                at_wait
            };
            if (*wait).time > begin {
                (*record).run_delay_before_wait = at_wait - at_begin;
                (*record).run_delay_in_wait = now - at_wait;
            } else {
                (*record).run_delay_in_wait = now - at_begin;
            }
        }
        let leader = thread.group_leader();
        if (*state).father != 0
            && leader.address() == (*state).parent_now
            && let Some(handler) = handler_of(leader)
        {
            let before = (*state).handler_runs;
            let since = (*handler).runs - before;
            // The times of older runs are overwritten.
            if since >= 1 && since <= HANDLER_TIMES as u64 {
                (*record).handler_time = (*handler).times[before as usize % HANDLER_TIMES];
            }
        }
    }
}

/// How long it has stood in run queues, ns.
#[inline(always)]
fn run_delay<A: Access>(thread: Task<A>) -> u64 {
    if TASK_RUN_DELAY.load() == MISSING {
        0
    } else {
        thread.run_delay()
    }
}
