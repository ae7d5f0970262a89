//! What differs between architectures: registers, system calls, and the order of memory accesses.
//!
//! One object serves all of them. The verifier knows [`ARCH`], and follows only the branch that the
//! running kernel takes.

mod arm64;
mod registers;
mod x86;

pub use registers::{Call, Registers};

use aya_ebpf::{
    EbpfContext,
    bindings::{pt_regs, task_struct},
    helpers::{bpf_get_current_task_btf, bpf_task_pt_regs},
};
use zombie_trace_common::arch::ARM64;

use crate::{
    current::OfCurrent,
    globals::{ARCH, HAS_TYPED_CURRENT},
    task::Task,
};

/// Reads eight bytes of a kprobe's context.
///
/// The verifier wants the offset in the instruction itself. The compiler would merge the loads of two
/// branches into one, with a computed address.
#[cfg(target_arch = "bpf")]
macro_rules! load {
    ($context:expr, $offset:literal) => {{
        let value: u64;
        // SAFETY: the verifier checks that the context has these bytes.
        unsafe {
            core::arch::asm!(
                concat!("{value} = *(u64 *)({context} + ", $offset, ")"),
                value = lateout(reg) value,
                context = in(reg) $context.as_ptr(),
                options(nostack, readonly),
            );
        }
        value
    }};
}

/// For clippy: the programs never run on the host.
#[cfg(not(target_arch = "bpf"))]
macro_rules! load {
    ($context:expr, $offset:literal) => {
        // SAFETY: as above.
        unsafe { $context.as_ptr().byte_add($offset).cast::<u64>().read() }
    };
}

impl Registers {
    /// Those of the running task, if they can be found.
    #[inline(always)]
    pub fn of(current: Task<OfCurrent>) -> Option<Self> {
        if HAS_TYPED_CURRENT.load() != 0 {
            let registers: *const pt_regs =
                // SAFETY: the argument is the running task, as the other helper returns it.
                unsafe { bpf_task_pt_regs(bpf_get_current_task_btf().cast::<task_struct>()) as _ };
            return Some(Self::at(registers.cast()));
        }
        let stack = current.stack();
        if is_arm64() {
            arm64::registers(stack)
        } else {
            x86::registers(stack)
        }
    }

    /// The latest system call. No tracer can change it while the task runs.
    #[inline(always)]
    pub fn call(self) -> Call {
        if is_arm64() {
            arm64::call(self)
        } else {
            x86::call(self)
        }
    }

    /// Whether that call has not yet returned.
    #[inline(always)]
    pub fn is_under_way(self) -> bool {
        if is_arm64() {
            arm64::is_under_way(self)
        } else {
            x86::is_under_way(self)
        }
    }
}

/// The first argument of the function that a kprobe is at.
#[inline(always)]
pub fn first_argument(context: &impl EbpfContext) -> u64 {
    if is_arm64() {
        // `regs[0]` (arch/arm64/include/uapi/asm/ptrace.h)
        load!(context, 0)
    } else {
        // `di` (arch/x86/include/asm/ptrace.h)
        load!(context, 112)
    }
}

/// What the function returns that a kretprobe is at.
#[inline(always)]
pub fn result(context: &impl EbpfContext) -> u64 {
    if is_arm64() {
        // `regs[0]`
        load!(context, 0)
    } else {
        // `ax`
        load!(context, 80)
    }
}

/// Whether every CPU sees loads and stores in the order in which another CPU makes them.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub fn keeps_order() -> bool {
    !is_arm64()
}

#[inline(always)]
fn is_arm64() -> bool {
    ARCH.load() == ARM64
}
