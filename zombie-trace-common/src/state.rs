use crate::Record;

/// How many pid namespace levels below the initial one a process is known by. Deeper ones are
/// still traced; a reap by a parent at a level in between is then only seen when the task is
/// freed.
pub const ALIAS_LEVELS: usize = 4;

/// The most slots that the map `SLOTS` has, a power of two: as many as pids by default on a machine of
/// up to 32 CPUs (`PID_MAX_DEFAULT`, include/linux/threads.h), so that each process has its own.
pub const MAX_SLOTS: u32 = 1 << 15;

/// A process that is dying or a zombie: the value of the maps `SLOTS` and `DISPLACED`, whose keys are
/// its thread group id in the initial pid namespace, or the low bits of that.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct TaskState {
    /// Whose slot this is: 0 if it is free, and in `DISPLACED`.
    pub owner: u64,
    /// What will be reported of it.
    pub record: Record,
    /// Address of the leader's task of the process that may reap it now.
    pub parent_now: u64,
    /// Address of the thread of the parent that was told of the zombie.
    pub father: u64,
    /// How long that thread had stood in run queues by then, ns.
    pub father_run_delay: u64,
    /// How often the parent's SIGCHLD handler had run by then.
    pub handler_runs: u64,
    /// `task->parent_exec_id`: the `self_exec_id` of who made it, at that time. Each exec counts the
    /// latter up.
    pub parent_exec_id: u64,
    /// Thread group id of the process that may reap it now, in the initial pid namespace.
    pub parent_now_tgid: u32,
    /// Thread group id of its tracer in the initial pid namespace; 0 if nobody traces it.
    pub tracer_tgid: u32,
    /// Thread group id of this one in the initial pid namespace.
    pub tgid: u32,
    /// The CPU whose run-queue clock `record.exec_start` is in.
    pub exit_cpu: u32,
    /// Of use at the exit only: 1 if it is the leader alone that ends.
    pub alone: u32,
    /// Always 0.
    pub reserved: u32,
    /// Its numbers in pid namespaces below the initial one, up to the first whose
    /// `ns` is 0.
    pub aliases: [Alias; ALIAS_LEVELS],
}

const _: () = assert!(size_of::<TaskState>() == size_of::<Record>() + 72 + ALIAS_LEVELS * 16);

/// A pid as one namespace numbers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Alias {
    /// Address of the `pid_namespace`; 0 for the initial one.
    pub ns: u64,
    /// The number.
    pub nr: u32,
    /// Always 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Alias>() == 16);
