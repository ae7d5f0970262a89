//! `cgroup_mkdir` (kernel/cgroup/cgroup.c): a cgroup is made. By then its path is known; when
//! user space comes to look up what a record tells of, a short-lived container's is gone.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str, macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use zombie_trace_common::{CGROUP_PATH_LEN, NewCgroup};

use crate::{
    emit::{BPF_RB_NO_WAKEUP, is_for_records_only, wakeup},
    maps::EVENTS,
    task::Cgroup,
};

/// Not by BTF: before 5.13 such a program can't have an argument that is a string.
#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: RawTracePointContext) -> i32 {
    let cgroup = Cgroup::probed(ctx.arg(0));
    if !cgroup.is_v2() || is_for_records_only() {
        return 0;
    }
    let Some(mut entry) = EVENTS.reserve::<NewCgroup>(0) else {
        return 0;
    };
    // SAFETY: `entry` has room for a `NewCgroup`; the helper writes CGROUP_PATH_LEN bytes at most,
    // and fails if there is no string.
    unsafe {
        let new = entry.as_mut_ptr();
        (*new).id = cgroup.id();
        let path = (&raw mut (*new).path).cast();
        let len = bpf_probe_read_kernel_str(path, CGROUP_PATH_LEN as u32, ctx.arg(1));
        // What fills it may be cut.
        if len > 0 && len < CGROUP_PATH_LEN as _ {
            entry.submit(wakeup());
        } else {
            entry.discard(BPF_RB_NO_WAKEUP);
        }
    }
    0
}
