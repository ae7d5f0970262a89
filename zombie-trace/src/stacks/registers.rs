//! User registers, by the numbers that DWARF gives them.

use zombie_trace_common::REGISTERS_LEN;

/// More than either architecture has.
const LEN: usize = 33;

/// What an unwinder must know of an architecture.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Architecture {
    /// Where each register is in the kernel's structure, by its DWARF number.
    places: &'static [usize],
    /// Where the instruction pointer is there.
    ip: usize,
    /// The DWARF number of the stack pointer.
    pub(super) sp: usize,
    /// The DWARF number of the register that is the frame pointer, where code has one.
    pub(super) fp: u16,
    /// The DWARF numbers of registers that a function need not keep.
    scratch: &'static [usize],
    /// A function that has not saved its return address has it in a register (`lr`).
    pub(super) has_link_register: bool,
    /// What is left of a return address without its signature (pointer authentication).
    address: u64,
}

/// System V ABI, AMD64 supplement: figure 3.36; `struct pt_regs`.
pub(super) const X86_64: Architecture = Architecture {
    // rax rdx rcx rbx rsi rdi rbp rsp r8 … r15
    places: &[10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0],
    ip: 16,
    sp: 7,
    fp: 6,
    scratch: &[0, 1, 2, 4, 5, 8, 9, 10, 11],
    has_link_register: false,
    address: u64::MAX,
};

/// DWARF for the Arm 64-bit architecture, section 4.1; `struct user_pt_regs`.
pub(super) const ARM64: Architecture = Architecture {
    places: &[
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
        25, 26, 27, 28, 29, 30, 31,
    ],
    ip: 32,
    sp: 31,
    fp: 29,
    scratch: &[
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
    ],
    has_link_register: true,
    address: (1 << 48) - 1,
};

/// What this program is built for.
pub(super) const OURS: &Architecture = if cfg!(target_arch = "aarch64") {
    &ARM64
} else {
    &X86_64
};

/// The registers of a frame, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registers {
    values: [Option<u64>; LEN],
    /// Where it is.
    pub(super) ip: u64,
}

impl Registers {
    /// From the kernel's structure.
    pub(super) fn of(machine: &Architecture, kernel: &[u64; REGISTERS_LEN]) -> Self {
        let mut values = [None; LEN];
        for (value, &place) in values.iter_mut().zip(machine.places) {
            *value = kernel.get(place).copied();
        }
        Self {
            values,
            ip: kernel.get(machine.ip).copied().unwrap_or(0),
        }
    }

    pub(super) fn get(&self, number: u16) -> Option<u64> {
        self.values.get(usize::from(number)).copied().flatten()
    }

    pub(super) fn set(&mut self, number: u16, value: Option<u64>) {
        if let Some(known) = self.values.get_mut(usize::from(number)) {
            *known = value;
        }
    }

    pub(super) fn stack_pointer(&self, machine: &Architecture) -> Option<u64> {
        self.values.get(machine.sp).copied().flatten()
    }

    /// What a caller's frame begins with: the registers that its callee has kept, and this stack pointer.
    pub(super) fn of_caller(&self, machine: &Architecture, stack_pointer: u64) -> Self {
        let mut caller = *self;
        for &number in machine.scratch {
            if let Some(known) = caller.values.get_mut(number) {
                *known = None;
            }
        }
        if let Some(known) = caller.values.get_mut(machine.sp) {
            *known = Some(stack_pointer);
        }
        caller
    }

    /// Nothing but where it is, and the stack pointer.
    pub(super) fn at(machine: &Architecture, ip: u64, stack_pointer: u64) -> Self {
        let mut values = [None; LEN];
        if let Some(known) = values.get_mut(machine.sp) {
            *known = Some(stack_pointer);
        }
        Self { values, ip }
    }

    /// All numbers that there are.
    pub(super) fn numbers() -> impl Iterator<Item = u16> {
        0..LEN as u16
    }
}

impl Architecture {
    /// A return address without its signature.
    pub(super) fn plain(&self, address: u64) -> u64 {
        address & self.address
    }
}
