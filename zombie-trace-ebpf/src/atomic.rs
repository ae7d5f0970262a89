//! Atomic memory accesses.
//!
//! The instructions are written by hand: on targets that lack compare-and-exchange, `core` has no
//! atomic addition. The eBPF programs never run on the host; its versions let clippy check the
//! crate without an eBPF toolchain.

#[cfg(target_arch = "bpf")]
pub use bpf::{add, compare_exchange, load, store};
#[cfg(not(target_arch = "bpf"))]
pub use host::{add, compare_exchange, load, store};

#[cfg(target_arch = "bpf")]
mod bpf {
    use core::arch::asm;

    use crate::arch;

    /// # Safety
    /// `to` must point into a map.
    #[inline(always)]
    pub unsafe fn add(to: *mut u64, number: u64) {
        // SAFETY: the caller vouches for `to`; the instruction changes nothing else.
        unsafe {
            asm!(
                "lock *(u64 *)({to} + 0) += {number}",
                to = in(reg) to,
                number = in(reg) number,
                options(nostack),
            );
        }
    }

    /// Returns the old value, and replaces it if it is the expected one.
    ///
    /// # Safety
    /// `at` must point into a map.
    #[inline(always)]
    pub unsafe fn compare_exchange(at: *mut u64, expected: u64, new: u64) -> u64 {
        let was;
        // SAFETY: the caller vouches for `at`; r0, which the instruction overwrites, is an operand.
        unsafe {
            asm!(
                "r0 = cmpxchg_64({at} + 0, r0, {new})",
                at = in(reg) at,
                new = in(reg) new,
                inout("r0") expected => was,
                options(nostack),
            );
        }
        was
    }

    /// Loads a value before everything that is read later.
    ///
    /// # Safety
    /// `at` must point into a map.
    #[inline(always)]
    pub unsafe fn load(at: *mut u64) -> u64 {
        // SAFETY: the caller vouches for `at`; adding 0 changes nothing.
        unsafe {
            if arch::keeps_order() {
                at.read_volatile()
            } else {
                // Programs can load with acquire semantics only since 6.15.
                let value: u64;
                asm!(
                    "{value} = atomic_fetch_add((u64 *)({at} + 0), {value})",
                    at = in(reg) at,
                    value = inout(reg) 0_u64 => value,
                    options(nostack),
                );
                value
            }
        }
    }

    /// Stores a value after everything that was written before.
    ///
    /// # Safety
    /// `at` must point into a map.
    #[inline(always)]
    pub unsafe fn store(at: *mut u64, value: u64) {
        // SAFETY: the caller vouches for `at`; the empty `asm!` only keeps the compiler's order.
        unsafe {
            if arch::keeps_order() {
                asm!("", options(nostack));
                at.write_volatile(value);
            } else {
                asm!(
                    "{value} = xchg_64({at} + 0, {value})",
                    at = in(reg) at,
                    value = inout(reg) value => _,
                    options(nostack),
                );
            }
        }
    }
}

#[cfg(not(target_arch = "bpf"))]
mod host {
    use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

    /// # Safety
    /// `to` must be valid and aligned.
    pub unsafe fn add(to: *mut u64, number: u64) {
        // SAFETY: the caller vouches for `to`.
        unsafe { AtomicU64::from_ptr(to) }.fetch_add(number, SeqCst);
    }

    /// # Safety
    /// `at` must be valid and aligned.
    pub unsafe fn compare_exchange(at: *mut u64, expected: u64, new: u64) -> u64 {
        // SAFETY: the caller vouches for `at`.
        let atomic = unsafe { AtomicU64::from_ptr(at) };
        match atomic.compare_exchange(expected, new, SeqCst, SeqCst) {
            Ok(was) | Err(was) => was,
        }
    }

    /// # Safety
    /// `at` must be valid and aligned.
    pub unsafe fn load(at: *mut u64) -> u64 {
        // SAFETY: the caller vouches for `at`.
        unsafe { AtomicU64::from_ptr(at) }.load(SeqCst)
    }

    /// # Safety
    /// `at` must be valid and aligned.
    pub unsafe fn store(at: *mut u64, value: u64) {
        // SAFETY: the caller vouches for `at`.
        unsafe { AtomicU64::from_ptr(at) }.store(value, SeqCst);
    }
}
