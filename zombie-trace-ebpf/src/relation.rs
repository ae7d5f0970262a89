//! Whether a process was made by the program that its parent is now.
//!
//! A parent that has called exec since, or has adopted the process, is another program than the one
//! that made it, and often does not know of it. The kernel keeps count: each exec raises the caller's
//! `self_exec_id`, and a fork notes that down as the child's `parent_exec_id`. Both are inherited, so
//! equal ids alone do not prove that it was this process that forked. But only the init of a pid
//! namespace and a subreaper adopt (find_new_reaper, kernel/exit.c).

use zombie_trace_common::{MISSING, TaskState, flags, scope};

use crate::{
    globals::{SCOPE, TASK_PARENT_EXEC_ID, TASK_SELF_EXEC_ID},
    maps::TREE,
    task::{Access, Task},
};

/// [`flags::FOREIGN`], [`flags::OWN`], or 0 if neither is certain, given the real parent's leader.
///
/// A parent that adopted the process and then gave up being a subreaper is taken for its maker.
///
/// # Safety
/// `state` must be valid and described.
#[inline(always)]
pub unsafe fn to_parent<A: Access>(state: *const TaskState, parent: Task<A>) -> u32 {
    if !has_exec_ids() {
        return 0;
    }
    // SAFETY: the caller vouches for `state`.
    unsafe {
        if parent.self_exec_id() != (*state).parent_exec_id {
            flags::FOREIGN
        } else if !parent.may_have_adopted() || is_maker(state, parent) {
            flags::OWN
        } else {
            0
        }
    }
}

/// The real parent, which `thread` belongs to, reaps it: it may have called exec since it was notified.
///
/// # Safety
/// `state` must be valid and described.
#[inline(always)]
pub unsafe fn at_reap<A: Access>(state: *mut TaskState, thread: Task<A>) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        if has_exec_ids() && thread.self_exec_id() != (*state).parent_exec_id {
            foreign(state);
        }
    }
}

/// Its parent is another process, or another program, than the one that it had.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn foreign(state: *mut TaskState) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        let flags = (*state).record.flags & !flags::OWN;
        (*state).record.flags = flags | flags::FOREIGN;
    }
}

#[inline(always)]
pub fn has_exec_ids() -> bool {
    TASK_PARENT_EXEC_ID.load() != MISSING && TASK_SELF_EXEC_ID.load() != MISSING
}

/// Whether the parent was seen to fork it. Who adopts a process was there before it, so that its
/// address can't be a dead maker's.
#[inline(always)]
unsafe fn is_maker<A: Access>(state: *const TaskState, parent: Task<A>) -> bool {
    if SCOPE.load() & scope::TREE == 0 {
        return false;
    }
    // SAFETY: the caller vouches for `state`; the map is preallocated, so the entry stays readable
    // even if it is removed meanwhile.
    unsafe {
        TREE.get((*state).tgid).is_some_and(|entry| {
            entry.start_boottime == (*state).record.start_boottime
                && entry.maker == parent.address()
        })
    }
}
