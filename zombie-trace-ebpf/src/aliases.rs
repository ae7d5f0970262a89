//! The pids of a process in the namespaces below the initial one, each of which leads to it.

use zombie_trace_common::{ALIAS_LEVELS, Alias, TaskState};

use crate::maps::ALIASES;

/// Adds those of a process. A parent that does not find it by alias is seen when the task is freed.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn insert(state: *const TaskState) {
    // SAFETY: the caller vouches for `state`; `slot` stays below the length of `aliases`.
    unsafe {
        let key = (*state).tgid;
        for slot in 0..ALIAS_LEVELS {
            let alias = (*state).aliases[slot];
            if alias.ns == 0 {
                break;
            }
            let _ = ALIASES.insert(alias, key, 0);
        }
    }
}

/// Forgets the pids of a process, unless they are another's by now.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn remove(state: *const TaskState) {
    // SAFETY: the caller vouches for `state`; `slot` stays below the length of `aliases`.
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
    // SAFETY: the map is preallocated, so the entry stays readable even if it is removed meanwhile.
    if unsafe { ALIASES.get(alias) } == Some(&key) {
        let _ = ALIASES.remove(alias);
    }
}
