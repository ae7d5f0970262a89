//! Task iterators (`iter/task`): the zombies that exist, and the clock to date them by.

use aya_ebpf::{
    cty::c_void,
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_seq_write},
};
use zombie_trace_common::{
    COMM_LEN, ClockSample, Record, RunningDescendant, TaskNow, flags, scope as scope_bits,
};

use super::fork::descend;
use crate::{
    counters::count,
    current,
    entry::{self, Insertion},
    globals::SCOPE,
    maps::{SCRATCH, TREE, scratch},
    record, relation, scope, table,
    task::{EXIT_TRACE, EXIT_ZOMBIE, Probed, Task, Typed},
};

/// `struct bpf_iter__task` (kernel/bpf/task_iter.c).
#[repr(C)]
pub struct TaskIteration {
    meta: *const IterationMeta,
    task: *const u8,
}

/// `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
struct IterationMeta {
    seq: *mut c_void,
    session_id: u64,
    seq_num: u64,
}

/// Takes zombies and dying processes from before the attach into the map, existing descendants of
/// the traced root into the tree, and lists what [`list`] does.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
pub fn adopt_tasks(ctx: *mut c_void) -> i32 {
    if let Some((iteration, task)) = leader(ctx) {
        if SCOPE.load() & scope_bits::TREE != 0
            && TREE.get_ptr(task.tgid()).is_none()
            && descend(task.real_parent().group_leader(), task, 0)
        {
            count(|counters| &raw mut counters.tree_adopted);
        }
        // Once a run: reads by helper cost the verifier far less.
        adopt_zombie(Task::probed(task.address()));
        list(iteration, task);
    }
    0
}

/// Lists the zombies and dying processes that are in the map.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
pub fn list_tasks(ctx: *mut c_void) -> i32 {
    if let Some((iteration, task)) = leader(ctx) {
        list(iteration, task);
    }
    0
}

/// Lists the descendants of the traced root that are running.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
pub fn list_descendants(ctx: *mut c_void) -> i32 {
    let Some((iteration, task)) = leader(ctx) else {
        return 0;
    };
    if task.live_threads() == 0 || !scope::is_descendant(task) {
        return 0;
    }
    let mut running = RunningDescendant {
        pid: scope::visible_pid(task),
        ppid: scope::visible_pid(task.real_parent().group_leader()),
        comm: [0; COMM_LEN],
    };
    // SAFETY: the kernel gives a valid iteration and task, and `running` is of the size that is
    // written.
    unsafe {
        task.read_comm(&raw mut running.comm);
        bpf_seq_write(
            (*(*iteration).meta).seq.cast(),
            (&raw const running).cast(),
            size_of::<RunningDescendant>() as u32,
        );
    }
    0
}

/// Writes one [`ClockSample`], at the first task.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
pub fn sample_clock(ctx: *mut c_void) -> i32 {
    // SAFETY: `ctx` is what the kernel passes to an iterator over tasks; `sample` lives as long as
    // the call.
    unsafe {
        let iteration = ctx.cast::<TaskIteration>();
        let meta = (*iteration).meta;
        if (*meta).seq_num != 0 || (*iteration).task.is_null() {
            return 0;
        }
        let sample = ClockSample {
            now: bpf_ktime_get_ns(),
            exec_start: current::task().exec_start(),
            cpu: bpf_get_smp_processor_id(),
            reserved: 0,
        };
        bpf_seq_write(
            (*meta).seq.cast(),
            (&raw const sample).cast(),
            size_of::<ClockSample>() as u32,
        );
    }
    0
}

#[inline(always)]
fn leader(ctx: *mut c_void) -> Option<(*const TaskIteration, Task<Typed>)> {
    // SAFETY: `ctx` is what the kernel passes to an iterator over tasks, and its task has a BTF
    // type.
    unsafe {
        let iteration = ctx.cast::<TaskIteration>().cast_const();
        let task = (*iteration).task;
        if task.is_null() {
            return None;
        }
        let task = Task::typed(task);
        (task.pid() == task.tgid()).then_some((iteration, task))
    }
}

#[inline(always)]
fn adopt_zombie(leader: Task<Probed>) {
    let exit_state = leader.exit_state();
    let zombie = exit_state == EXIT_ZOMBIE || exit_state == EXIT_TRACE;
    if leader.live_threads() != 0
        || !(zombie || exit_state == 0)
        || leader.is_kthread()
        || entry::find(leader).is_some()
        || !scope::contains(leader, leader, scratch::SNAPSHOT)
    {
        return;
    }
    let Some(state) = SCRATCH.get_ptr_mut(scratch::SNAPSHOT) else {
        return;
    };
    // SAFETY: `state` is this CPU's scratch, which no other program uses; the iterator holds a
    // reference to the leader's task.
    unsafe {
        record::describe(state, leader);
        (*state).record.flags |= flags::PRE_EXISTING;
        if zombie {
            // Not later than now; user space works out when.
            (*state).record.zombie_time = bpf_ktime_get_ns();
            (*state).record.flags |= flags::APPROXIMATE_START;
        }
        // A zombie without threads is past the hook that sees its end.
        let alone = zombie && leader.threads() == 1;
        match entry::insert(state, alone) {
            // Its end was seen just now.
            Insertion::Done if !alone && table::take_back(state) => {}
            Insertion::Done => count(|counters| &raw mut counters.adopted),
            // Its end was seen just now.
            Insertion::Known(_) => {}
            Insertion::NoRoom => {
                count(|counters| &raw mut counters.exits);
                entry::lost_to_full_map();
            }
        }
    }
}

#[inline(always)]
fn list(iteration: *const TaskIteration, leader: Task<Typed>) {
    if leader.live_threads() != 0 {
        return;
    }
    let Some(state) = entry::find(leader) else {
        return;
    };
    let parent_thread = Task::<Probed>::probed(leader.real_parent().address());
    let parent = parent_thread.group_leader();
    let now = TaskNow {
        exec_start: leader.exec_start(),
        cpu: leader.cpu(),
        exit_state: leader.exit_state(),
        ppid: scope::visible_pid(parent),
        exit_signal: leader.exit_signal().cast_signed(),
        threads: leader.threads(),
        ptrace: leader.ptrace(),
        // SAFETY: `state` is a map value.
        relation: unsafe { relation::to_parent(state, parent) },
        parent_waits: u32::from(parent.may_wait()),
        parent_tid: scope::visible_tid(parent_thread),
        reserved: 0,
    };
    // A `SnapshotEntry`, in two parts: it has no room on the stack. If the second finds no room in
    // the reader's buffer, the kernel drops the first, too, and comes again (bpf_seq_read,
    // kernel/bpf/bpf_iter.c).
    // SAFETY: the caller passes on what `leader` made of the context; `state` is a map value, and
    // `now` lives as long as the call.
    unsafe {
        let seq = (*(*iteration).meta).seq.cast();
        let record = &raw const (*state).record;
        bpf_seq_write(seq, record.cast(), size_of::<Record>() as u32);
        bpf_seq_write(seq, (&raw const now).cast(), size_of::<TaskNow>() as u32);
    }
}
