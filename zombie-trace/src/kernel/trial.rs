//! What only a try shows: whether the kernel takes a program that does it.

use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use nix::libc;

/// One eBPF instruction (Documentation/bpf/standardization/instruction-set.rst).
#[derive(Clone, Copy)]
#[repr(C)]
struct Instruction {
    opcode: u8,
    /// The destination in the lower four bits, the source in the upper.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD` (include/uapi/linux/bpf.h).
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

const BPF_PROG_LOAD: libc::c_int = 5;
/// The kind that needs the least: neither BTF nor a hook.
const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;

/// Whether programs can compare and exchange: since 5.12 on x86-64, since 5.18 on arm64, and earlier
/// where a distribution has brought it to an older kernel. A kernel that can't refuses the instruction.
pub(super) fn compares_and_exchanges() -> bool {
    const fn instruction(opcode: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
        Instruction {
            opcode,
            registers,
            offset,
            immediate,
        }
    }
    const BPF_CMPXCHG: i32 = 0xf1;
    loads(&[
        // *(u64 *)(r10 - 8) = 0
        instruction(0x7a, 10, -8, 0),
        // r0 = 0
        instruction(0xb7, 0, 0, 0),
        // r1 = 1
        instruction(0xb7, 1, 0, 1),
        // BPF_STX | BPF_ATOMIC | BPF_DW, from r1 to r10 - 8
        instruction(0xdb, 0x1a, -8, BPF_CMPXCHG),
        // r0 = 0; exit
        instruction(0xb7, 0, 0, 0),
        instruction(0x95, 0, 0, 0),
    ])
}

/// Whether the kernel takes a program. It is gone again at once.
fn loads(program: &[Instruction]) -> bool {
    let attributes = Load {
        prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: the attributes and what they point to live longer than the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if fd < 0 {
        return false;
    }
    // SAFETY: the kernel has just made this descriptor, which nobody else knows.
    drop(unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_nonsense_is_refused() {
        let nonsense = Instruction {
            opcode: 0xff,
            registers: 0,
            offset: 0,
            immediate: 0,
        };
        assert!(!loads(&[nonsense]));
    }
}
