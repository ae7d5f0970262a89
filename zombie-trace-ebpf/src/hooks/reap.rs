//! A zombie's end as its reaper sees it.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_log_ebpf::debug;
use zombie_trace_common::{Record, TaskState};

use crate::{
    counters::count,
    current::{self, OfCurrent},
    entry,
    maps::{NO_UNTOLD, UNTOLD, UNTOLD_LEN},
    scope::{visible_pid, visible_tid},
    table,
    task::{EXIT_DEAD, EXIT_TRACE, EXIT_ZOMBIE, Task},
    zombie,
};

/// A wait of the running process has returned this pid (in its own namespace).
#[inline(always)]
pub fn reaped_by_current(pid: u32, how: u32) {
    // SAFETY: the helper takes no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let current = current::task();
    let leader = current.group_leader();
    let Some(state) = find_child(pid, current, leader) else {
        return;
    };
    // SAFETY: `state` is a map value.
    unsafe {
        if !zombie::has_ended(state) || is_unreaped(&raw const (*state).record) {
            return;
        }
        // The pid may come from memory that the process can write to.
        if !may_reap(current, state) {
            count(|counters| &raw mut counters.suspicious);
            return;
        }
        debug!((), "pid {}: its reap is seen", (*state).tgid);
        zombie::reaped(state, how, now, Some(leader));
    }
}

/// Whether a thread is one of the process's parent or tracer: the kernel lets nobody else reap it.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn may_reap(thread: Task<OfCurrent>, state: *const TaskState) -> bool {
    let tgid = thread.tgid();
    // SAFETY: the caller vouches for `state`.
    unsafe { (*state).parent_now_tgid == tgid || (*state).tracer_tgid == tgid }
}

#[inline(always)]
fn find_child(
    pid: u32,
    current: Task<OfCurrent>,
    leader: Task<OfCurrent>,
) -> Option<*mut TaskState> {
    // Nearly always parent and child are in the initial namespace: where the child is, its parent is.
    if let Some(state) = table::find(pid) {
        // SAFETY: `state` is a map value.
        let own = unsafe { (*state).aliases[0].ns == 0 && (*state).parent_now == leader.address() };
        if own {
            return Some(state);
        }
    }
    entry::find_numbered(pid, current.pid_namespace())
}

/// The wait was WNOWAIT, a tracer's, or told of a stop. A task that is another by now was reaped.
#[inline(always)]
unsafe fn is_unreaped(record: *const Record) -> bool {
    // SAFETY: the caller vouches for `record`.
    let (task, start_boottime) = unsafe { ((*record).task, (*record).start_boottime) };
    let leader = Task::probed(task);
    let exit_state = leader.exit_state();
    // If that is another task's by now, this one is gone all the more.
    if exit_state == EXIT_DEAD {
        return false;
    }
    leader.start_boottime() == start_boottime
        && (exit_state == EXIT_ZOMBIE || exit_state == EXIT_TRACE || exit_state == 0)
}

/// The running process has reaped a child, or looked for one, without being told which.
///
/// `entered`: when its call began, 0 if that is not known.
#[inline(always)]
pub fn untold_by_current(how: u32, entered: u64) {
    let current = current::task();
    let leader = current.group_leader();
    let key = leader.address();
    if UNTOLD.get_ptr_mut(key).is_none() {
        let Some(empty) = NO_UNTOLD.get(0) else {
            return;
        };
        let _ = UNTOLD.insert(key, empty, 0);
    }
    let Some(reaps) = UNTOLD.get_ptr_mut(key) else {
        return;
    };
    // SAFETY: `reaps` is a map value.
    unsafe {
        let at = (*reaps).count as usize % UNTOLD_LEN;
        if (*reaps).times[at] != 0 {
            (*reaps).overwritten = (*reaps).times[at];
        }
        (*reaps).times[at] = bpf_ktime_get_ns();
        (*reaps).entered[at] = entered;
        let tid = visible_tid(current);
        (*reaps).tids[at] = tid;
        if (*reaps).count == 0 {
            (*reaps).reaper_tid = tid;
        } else if (*reaps).reaper_tid != tid {
            (*reaps).reaper_tid = 0;
        }
        (*reaps).count += 1;
        (*reaps).how = how;
        (*reaps).reaper_pid = visible_pid(leader);
        leader.read_comm(&raw mut (*reaps).reaper_comm);
    }
}
