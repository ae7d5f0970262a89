//! What user space tells the programs while they run.

use zombie_trace_common::stage;

use crate::maps::CONTROL;

/// Whether no new process is taken in any more.
#[inline(always)]
pub fn is_closing() -> bool {
    stage() >= stage::CLOSING
}

/// Whether no process leaves the table any more.
#[inline(always)]
pub fn is_frozen() -> bool {
    stage() >= stage::FROZEN
}

/// Whether a process that ended without a notification was autoreaped.
#[inline(always)]
pub fn infers_autoreap() -> bool {
    match CONTROL.get_ptr(0) {
        // SAFETY: it points into a map, whose values are always initialized.
        Some(control) => unsafe { (&raw const (*control).silent_autoreap).read_volatile() == 1 },
        None => false,
    }
}

#[inline(always)]
fn stage() -> u32 {
    match CONTROL.get_ptr(0) {
        // SAFETY: it points into a map, whose values are always initialized.
        Some(control) => unsafe { (&raw const (*control).stage).read_volatile() },
        None => stage::RUNNING,
    }
}
