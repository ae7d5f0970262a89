//! Which processes are in a container that was asked for.
//!
//! By the names of their cgroups, so that a container that is started later is known from its first
//! process on; user space says what names its runtime could give it.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, maps::lpm_trie::Key};
use zombie_trace_common::scope::{CGROUP_NAME_LEN, name};

use crate::{
    maps::{CONTAINER_HOSTS, CONTAINER_NAMES, NAME_KEYS},
    task::{Access, Cgroup, Task},
};

/// The deepest containers in use, of a Kubernetes node in Docker, are some ten levels down.
const MAX_LEVEL: u32 = 24;

/// `.scope`
const SUFFIX_LEN: i64 = 6;

/// `:`, the digits of an id, NUL.
const ID_WITH_COLON_LEN: i64 = 66;

/// Whether a process is in a wanted container, given its leader and a thread of it that has not given
/// up its namespaces yet. `slot` is one of [`crate::maps::scratch`].
#[inline(always)]
pub fn contains<A: Access>(leader: Task<A>, thread: Task<A>, slot: u32) -> bool {
    let namespace = thread.uts_namespace();
    if namespace.has_own_name() && CONTAINER_HOSTS.get_ptr(namespace.host_name()).is_some() {
        return true;
    }
    let Some(key) = NAME_KEYS.get_ptr_mut(slot) else {
        return false;
    };
    let mut cgroup = leader.cgroup();
    let mut below = 0;
    for _ in 0..MAX_LEVEL {
        // SAFETY: `key` is this CPU's map value.
        let kinds = unsafe { kinds(cgroup, key) };
        if kinds & name::CONTAINER != 0
            || (kinds & name::PARENT != 0 && below & name::CHILD != 0)
            || (kinds & name::MACHINE != 0 && below & name::PAYLOAD != 0)
        {
            return true;
        }
        below = kinds;
        match cgroup.parent() {
            Some(parent) => cgroup = parent,
            None => return false,
        }
    }
    false
}

/// What a cgroup is by its name.
#[inline(always)]
unsafe fn kinds(cgroup: Cgroup, key: *mut Key<[u8; CGROUP_NAME_LEN]>) -> u32 {
    let name = cgroup.name();
    // SAFETY: the caller vouches for `key`; the helper reads `name` and fails where there is no
    // memory.
    unsafe {
        let len = read_name(name, key);
        let kinds = kinds_of(key, len);
        if kinds != 0 || len <= ID_WITH_COLON_LEN {
            return kinds;
        }
        // SLICE:PREFIX:ID
        let id = (name as u64 + (len - ID_WITH_COLON_LEN) as u64) as *const u8;
        let len = read_name(id, key);
        if (&raw const (*key).data).cast::<u8>().read() == b':' {
            kinds_of(key, len)
        } else {
            0
        }
    }
}

#[inline(always)]
unsafe fn read_name(name: *const u8, key: *mut Key<[u8; CGROUP_NAME_LEN]>) -> i64 {
    // SAFETY: the caller vouches for `key`, whose data has room for CGROUP_NAME_LEN bytes.
    unsafe {
        let data = (&raw mut (*key).data).cast();
        bpf_probe_read_kernel_str(data, CGROUP_NAME_LEN as u32, name.cast())
    }
}

#[inline(always)]
unsafe fn kinds_of(key: *mut Key<[u8; CGROUP_NAME_LEN]>, len: i64) -> u32 {
    // SAFETY: the caller vouches for `key`.
    unsafe { (*key).prefix_len = CGROUP_NAME_LEN as u32 * 8 };
    // SAFETY: the caller vouches for `key`, which is fully written by now.
    match CONTAINER_NAMES.get(unsafe { &*key }) {
        Some(pattern)
            if pattern.len == 0
                || i64::from(pattern.len) == len
                || i64::from(pattern.len) + SUFFIX_LEN == len =>
        {
            pattern.kinds
        }
        _ => 0,
    }
}
