//! The end of a record: counted and sent to user space.

use zombie_trace_common::{Record, TaskState, flags, how};

use crate::{aliases, counters::count, globals::WAKEUP_BYTES, maps::EVENTS, table};

pub const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;

/// Takes a process out of the table, its record complete, and submits that.
///
/// Whoever takes it out has the record: if two hooks see the same end, one of them wins.
///
/// # Safety
/// `state` must be what [`table::find`] has given.
#[inline(always)]
pub unsafe fn close(state: *mut TaskState) {
    // SAFETY: the caller vouches for `state`; `entry` has room for one record.
    unsafe {
        let record = &raw const (*state).record;
        aliases::remove(state);
        let pre_existing = (*record).flags & flags::PRE_EXISTING != 0;
        let autoreaped = (*record).how == how::AUTOREAP;

        let Some(mut entry) = EVENTS.reserve::<Record>(0) else {
            if table::remove(state) {
                count_end(pre_existing, autoreaped);
                if pre_existing {
                    count(|counters| &raw mut counters.pre_existing_lost);
                } else {
                    count(|counters| &raw mut counters.ring_full);
                }
            }
            return;
        };
        core::ptr::copy_nonoverlapping(record, entry.as_mut_ptr(), 1);
        if !table::remove(state) {
            entry.discard(BPF_RB_NO_WAKEUP);
            return;
        }
        count_end(pre_existing, autoreaped);
        entry.submit(wakeup());
    }
}

/// User space looks by itself often enough for a person; a wakeup costs more than all the rest of a
/// record.
#[inline(always)]
pub fn wakeup() -> u64 {
    if EVENTS.query(BPF_RB_AVAIL_DATA) > WAKEUP_BYTES.load() {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    }
}

/// Whether half of the ring buffer is in use: the rest is for records, so that nobody can crowd them
/// out with names.
#[inline(always)]
pub fn is_for_records_only() -> bool {
    EVENTS.query(BPF_RB_AVAIL_DATA) > 2 * WAKEUP_BYTES.load()
}

/// Takes a process out of the table of which nothing is to be told.
///
/// # Safety
/// `state` must be what [`table::find`] has given.
#[inline(always)]
pub unsafe fn forget(state: *mut TaskState) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        aliases::remove(state);
        table::remove(state);
    }
}

#[inline(always)]
fn count_end(pre_existing: bool, autoreaped: bool) {
    count(|counters| {
        if pre_existing {
            &raw mut counters.pre_existing_reaped
        } else if autoreaped {
            &raw mut counters.autoreaped
        } else {
            &raw mut counters.reaped
        }
    });
}
