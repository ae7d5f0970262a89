//! x86-64, with 32-bit calls and those of the x32 ABI.

use super::registers::{Call, Registers};
use crate::globals::{PT_REGS_CODE_SEGMENT, PT_REGS_RESULT, PT_REGS_SYSCALL};

/// Of the 64-bit table (arch/x86/entry/syscalls/syscall_64.tbl) and of the 32-bit one: no number of
/// either is that of a call in the other that could reap.
const WAIT4: [u32; 3] = [61, 114, 7];
const WAITID: [u32; 3] = [247, 284, 529];

/// Likewise; the numbers stand for no wait in any of the tables.
const SEND_WITH_INFO: [u32; 7] = [129, 524, 178, 297, 536, 335, 424];

/// Marks calls of the x32 ABI (`__X32_SYSCALL_BIT`).
const X32: u32 = 0x4000_0000;

/// What the result's register holds while a system call is under way (arch/x86/entry/entry_64.S).
const ENOSYS: i64 = -38;

/// User mode's code segments: `__USER_CS` and `__USER32_CS`.
const USER_SEGMENTS: [u64; 2] = [0x33, 0x23];

/// At the end of the task's stack (task_pt_regs, arch/x86/include/asm/processor.h).
#[inline(always)]
pub fn registers(stack: *const u8) -> Option<Registers> {
    const THREAD_SIZE: usize = 16 << 10;
    const PT_REGS_SIZE: usize = 168;
    let registers = Registers::at(stack.wrapping_add(THREAD_SIZE - PT_REGS_SIZE));
    // The stack may be of another size (KASAN): where user mode was left, its code segment is.
    let segment: u64 = registers.read(PT_REGS_CODE_SEGMENT.load());
    USER_SEGMENTS.contains(&segment).then_some(registers)
}

#[inline(always)]
pub fn call(registers: Registers) -> Call {
    let number = registers.read::<i64>(PT_REGS_SYSCALL.load()) as u32 & !X32;
    if WAIT4.contains(&number) {
        Call::Wait4
    } else if WAITID.contains(&number) {
        Call::Waitid
    } else if SEND_WITH_INFO.contains(&number) {
        Call::SendWithInfo
    } else {
        Call::Other
    }
}

/// A tracer may have changed the result, too.
#[inline(always)]
pub fn is_under_way(registers: Registers) -> bool {
    registers.read::<i64>(PT_REGS_RESULT.load()) == ENOSYS
}
