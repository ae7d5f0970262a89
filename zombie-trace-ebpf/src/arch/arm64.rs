//! 64-bit Arm, with 32-bit programs.

use super::registers::{Call, Registers};
use crate::globals::{PT_REGS_FIRST_ARGUMENT, PT_REGS_PSTATE, PT_REGS_RESULT, PT_REGS_SYSCALL};

/// The processor's mode in `pstate` (arch/arm64/include/uapi/asm/ptrace.h).
const MODE: u64 = 0x1f;
/// User mode.
const EL0: u64 = 0;
/// User mode of a 32-bit program.
const EL0_32_BIT: u64 = 0x10;

/// At the end of the task's stack (task_pt_regs, arch/arm64/include/asm/processor.h), with pages of
/// 4 KiB and 16 KiB. 5.10 to 5.14 need it.
#[inline(always)]
pub fn registers(stack: *const u8) -> Option<Registers> {
    const THREAD_SIZE: usize = 16 << 10;
    const PT_REGS_SIZE: usize = 336;
    let registers = Registers::at(stack.wrapping_add(THREAD_SIZE - PT_REGS_SIZE));
    // The stack may be of another size (KASAN, larger pages): where user mode was left, its mode is.
    let mode = mode(registers);
    (mode == EL0 || mode == EL0_32_BIT).then_some(registers)
}

/// An interrupt leaves -1 there.
#[inline(always)]
pub fn call(registers: Registers) -> Call {
    let number: u32 = registers.read(PT_REGS_SYSCALL.load());
    if mode(registers) == EL0_32_BIT {
        // arch/arm/tools/syscall.tbl
        match number {
            114 => Call::Wait4,
            280 => Call::Waitid,
            178 | 363 | 424 => Call::SendWithInfo,
            _ => Call::Other,
        }
    } else {
        // include/uapi/asm-generic/unistd.h
        match number {
            260 => Call::Wait4,
            95 => Call::Waitid,
            138 | 240 | 424 => Call::SendWithInfo,
            _ => Call::Other,
        }
    }
}

/// The result's register holds the first argument until the call returns (el0_svc_common,
/// arch/arm64/kernel/syscall.c). A wait4 that returns the pid it was asked for looks unfinished a
/// little longer.
#[inline(always)]
pub fn is_under_way(registers: Registers) -> bool {
    let read = |offset| registers.read::<u64>(offset);
    read(PT_REGS_RESULT.load()) == read(PT_REGS_FIRST_ARGUMENT.load())
}

#[inline(always)]
fn mode(registers: Registers) -> u64 {
    registers.read::<u64>(PT_REGS_PSTATE.load()) & MODE
}
