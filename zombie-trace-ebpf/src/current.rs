//! The task that runs the program.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task};

use crate::task::{Probed, Task};

#[inline(always)]
pub fn task() -> Task<Probed> {
    Task::probed(unsafe { bpf_get_current_task() })
}

/// Thread group id and, in the lower half, thread id, both in the initial pid namespace.
#[inline(always)]
pub fn pid_tgid() -> u64 {
    bpf_get_current_pid_tgid()
}

/// Thread group id in the initial pid namespace.
#[inline(always)]
pub fn tgid() -> u32 {
    (pid_tgid() >> 32) as u32
}
