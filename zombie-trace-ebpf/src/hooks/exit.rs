//! `sched_process_exit` (do_exit, kernel/exit.c): a thread ends; with the last one its process
//! starts dying.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use zombie_trace_common::{TaskState, flags};

use crate::{
    control,
    counters::count,
    entry::{self, Insertion},
    globals::EXIT_HAS_GROUP_DEAD,
    host_name,
    maps::{SCRATCH, scratch},
    record, scope,
    task::{Probed, Task, Typed},
    zombie::has_ended,
};

#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the first argument is a `struct task_struct *`, which BTF says too.
    let task = unsafe { Task::typed(ctx.arg::<*const u8>(0)) };
    let group_dead = if EXIT_HAS_GROUP_DEAD.load() != 0 {
        ctx.arg::<u64>(1) & 1 != 0
    } else {
        // Can be true for two threads that end at once.
        task.live_threads() == 0
    };
    // The leader can end alone. It looks like a zombie from then on, but can't be reaped before its
    // threads have ended too; or one of them calls exec and takes its place.
    let alone = !group_dead && task.pid() == task.tgid() && !task.in_group_exit();
    if (group_dead || alone) && !control::is_closing() {
        ends(&ctx, task, alone);
    }
    0
}

#[inline(always)]
fn ends(ctx: &BtfTracePointContext, last: Task<Typed>, alone: bool) {
    // SAFETY: the helper takes no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let leader = last.group_leader();
    // Seldom enough for reads by helper, which cost the verifier far less.
    let probed = Task::probed(leader.address());
    // Its leader may have ended alone before.
    if last.address() != leader.address()
        && let Some(state) = entry::find(leader)
    {
        // SAFETY: `state` is a map value, and that of `leader`.
        unsafe { ended(state, probed, now) };
        return;
    }
    if leader.is_kthread() || !scope::contains(leader, last, scratch::EXIT) {
        return;
    }
    let Some(state) = SCRATCH.get_ptr_mut(scratch::EXIT) else {
        return;
    };
    // SAFETY: `state` is this CPU's scratch, which no other program uses; the leader is not
    // released before its last thread has passed this hook.
    unsafe {
        // Through memory, which the verifier does not follow: it would go twice through all that is
        // described, and that takes it long (it looks every pointer's type up by name).
        (*state).alone = u32::from(alone);
        record::describe(state, leader);
        // The leader may have given its namespaces up before.
        (*state).record.host_name = host_name::of(last, (*state).record.cgroup_id);
        let alone = (&raw const (*state).alone).read_volatile() != 0;
        if alone {
            (*state).record.leader_exit_time = now;
            (*state).record.flags |= flags::LEADER_EXITED_EARLY;
        } else {
            (*state).record.exit_time = now;
        }
        // Two threads that end at once can both be here, or the leader and the last thread.
        match entry::insert(state, leader.threads() == 1) {
            // Without room it is told of as any other process, if there is room by then.
            _ if alone => {}
            Insertion::Done => {
                count(|counters| &raw mut counters.exits);
                debug!(ctx, "pid {}: exit", (*state).tgid);
            }
            // The second of two threads for which the group looks dead.
            Insertion::Known(state) => ended(state, probed, now),
            Insertion::NoRoom => {
                count(|counters| &raw mut counters.exits);
                entry::lost_to_full_map();
                debug!(ctx, "pid {}: no room in the map", (*state).tgid);
            }
        }
    }
}

/// A process that is in the map has ended. Of two threads that seem to be the last the later one is
/// right. One that was taken in while it was dying, on its way to this hook, is counted already.
#[inline(always)]
unsafe fn ended(state: *mut TaskState, leader: Task<Probed>, now: u64) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        let known = has_ended(state);
        (*state).record.exit_time = now;
        (*state).record.wait_status = leader.wait_status();
        if !known {
            record::describe_parent(state, leader.real_parent().group_leader());
            count(|counters| &raw mut counters.exits);
        }
    }
}
