//! Constants that user space sets before the programs are loaded. The verifier knows their
//! values, so that a branch on one costs nothing when it is not taken.

use aya_ebpf::Global;
use zombie_trace_common::MISSING;

macro_rules! define_offsets {
    ($($necessity:ident $name:ident: $($path:literal),+;)*) => {
        $(
            #[unsafe(no_mangle)]
            pub static $name: Global<u32> = Global::new(MISSING);
        )*
    };
}

zombie_trace_common::for_each_offset!(define_offsets);

/// The kernel's architecture: one of [`zombie_trace_common::arch`].
#[unsafe(no_mangle)]
pub static ARCH: Global<u8> = Global::new(0);

/// 1 if `sched_process_exit` passes `group_dead` as its second argument (6.16 or so and later).
#[unsafe(no_mangle)]
pub static EXIT_HAS_GROUP_DEAD: Global<u8> = Global::new(0);

/// 1 if the kernel can skip a program at an exit because another task's run of it was preempted on
/// the same CPU: tracepoint programs are preemptible since 7.2.
#[unsafe(no_mangle)]
pub static EXIT_CAN_BE_SKIPPED: Global<u8> = Global::new(0);

/// 1 if the kernel's programs can compare and exchange (since 5.12; on arm64 since 5.18).
#[unsafe(no_mangle)]
pub static HAS_COMPARE_EXCHANGE: Global<u8> = Global::new(0);

/// The length of the map `SLOTS`, a power of two, less one.
#[unsafe(no_mangle)]
pub static SLOTS_MASK: Global<u32> = Global::new(0);

/// 1 if the kernel has the helpers `bpf_get_current_task_btf` and `bpf_task_pt_regs` (the latter
/// since 5.15).
#[unsafe(no_mangle)]
pub static HAS_TYPED_CURRENT: Global<u8> = Global::new(0);

/// A set of [`zombie_trace_common::scope`].
#[unsafe(no_mangle)]
pub static SCOPE: Global<u32> = Global::new(0);

/// The cgroup v2 id that [`zombie_trace_common::scope::CGROUP`] asks for.
#[unsafe(no_mangle)]
pub static CGROUP_ID: Global<u64> = Global::new(0);

/// Root of the tree that [`zombie_trace_common::scope::TREE`] asks for: its pid as the tracer
/// sees it.
#[unsafe(no_mangle)]
pub static TREE_ROOT: Global<u32> = Global::new(0);

/// Inode number of the tracer's pid namespace; 0 if that is the initial one.
#[unsafe(no_mangle)]
pub static TRACER_PIDNS: Global<u32> = Global::new(0);

/// Fill of the ring buffer (bytes) from which on user space is woken at every record.
#[unsafe(no_mangle)]
pub static WAKEUP_BYTES: Global<u64> = Global::new(0);
