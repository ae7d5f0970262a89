//! A zombie's end as its reaper sees it.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_log_ebpf::debug;
use zombie_trace_common::{Alias, Record};

use crate::{
    current,
    maps::{ALIASES, NO_UNTOLD, TASKS, UNTOLD, UNTOLD_LEN},
    scope::visible_pid,
    task::{EXIT_TRACE, EXIT_ZOMBIE, Task},
    zombie,
};

/// A wait of the running process has returned this pid (in its own namespace).
#[inline(always)]
pub fn reaped_by_current(pid: u32, how: u32) {
    let now = unsafe { bpf_ktime_get_ns() };
    let current = current::task();
    let alias = Alias {
        ns: current.pid_namespace(),
        nr: pid,
        reserved: 0,
    };
    let Some(key) = (unsafe { ALIASES.get(alias) }) else {
        return;
    };
    let Some(state) = TASKS.get_ptr_mut(*key) else {
        return;
    };
    unsafe {
        if !zombie::has_ended(state) || is_unreaped(&raw const (*state).record) {
            return;
        }
        debug!((), "pid {}: its reap is seen", (*state).tgid);
        zombie::reaped(state, how, now, Some(current.group_leader()));
    }
}

/// The wait was WNOWAIT, a tracer's, or told of a stop. A task that is another by now was reaped.
#[inline(always)]
unsafe fn is_unreaped(record: *const Record) -> bool {
    let (task, start_boottime) = unsafe { ((*record).task, (*record).start_boottime) };
    let leader = Task::probed(task);
    let exit_state = leader.exit_state();
    leader.start_boottime() == start_boottime
        && (exit_state == EXIT_ZOMBIE || exit_state == EXIT_TRACE || exit_state == 0)
}

/// The running process has reaped a child, or looked for one, without being told which.
///
/// `entered`: when its call began, 0 if that is not known.
#[inline(always)]
pub fn untold_by_current(how: u32, entered: u64) {
    let leader = current::task().group_leader();
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
    unsafe {
        let at = (*reaps).count as usize % UNTOLD_LEN;
        if (*reaps).times[at] != 0 {
            (*reaps).overwritten = (*reaps).times[at];
        }
        (*reaps).times[at] = bpf_ktime_get_ns();
        (*reaps).entered[at] = entered;
        (*reaps).count += 1;
        (*reaps).how = how;
        (*reaps).reaper_pid = visible_pid(leader);
        leader.read_comm(&raw mut (*reaps).reaper_comm);
    }
}
