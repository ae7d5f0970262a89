//! The registers that a task entered the kernel with, and what they say it called.

use crate::task::{Access, Probed};

/// The system calls that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Wait4,
    Waitid,
    /// rt_sigqueueinfo(2), rt_tgsigqueueinfo(2) or pidfd_send_signal(2): the caller makes up the
    /// siginfo.
    SendWithInfo,
    /// Any other call, or none.
    Other,
}

/// The registers that a task entered the kernel with.
#[derive(Clone, Copy)]
pub struct Registers(*const u8);

impl Registers {
    #[inline(always)]
    pub fn at(address: *const u8) -> Self {
        Self(address)
    }

    #[inline(always)]
    pub fn read<T: Copy>(self, offset: u32) -> T {
        // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
        unsafe { Probed::read(self.0, offset) }
    }
}
