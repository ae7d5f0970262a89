//! The system call that the running task is in.

use zombie_trace_common::{MISSING, how};

use crate::{
    arch::{Call, Registers},
    current::OfCurrent,
    globals::IO_WAITID_PID,
    task::Task,
};

/// How the running task is waiting for a child that it now releases: one of [`how`].
#[inline(always)]
pub fn wait_kind(current: Task<OfCurrent>) -> u32 {
    let Some(registers) = Registers::of(current) else {
        return how::WAIT;
    };
    let wait = match registers.call() {
        Call::Wait4 => how::WAIT4,
        Call::Waitid => how::WAITID,
        // What is left is io_uring, whose work is done in any call, in none and in threads of its own.
        _ if IO_WAITID_PID.load() != MISSING => return how::IO_URING,
        _ => return how::WAIT,
    };
    if registers.is_under_way() {
        wait
    } else {
        // The call is over, or a tracer has changed it.
        how::WAIT
    }
}

/// Whether the running task is in a system call that sends a signal with a siginfo of the caller's.
///
/// False where the registers can't be found.
#[inline(always)]
pub fn sends_signal_with_info(current: Task<OfCurrent>) -> bool {
    Registers::of(current).is_some_and(|registers| registers.call() == Call::SendWithInfo)
}
