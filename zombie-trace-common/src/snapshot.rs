use crate::Record;

/// One process of a snapshot of the task list (`iter/task`): a zombie or a dying process that the
/// tracer has a record of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SnapshotEntry {
    /// The tracer's record of it.
    pub record: Record,
    /// `task->se.exec_start`: its CPU's run-queue clock when it last ran, in ns.
    pub exec_start: u64,
    /// The CPU whose run-queue clock that is.
    pub cpu: u32,
    /// `task->exit_state`: 32 (EXIT_ZOMBIE) or 48 (EXIT_TRACE) for a zombie, 0 while dying.
    pub exit_state: u32,
}

const _: () = assert!(size_of::<SnapshotEntry>() == size_of::<Record>() + 16);

/// The reader of a snapshot, seen from the kernel: relates its CPU's run-queue clock to
/// `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ClockSample {
    /// `CLOCK_MONOTONIC`, ns.
    pub now: u64,
    /// `current->se.exec_start`: the CPU's run-queue clock at or shortly before `now`, ns.
    pub exec_start: u64,
    /// The CPU.
    pub cpu: u32,
    /// Always 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<ClockSample>() == 24);
