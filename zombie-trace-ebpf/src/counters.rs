//! The counters that user space reads.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use zombie_trace_common::Counters;

use crate::{atomic, maps::COUNTERS};

/// Adds one to a counter. Atomic, as one program can preempt another between read and write
/// (7.2 and later).
#[inline(always)]
pub fn count(counter: impl FnOnce(&mut Counters) -> *mut u64) {
    // SAFETY: the helper takes no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if let Some(counters) = COUNTERS.get_ptr_mut(cpu) {
        // SAFETY: `counters` is a map value, and the counter is one of its fields.
        unsafe { atomic::add(counter(&mut *counters), 1) };
    }
}
