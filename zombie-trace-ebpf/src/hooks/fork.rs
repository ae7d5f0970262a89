//! `sched_process_fork` (kernel_clone, kernel/fork.c): keeps the set of descendants.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use zombie_trace_common::Descendant;

use crate::{
    counters::count,
    globals::TREE_ROOT,
    maps::TREE,
    scope::visible_pid,
    task::{Task, Typed},
};

#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the first two arguments are `struct task_struct *`, which BTF says too.
    let (forker, child) = unsafe {
        (
            Task::typed(ctx.arg::<*const u8>(0)),
            Task::typed(ctx.arg::<*const u8>(1)),
        )
    };
    if child.pid() == child.tgid() {
        let forker = forker.group_leader();
        descend(forker, child, forker.address());
    }
    0
}

/// Takes a process into the tree if it is the root or its parent is in the tree. Returns whether it is
/// in there now. `maker` is [`Descendant::maker`].
#[inline(always)]
pub fn descend(parent: Task<Typed>, child: Task<Typed>, maker: u64) -> bool {
    let root = visible_pid(child) == TREE_ROOT.load();
    if !root && !is_member(parent) {
        return false;
    }
    let descendant = Descendant {
        start_boottime: child.start_boottime(),
        root: u64::from(root),
        maker,
    };
    let inserted = TREE.insert(child.tgid(), descendant, 0).is_ok();
    if !inserted {
        count(|counters| &raw mut counters.tree_full);
    }
    inserted
}

#[inline(always)]
pub fn is_member(leader: Task<Typed>) -> bool {
    // SAFETY: the map is preallocated, so the entry stays readable even if it is removed meanwhile.
    unsafe { TREE.get(leader.tgid()) }
        .is_some_and(|entry| entry.start_boottime == leader.start_boottime())
}
