//! Which processes a run is about.

use zombie_trace_common::scope;

use crate::{
    container,
    globals::{CGROUP_ID, SCOPE, TRACER_PIDNS},
    maps::{PIDS, PPIDS, TREE},
    task::{Access, Task, pid_namespace_inum},
};

/// `MAX_PID_NS_LEVEL` (include/linux/pid_namespace.h).
pub const MAX_PID_NS_LEVEL: u32 = 32;

/// More than any cgroup hierarchy in use is deep; the kernel's own limit is the path's length.
const MAX_CGROUP_LEVEL: u32 = 64;

/// The thread group id of a leader as the tracer sees it; 0 if it cannot.
#[inline(always)]
pub fn visible_pid<A: Access>(leader: Task<A>) -> u32 {
    if TRACER_PIDNS.load() == 0 {
        return leader.tgid();
    }
    visible_number(leader)
}

/// The id of a thread in the tracer's pid namespace; 0 if it is not visible there.
#[inline(always)]
pub fn visible_tid<A: Access>(thread: Task<A>) -> u32 {
    if TRACER_PIDNS.load() == 0 {
        return thread.pid();
    }
    visible_number(thread)
}

#[inline(always)]
fn visible_number<A: Access>(thread: Task<A>) -> u32 {
    let tracer_ns = TRACER_PIDNS.load();
    let numbers = thread.thread_pid();
    let level = numbers.level();
    for at in 1..=MAX_PID_NS_LEVEL {
        if at > level {
            break;
        }
        let number = numbers.at(at);
        if pid_namespace_inum(number.ns) == tracer_ns {
            return number.nr;
        }
    }
    0
}

/// Whether a process is in scope, given its leader and a thread of it that ends last, or the leader
/// again. `slot` is one of [`crate::maps::scratch`], the calling program's.
#[inline(always)]
pub fn contains<A: Access>(leader: Task<A>, thread: Task<A>, slot: u32) -> bool {
    let tests = SCOPE.load();
    if tests == 0 {
        return true;
    }
    if tests & scope::PIDS != 0 && PIDS.get_ptr(visible_pid(leader)).is_none() {
        return false;
    }
    if tests & scope::PPIDS != 0 {
        let parent = visible_pid(leader.real_parent().group_leader());
        if PPIDS.get_ptr(parent).is_none() {
            return false;
        }
    }
    if tests & scope::TREE != 0 && !is_descendant(leader) {
        return false;
    }
    if tests & scope::CGROUP != 0 && !is_in_cgroup(leader) {
        return false;
    }
    if tests & scope::CONTAINER != 0 && !container::contains(leader, thread, slot) {
        return false;
    }
    true
}

/// Whether a process is a descendant of the traced root, and not that itself.
#[inline(always)]
pub fn is_descendant<A: Access>(leader: Task<A>) -> bool {
    // SAFETY: the map is preallocated, so the entry stays readable even if it is removed meanwhile.
    unsafe { TREE.get(leader.tgid()) }
        .is_some_and(|entry| entry.root == 0 && entry.start_boottime == leader.start_boottime())
}

#[inline(always)]
fn is_in_cgroup<A: Access>(leader: Task<A>) -> bool {
    let wanted = CGROUP_ID.load();
    let mut cgroup = leader.cgroup();
    for _ in 0..MAX_CGROUP_LEVEL {
        if cgroup.id() == wanted {
            return true;
        }
        match cgroup.parent() {
            Some(parent) => cgroup = parent,
            None => return false,
        }
    }
    false
}
