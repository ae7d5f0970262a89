//! The task that runs the program.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_task_btf};

use crate::{
    globals::HAS_TYPED_CURRENT,
    task::{Access, Probed, Task, Typed},
};

/// As [`Typed`] where the kernel gives the running task's address with its type, else [`Probed`].
#[derive(Clone, Copy)]
pub struct OfCurrent;

impl Access for OfCurrent {
    #[inline(always)]
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T {
        // SAFETY: the caller vouches for `base`, which the kernel gave with a type if it could.
        unsafe {
            if HAS_TYPED_CURRENT.load() != 0 {
                Typed::read(base, offset)
            } else {
                Probed::read(base, offset)
            }
        }
    }

    #[inline(always)]
    unsafe fn read_comm(
        base: *const u8,
        offset: u32,
        to: *mut [u8; zombie_trace_common::COMM_LEN],
    ) {
        // SAFETY: the caller vouches for `base` and `to`; the kernel gave `base` with a type if it
        // could.
        unsafe {
            if HAS_TYPED_CURRENT.load() != 0 {
                Typed::read_comm(base, offset, to);
            } else {
                Probed::read_comm(base, offset, to);
            }
        }
    }
}

#[inline(always)]
pub fn task() -> Task<OfCurrent> {
    // SAFETY: both helpers return the running task, with its type if HAS_TYPED_CURRENT is set.
    unsafe {
        let address = if HAS_TYPED_CURRENT.load() != 0 {
            bpf_get_current_task_btf() as *const u8
        } else {
            bpf_get_current_task() as *const u8
        };
        Task::at(address)
    }
}

/// Thread group id and, in the lower half, thread id, both in the initial pid namespace.
#[inline(always)]
pub fn pid_tgid() -> u64 {
    bpf_get_current_pid_tgid()
}
