//! A zombie's end as its reaper sees it.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_log_ebpf::debug;
use zombie_trace_common::{Alias, Record, TaskState, flags};

use crate::{
    current,
    emit::close,
    maps::{ALIASES, NO_UNTOLD, TASKS, UNTOLD, UNTOLD_LEN},
    scope::visible_pid,
    task::{EXIT_TRACE, EXIT_ZOMBIE, Probed, Task},
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
        let record = &raw mut (*state).record;
        let ended = (*record).exit_time != 0 || (*record).flags & flags::PRE_EXISTING != 0;
        if !ended || is_unreaped(record) {
            return;
        }
        let leader = current.group_leader();
        (*record).how = how;
        (*record).reap_time = now;
        (*record).reap_time_min = now;
        (*record).reaper_pid = visible_pid(leader);
        leader.read_comm(&raw mut (*record).reaper_comm);
        if (*record).zombie_time == 0 {
            approximate_start(state, Task::probed((*record).task));
        }
        debug!(
            (),
            "pid {}: reaped by {}",
            (*state).tgid,
            (*record).reaper_pid
        );
        close(state);
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

/// Nobody was notified of this zombie: it began between its exit and the last time that it ran.
///
/// The run-queue clock tells how long that was, if the leader was the last thread to run and ended
/// on the CPU that it began to end on. It goes at the speed of CLOCK_MONOTONIC, less what interrupts
/// and the hypervisor take meanwhile: by so much the bound can be too early.
///
/// # Safety
/// `state` must be valid; its `reap_time` must be set.
#[inline(always)]
pub unsafe fn approximate_start(state: *mut TaskState, leader: Task<Probed>) {
    unsafe {
        let record = &raw mut (*state).record;
        (*record).flags |= flags::APPROXIMATE_START;
        (*record).zombie_time = (*record).exit_time;
        (*record).zombie_time_max = (*record).reap_time;
        let same = leader.start_boottime() == (*record).start_boottime;
        let alone = (*record).flags & flags::LEADER_EXITED_EARLY == 0;
        // Each CPU's clock has an offset of its own.
        let one_clock = leader.cpu() == (*state).exit_cpu;
        let last = leader.exec_start();
        if same && alone && one_clock && (*record).exec_start != 0 && last >= (*record).exec_start {
            let ran = last - (*record).exec_start;
            let last_run = (*record).exit_time + ran;
            if last_run < (*record).reap_time {
                (*record).zombie_time_max = last_run;
            }
        }
    }
}

/// The running process has reaped a child, or looked for one, without being told which.
#[inline(always)]
pub fn untold_by_current(how: u32) {
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
        (*reaps).count += 1;
        (*reaps).how = how;
        (*reaps).reaper_pid = visible_pid(leader);
        leader.read_comm(&raw mut (*reaps).reaper_comm);
    }
}
