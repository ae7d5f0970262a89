//! Fills in what is known of a process.

use core::mem::offset_of;

use zombie_trace_common::{ALIAS_LEVELS, TaskState, flags};

use crate::{
    relation,
    scope::visible_pid,
    task::{Access, Task},
};

/// Everything about a process that ends but for the times. The state is the caller's scratch: all
/// of it but `alone` is written.
///
/// # Safety
/// `state` must be valid for writes; `leader` must not be released yet.
#[inline(always)]
pub unsafe fn describe<A: Access>(state: *mut TaskState, leader: Task<A>) {
    // SAFETY: the caller vouches for `state` and `leader`.
    unsafe {
        let record = &raw mut (*state).record;
        clear(state);
        (*record).task = leader.address();
        (*record).start_boottime = leader.start_boottime();
        (*record).cgroup_id = leader.cgroup_id();
        (*record).uid = leader.uid();
        (*record).wait_status = leader.wait_status();
        leader.read_comm(&raw mut (*record).comm);
        if leader.exit_signal() == 0 {
            (*record).flags = flags::NO_EXIT_SIGNAL;
            (*record).exec_start = leader.exec_start();
            (*state).exit_cpu = leader.cpu();
        }
        if leader.is_traced() {
            (*state).tracer_tgid = leader.parent().tgid();
        }
        describe_pids(state, leader);
        if relation::has_exec_ids() {
            (*state).parent_exec_id = leader.parent_exec_id();
        }
        describe_parent(state, leader.real_parent().group_leader());
    }
}

/// Zeroes all but the aliases and what the verifier does not follow ([`TaskState::alone`]).
///
/// Each word by itself: what the compiler takes for a memset it makes a loop over bytes.
#[inline(always)]
unsafe fn clear(state: *mut TaskState) {
    const WORDS: usize = size_of::<TaskState>() / 8;
    const ALONE: usize = offset_of!(TaskState, alone) / 8;
    // The first unused one ends them.
    const ALIASES: usize = offset_of!(TaskState, aliases) / 8;
    // SAFETY: the caller vouches for `state`, which consists of whole words.
    unsafe {
        for at in 0..WORDS {
            if at != ALONE && at < ALIASES {
                state.cast::<u64>().add(at).write_volatile(0);
            }
        }
        (*state).exit_cpu = 0;
    }
}

#[inline(always)]
unsafe fn describe_pids<A: Access>(state: *mut TaskState, leader: Task<A>) {
    // SAFETY: the caller vouches for `state`; `slot` stays below the length of `aliases`.
    unsafe {
        let tgid = leader.tgid();
        (*state).tgid = tgid;
        (*state).record.pid = visible_pid(leader);
        (*state).record.ns_pid = tgid;
        let numbers = leader.thread_pid();
        let level = numbers.level();
        for slot in 0..ALIAS_LEVELS {
            let at = slot as u32 + 1;
            if at > level {
                (*state).aliases[slot].ns = 0;
                break;
            }
            // The last slot is the innermost namespace's, however deep that is.
            let at = if slot == ALIAS_LEVELS - 1 { level } else { at };
            let number = numbers.at(at);
            (*state).aliases[slot] = number;
            (*state).record.ns_pid = number.nr;
        }
    }
}

/// The real parent, given its leader.
///
/// # Safety
/// `state` must be valid for writes, and the rest of it described.
#[inline(always)]
pub unsafe fn describe_parent<A: Access>(state: *mut TaskState, parent: Task<A>) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        (*state).record.parent_task = parent.address();
        (*state).record.ppid = visible_pid(parent);
        (*state).record.parent_cgroup_id = parent.cgroup_id();
        parent.read_comm(&raw mut (*state).record.parent_comm);
        (*state).parent_now = parent.address();
        (*state).parent_now_tgid = parent.tgid();
        (*state).record.flags &= !(flags::KERNEL_PARENT | flags::FOREIGN | flags::OWN);
        if parent.is_kthread() {
            (*state).record.flags |= flags::KERNEL_PARENT;
        }
        (*state).record.flags |= relation::to_parent(state, parent);
    }
}
