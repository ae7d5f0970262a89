//! Host names of UTS namespaces, each sent to user space once.

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns};
use zombie_trace_common::{HOST_NAME_LEN, HostName};

use crate::{
    emit::{is_for_records_only, wakeup},
    maps::{EVENTS, HOST_NAMES},
    task::{Access, Task, UtsNamespace},
};

/// What a record refers to its thread's host name by; 0 if that is the machine's, or unknown.
/// `cgroup_id` is its process's.
#[inline(always)]
pub fn of<A: Access>(thread: Task<A>, cgroup_id: u64) -> u64 {
    let namespace = thread.uts_namespace();
    if namespace.has_own_name() {
        id_of(namespace, cgroup_id)
    } else {
        0
    }
}

#[inline(always)]
fn id_of<A: Access>(namespace: UtsNamespace<A>, cgroup_id: u64) -> u64 {
    let name = namespace.host_name();
    // An address used again, or another name, is noticed by the name.
    if let Some(known) = HOST_NAMES.get_ptr(namespace.address())
        // SAFETY: `known` is a map value.
        && unsafe { same(&(*known).name, &name) }
    {
        // SAFETY: `known` is a map value.
        return unsafe { (*known).id };
    }
    if is_for_records_only() {
        return 0;
    }
    let Some(mut entry) = EVENTS.reserve::<HostName>(0) else {
        return 0;
    };
    // On no two CPUs the same.
    // SAFETY: the helper takes no arguments.
    let cpu = u64::from(unsafe { bpf_get_smp_processor_id() });
    // SAFETY: the helper takes no arguments.
    let id = unsafe { bpf_ktime_get_ns() } << 12 | cpu & 0xfff;
    let host_name = HostName {
        id,
        cgroup_id,
        name,
    };
    entry.write(host_name);
    entry.submit(wakeup());
    let _ = HOST_NAMES.insert(namespace.address(), host_name, 0);
    id
}

/// By words: byte by byte it would be a call of `memcmp`.
#[inline(always)]
fn same(one: &[u8; HOST_NAME_LEN], other: &[u8; HOST_NAME_LEN]) -> bool {
    let (one, other) = (one.as_ptr().cast::<u64>(), other.as_ptr().cast::<u64>());
    let mut differences = 0;
    for word in 0..HOST_NAME_LEN / 8 {
        // SAFETY: both arrays are HOST_NAME_LEN bytes long, which is a multiple of 8, and `word`
        // stays below an eighth of that.
        unsafe {
            differences |= one.add(word).read_unaligned() ^ other.add(word).read_unaligned();
        }
    }
    differences == 0
}
