//! Fills in what is known of a process.

use zombie_trace_common::{ALIAS_LEVELS, Alias, TaskState, flags};

use crate::{
    emit::count,
    maps::{ALIASES, TASKS},
    scope::visible_pid,
    task::{Access, Task},
    zombie,
};

const BPF_NOEXIST: u64 = 1;

const EEXIST: i32 = -17;

/// Everything about a process that ends but for the times. The state is the caller's scratch: all
/// of it but `alone` is written.
///
/// # Safety
/// `state` must be valid for writes; `leader` must not be released yet.
#[inline(always)]
pub unsafe fn describe<A: Access>(state: *mut TaskState, leader: Task<A>) {
    unsafe {
        let record = &raw mut (*state).record;
        (*record).task = leader.address();
        (*record).start_boottime = leader.start_boottime();
        (*record).exit_time = 0;
        (*record).zombie_time = 0;
        (*record).reap_time = 0;
        (*record).reap_time_min = 0;
        (*record).zombie_time_max = 0;
        (*record).leader_exit_time = 0;
        (*record).exec_start = 0;
        (*record).tracer_end_time = 0;
        (*record).handler_time = 0;
        (*record).wait_time = 0;
        (*record).run_delay_before_wait = 0;
        (*record).run_delay_in_wait = 0;
        (*record).host_name = 0;
        (*record).reaper_cgroup_id = 0;
        (*record).cgroup_id = leader.cgroup_id();
        (*record).uid = leader.uid();
        (*record).wait_status = leader.wait_status();
        (*record).reaper_pid = 0;
        (*record).flags = 0;
        (*record).how = 0;
        (*record).reaper_comm = [0; 16];
        (*state).exit_cpu = 0;
        (*state).father = 0;
        (*state).father_run_delay = 0;
        (*state).handler_runs = 0;
        leader.read_comm(&raw mut (*record).comm);
        if leader.exit_signal() == 0 {
            (*record).flags = flags::NO_EXIT_SIGNAL;
            (*record).exec_start = leader.exec_start();
            (*state).exit_cpu = leader.cpu();
        }
        describe_pids(state, leader);
        describe_parent(state, leader.real_parent().group_leader());
    }
}

#[inline(always)]
unsafe fn describe_pids<A: Access>(state: *mut TaskState, leader: Task<A>) {
    unsafe {
        let tgid = leader.tgid();
        (*state).tgid = tgid;
        (*state).record.pid = visible_pid(leader);
        (*state).record.ns_pid = tgid;
        (*state).aliases = [Alias {
            ns: 0,
            nr: 0,
            reserved: 0,
        }; ALIAS_LEVELS];
        let numbers = leader.thread_pid();
        let level = numbers.level();
        if level > 0 {
            for slot in 0..ALIAS_LEVELS {
                let at = slot as u32 + 1;
                if at > level {
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
}

/// The real parent, given its leader.
///
/// # Safety
/// `state` must be valid for writes.
#[inline(always)]
pub unsafe fn describe_parent<A: Access>(state: *mut TaskState, parent: Task<A>) {
    unsafe {
        (*state).record.parent_task = parent.address();
        (*state).record.ppid = visible_pid(parent);
        (*state).record.parent_cgroup_id = parent.cgroup_id();
        parent.read_comm(&raw mut (*state).record.parent_comm);
        if parent.is_kthread() {
            (*state).record.flags |= flags::KERNEL_PARENT;
        } else {
            (*state).record.flags &= !flags::KERNEL_PARENT;
        }
        (*state).parent_now = parent.address();
        (*state).parent_now_tgid = parent.tgid();
    }
}

/// What became of putting a process into the map.
pub enum Insertion {
    /// It is there now.
    Done,
    /// It was there before.
    Known(*mut TaskState),
    /// There is no room.
    NoRoom,
}

/// Puts a described process into the map, so that its pid in every namespace leads to it.
///
/// # Safety
/// `state` must be valid and fully written.
#[inline(always)]
pub unsafe fn insert(state: *const TaskState) -> Insertion {
    unsafe {
        let key = (*state).tgid;
        let mut inserted = TASKS.insert(key, &*state, BPF_NOEXIST);
        if inserted == Err(EEXIST)
            && let Some(other) = TASKS.get_ptr_mut(key)
        {
            if is_same(other, (*state).record.task, (*state).record.start_boottime) {
                return Insertion::Known(other);
            }
            zombie::retire(other);
            inserted = TASKS.insert(key, &*state, BPF_NOEXIST);
        }
        if inserted.is_err() {
            return Insertion::NoRoom;
        }
        // A parent that does not find it by alias is seen when the task is freed.
        for slot in 0..ALIAS_LEVELS {
            let alias = (*state).aliases[slot];
            if alias.ns == 0 {
                break;
            }
            let _ = ALIASES.insert(alias, key, 0);
        }
        Insertion::Done
    }
}

/// Whether a state is about this task.
#[inline(always)]
unsafe fn is_same(state: *const TaskState, task: u64, start_boottime: u64) -> bool {
    unsafe { (*state).record.task == task && (*state).record.start_boottime == start_boottime }
}

/// What is known of a process, given its leader.
#[inline(always)]
pub fn find<A: Access>(leader: Task<A>) -> Option<*mut TaskState> {
    let state = TASKS.get_ptr_mut(leader.tgid())?;
    unsafe { (*state).record.task == leader.address() }.then_some(state)
}

/// The process that a pid namespace (a key of aliases) numbers so.
#[inline(always)]
pub fn find_numbered(pid: u32, namespace: u64) -> Option<*mut TaskState> {
    if namespace == 0 {
        return TASKS.get_ptr_mut(pid);
    }
    let alias = Alias {
        ns: namespace,
        nr: pid,
        reserved: 0,
    };
    TASKS.get_ptr_mut(unsafe { ALIASES.get(alias) }?)
}

/// Forgets the pids of a process, unless they are another's by now.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn remove_aliases(state: *const TaskState) {
    unsafe {
        let key = (*state).tgid;
        for slot in 0..ALIAS_LEVELS {
            let alias = (*state).aliases[slot];
            if alias.ns == 0 {
                break;
            }
            remove_alias(alias, key);
        }
    }
}

#[inline(always)]
unsafe fn remove_alias(alias: Alias, key: u32) {
    if unsafe { ALIASES.get(alias) } == Some(&key) {
        let _ = ALIASES.remove(alias);
    }
}

/// Counts a process that ended and finds no room in the map.
#[inline(always)]
pub fn lost_to_full_map() {
    count(|counters| &raw mut counters.map_full);
}
