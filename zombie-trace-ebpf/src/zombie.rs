//! What becomes of a process from its end to its reap, whichever hooks tell of it.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use zombie_trace_common::{
    Record, TaskState, flags,
    how::{self, IO_URING},
};

use crate::{
    control,
    counters::count,
    current::{self, OfCurrent},
    emit::{close, forget},
    globals::{EXIT_CAN_BE_SKIPPED, TRACER_PIDNS},
    phases,
    record::describe_parent,
    relation, scope,
    task::{Access, Probed, Task},
};

/// Whether all of a process's threads have ended, and not its leader alone.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn has_ended(state: *const TaskState) -> bool {
    // SAFETY: the caller vouches for `state`.
    unsafe { (*state).record.exit_time != 0 || (*state).record.flags & flags::PRE_EXISTING != 0 }
}

/// As [`has_ended`]; an end that was not seen, because the kernel skipped the program, is made up
/// for.
///
/// # Safety
/// `state` must be valid and that of `leader`.
#[inline(always)]
pub unsafe fn has_ended_unseen<A: Access>(state: *mut TaskState, leader: Task<A>) -> bool {
    // SAFETY: the caller vouches for `state`, and that it is that of `leader`.
    unsafe {
        if has_ended(state) {
            return true;
        }
        let leader = seldom(leader);
        if EXIT_CAN_BE_SKIPPED.load() == 0 || control::is_closing() || leader.live_threads() != 0 {
            return false;
        }
        (*state).record.wait_status = leader.wait_status();
        recovered(state);
        true
    }
}

/// A task of which so much is seldom read that reads by helper do: they cost the verifier far less.
#[inline(always)]
pub fn seldom<A: Access>(task: Task<A>) -> Task<Probed> {
    Task::probed(task.address())
}

/// Marks a process as ended whose exit was not seen.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn recovered(state: *mut TaskState) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        (*state).record.exit_time = bpf_ktime_get_ns();
        (*state).record.flags |= flags::EXIT_UNSEEN;
    }
    count(|counters| &raw mut counters.exits);
    count(|counters| &raw mut counters.recovered);
}

/// It becomes a zombie, given the thread that is its real parent.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn begin<A: Access>(state: *mut TaskState, father: Task<A>, traced: bool, now: u64) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        let parent = father.group_leader();
        let record = &raw mut (*state).record;
        (*record).zombie_time = now;
        if parent.address() != (*record).parent_task {
            describe_parent(state, seldom(parent));
            relation::foreign(state);
        }
        if traced {
            (*record).flags |= flags::TRACED;
            (*state).tracer_tgid = Task::probed((*record).task).parent().tgid();
        } else {
            phases::told(state, father);
        }
    }
}

/// It has got a new parent, or its tracer has let go of it.
///
/// # Safety
/// `state` must be valid and that of `leader`.
#[inline(always)]
pub unsafe fn handed_on<A: Access>(state: *mut TaskState, leader: Task<A>) {
    // SAFETY: the caller vouches for `state`, and that it is that of `leader`.
    unsafe {
        let record = &raw mut (*state).record;
        let father = seldom(leader).real_parent();
        let parent = father.group_leader();
        if parent.address() != (*state).parent_now {
            (*state).parent_now = parent.address();
            (*state).parent_now_tgid = parent.tgid();
            (*record).flags |= flags::REPARENTED;
        }
        (*record).how = how::UNKNOWN;
        if (*record).flags & flags::TRACED != 0 && (*record).tracer_end_time == 0 {
            (*record).tracer_end_time = bpf_ktime_get_ns();
        }
        phases::told(state, father);
    }
}

/// Nobody has to wait for it, as its parent ignores SIGCHLD.
///
/// # Safety
/// `state` must point into the map of processes.
#[inline(always)]
pub unsafe fn autoreaped(state: *mut TaskState) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        note_autoreap(state);
        close(state);
    }
}

#[inline(always)]
unsafe fn note_autoreap(state: *mut TaskState) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        let record = &raw mut (*state).record;
        (*record).how = how::AUTOREAP;
        // Not every hook that tells of an autoreap knows when it was.
        (*record).reap_time = if (*record).zombie_time != 0 {
            (*record).zombie_time
        } else {
            (*record).exit_time
        };
    }
}

/// The kernel should now reap it, as the notified parent ignores SIGCHLD.
///
/// The record stays in the table until the kernel frees the task: if something is wrong with the
/// notification, the zombie is listed all the same.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn expect_autoreap(state: *mut TaskState, how: u32, now: u64) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        (*state).record.how = how;
        (*state).record.reap_time = now;
    }
}

/// Completes the record of a process that is gone if the kernel reaped it by itself.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn complete_if_autoreaped(state: *mut TaskState) -> bool {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        let record = &raw mut (*state).record;
        if (*record).how == how::AUTOREAP || was_silently_autoreaped(state) {
            note_autoreap(state);
            return true;
        }
        if (*record).how != how::AUTOREAP_ON_REPARENT {
            return false;
        }
        (*record).reap_time_min = (*record).reap_time;
        if (*record).zombie_time == 0 {
            approximate_start(state, Task::probed((*record).task));
        }
        true
    }
}

/// As [`autoreaped`], but it was a zombie, and its new parent is the one that ignores SIGCHLD.
///
/// # Safety
/// `state` must point into the map of processes.
#[inline(always)]
pub unsafe fn autoreaped_on_reparent(state: *mut TaskState) {
    // SAFETY: the caller vouches for `state`.
    unsafe { reaped(state, how::AUTOREAP_ON_REPARENT, bpf_ktime_get_ns(), None) }
}

/// It is reaped, by the running thread if `reaper` leads its process.
///
/// # Safety
/// `state` must point into the map of processes.
#[inline(always)]
pub unsafe fn reaped(state: *mut TaskState, how: u32, now: u64, reaper: Option<Task<OfCurrent>>) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        let record = &raw mut (*state).record;
        (*record).how = how;
        (*record).reap_time = now;
        (*record).reap_time_min = now;
        if (*record).zombie_time == 0 {
            approximate_start(state, Task::probed((*record).task));
        }
        if let Some(reaper) = reaper {
            // By a helper, which costs less than two reads where those take helpers of their own.
            let ids = current::pid_tgid();
            let tgid = (ids >> 32) as u32;
            if tgid == (*state).parent_now_tgid {
                relation::at_reap(state, reaper);
            }
            if TRACER_PIDNS.load() == 0 {
                (*record).reaper_pid = tgid;
                (*record).reaper_tid = ids as u32;
            } else {
                (*record).reaper_pid = scope::visible_pid(reaper);
                (*record).reaper_tid = scope::visible_tid(current::task());
            }
            (*record).reaper_cgroup_id = reaper.cgroup_id();
            reaper.read_comm(&raw mut (*record).reaper_comm);
            // io_uring's waits begin unseen.
            if how != IO_URING {
                phases::reaped(state, current::task());
            }
        }
        close(state);
    }
}

/// Whether a process that is gone was never shown to its parent, as that ignores SIGCHLD: nobody was
/// notified of its end, though somebody should have been.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn was_silently_autoreaped(state: *const TaskState) -> bool {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        (*state).record.zombie_time == 0
            && (*state).record.flags & flags::NO_EXIT_SIGNAL == 0
            && control::infers_autoreap()
    }
}

/// Its id is another process's by now, though no hook has seen it go.
///
/// # Safety
/// `state` must point into the map of processes.
#[inline(always)]
pub unsafe fn retire(state: *mut TaskState) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        let record = &raw mut (*state).record;
        if !has_ended(state) {
            // A leader whose place another thread took by exec (de_thread, fs/exec.c).
            forget(state);
            return;
        }
        if !complete_if_autoreaped(state) {
            let now = bpf_ktime_get_ns();
            if (*record).zombie_time == 0 {
                (*record).flags |= flags::APPROXIMATE_START;
                (*record).zombie_time = (*record).exit_time;
                (*record).zombie_time_max = now;
            }
            (*record).flags |= flags::BOUNDED_END;
            (*record).reap_time_min = (*record).zombie_time;
            (*record).reap_time = now;
        }
        close(state);
    }
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
    // SAFETY: the caller vouches for `state`.
    unsafe {
        let record: *mut Record = &raw mut (*state).record;
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
