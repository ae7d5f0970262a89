//! Finding the entry of a process in the table, and making it.

use zombie_trace_common::{Alias, TaskState};

use crate::{
    aliases,
    counters::count,
    maps::ALIASES,
    table,
    task::{Access, Task},
    zombie,
};

/// What became of putting a process into the table.
pub enum Insertion {
    /// It is there now.
    Done,
    /// It was there before.
    Known(*mut TaskState),
    /// There is no room.
    NoRoom,
}

/// Puts a described process into the table, so that its pid in every namespace leads to it.
///
/// `alone`: no other hook can do so at the same time, but for one that [`table::take_back`]s.
///
/// # Safety
/// `state` must be valid and fully written.
#[inline(always)]
pub unsafe fn insert(state: *const TaskState, alone: bool) -> Insertion {
    // SAFETY: the caller vouches for `state`; all others are map values.
    unsafe {
        let key = (*state).tgid;
        if let Some(other) = table::find(key) {
            if is_same(other, state) {
                return Insertion::Known(other);
            }
            zombie::retire(other);
        }
        if alone && let Some(slot) = table::claim(key) {
            match table::find_displaced(key) {
                None => {
                    table::fill(slot, state);
                    aliases::insert(state);
                    return Insertion::Done;
                }
                Some(other) => {
                    table::give_back(slot);
                    if is_same(other, state) {
                        return Insertion::Known(other);
                    }
                }
            }
        }
        match table::displace(state) {
            Ok(()) => {
                aliases::insert(state);
                Insertion::Done
            }
            Err(Some(other)) if is_same(other, state) => Insertion::Known(other),
            // Another one of this id can't have come since it was looked for above.
            Err(_) => Insertion::NoRoom,
        }
    }
}

/// Whether two states are about the same task.
#[inline(always)]
unsafe fn is_same(one: *const TaskState, other: *const TaskState) -> bool {
    // SAFETY: the caller vouches for both.
    unsafe {
        (*one).record.task == (*other).record.task
            && (*one).record.start_boottime == (*other).record.start_boottime
    }
}

/// What is known of a process, given its leader.
#[inline(always)]
pub fn find<A: Access>(leader: Task<A>) -> Option<*mut TaskState> {
    let state = table::find(leader.tgid())?;
    // SAFETY: `state` is a map value.
    unsafe { (*state).record.task == leader.address() }.then_some(state)
}

/// The process that a pid namespace (a key of aliases) numbers so.
#[inline(always)]
pub fn find_numbered(pid: u32, namespace: u64) -> Option<*mut TaskState> {
    if namespace == 0 {
        return table::find(pid);
    }
    let alias = Alias {
        ns: namespace,
        nr: pid,
        reserved: 0,
    };
    // SAFETY: the map is preallocated, so the entry stays readable even if it is removed meanwhile.
    table::find(unsafe { *ALIASES.get(alias)? })
}

/// Counts a process that ended and finds no room in the table.
#[inline(always)]
pub fn lost_to_full_map() {
    count(|counters| &raw mut counters.map_full);
}
