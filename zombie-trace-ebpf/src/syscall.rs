//! The system call that the running task is in, from the registers that it entered the kernel with.

use aya_ebpf::{
    bindings::{pt_regs, task_struct},
    helpers::{bpf_get_current_task_btf, bpf_task_pt_regs},
};
use zombie_trace_common::{MISSING, how};

use crate::{
    current::OfCurrent,
    globals::*,
    task::{Access, Probed, Task},
};

/// Of x86-64's own table (arch/x86/entry/syscalls/syscall_64.tbl) and of the 32-bit one: no number
/// of either is that of a call in the other that could reap.
const WAIT4: [u32; 3] = [61, 114, 7];
const WAITID: [u32; 3] = [247, 284, 529];

/// rt_sigqueueinfo(2), rt_tgsigqueueinfo(2) and pidfd_send_signal(2), likewise; the numbers stand for
/// no wait in any of the tables.
const SEND_WITH_INFO: [u32; 7] = [129, 524, 178, 297, 536, 335, 424];

/// Marks calls of the x32 ABI (`__X32_SYSCALL_BIT`).
const X32: u32 = 0x4000_0000;

/// What the result's register holds while a system call is under way (arch/x86/entry/entry_64.S).
const ENOSYS: i64 = -38;

/// How the running task is waiting for a child that it now releases: one of [`how`].
#[inline(always)]
pub fn wait_kind(current: Task<OfCurrent>) -> u32 {
    // Not x86-64.
    if PT_REGS_SYSCALL.load() == MISSING {
        return how::WAIT;
    }
    let Some(registers) = registers(current) else {
        return how::WAIT;
    };
    // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
    let read = |offset: u32| unsafe { Probed::read::<i64>(registers, offset) };
    let number = read(PT_REGS_SYSCALL.load()) as u32 & !X32;
    let (is_wait4, is_waitid) = (WAIT4.contains(&number), WAITID.contains(&number));
    if !is_wait4 && !is_waitid {
        // Neither call: what is left is io_uring, whose work is done in any call, in none and in
        // threads of its own.
        return if IO_WAITID_PID.load() == MISSING {
            how::WAIT
        } else {
            how::IO_URING
        };
    }
    if read(PT_REGS_RESULT.load()) != ENOSYS {
        // The call is over, or a tracer has changed it.
        how::WAIT
    } else if is_wait4 {
        how::WAIT4
    } else {
        how::WAITID
    }
}

/// Whether the running task is in a system call that sends a signal with a siginfo of the caller's.
///
/// The registers hold the number of the latest call. No tracer can change them while the task runs.
/// False where the number can't be read.
#[inline(always)]
pub fn sends_signal_with_info(current: Task<OfCurrent>) -> bool {
    if PT_REGS_SYSCALL.load() == MISSING {
        return false;
    }
    let Some(registers) = registers(current) else {
        return false;
    };
    // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
    let number = unsafe { Probed::read::<i64>(registers, PT_REGS_SYSCALL.load()) };
    SEND_WITH_INFO.contains(&(number as u32 & !X32))
}

#[inline(always)]
fn registers(current: Task<OfCurrent>) -> Option<*const u8> {
    if HAS_TYPED_CURRENT.load() != 0 {
        let registers: *const pt_regs =
            // SAFETY: the argument is the running task, as the other helper returns it.
            unsafe { bpf_task_pt_regs(bpf_get_current_task_btf().cast::<task_struct>()) as _ };
        return Some(registers.cast());
    }
    // At the end of the task's stack (task_pt_regs, arch/x86/include/asm/processor.h).
    const THREAD_SIZE: usize = 16 << 10;
    const PT_REGS_SIZE: usize = 168;
    let registers = current.stack().wrapping_add(THREAD_SIZE - PT_REGS_SIZE);
    // The stack may be of another size (KASAN): where user mode was left, its code segment is.
    // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
    let segment: u64 = unsafe { Probed::read(registers, PT_REGS_CODE_SEGMENT.load()) };
    (segment == 0x33 || segment == 0x23).then_some(registers)
}
