use crate::{Record, flags};

/// One process of a snapshot of the task list (`iter/task`): a zombie or a dying process that the
/// tracer has a record of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct SnapshotEntry {
    /// The tracer's record of it.
    pub record: Record,
    /// What its task says at the moment of the snapshot.
    pub now: TaskNow,
}

impl SnapshotEntry {
    /// The record with the relation to its parent as it is now: the parent may have called exec.
    pub fn record_now(&self) -> Record {
        let flags = self.record.flags & !(flags::FOREIGN | flags::OWN);
        Record {
            flags: flags | self.now.relation,
            ..self.record
        }
    }
}

const _: () = assert!(size_of::<SnapshotEntry>() == size_of::<Record>() + size_of::<TaskNow>());

/// A leader at the moment of a snapshot, from its `task_struct`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct TaskNow {
    /// `se.exec_start`: its CPU's run-queue clock when it last ran, in ns.
    pub exec_start: u64,
    /// The CPU whose run-queue clock that is.
    pub cpu: u32,
    /// `exit_state`: 32 (EXIT_ZOMBIE) or 48 (EXIT_TRACE) for a zombie, 0 while dying.
    pub exit_state: u32,
    /// Its real parent, as the tracer numbers it; 0 if that can't be seen.
    pub ppid: u32,
    /// `exit_signal`: what its parent gets; -1 while it is being reaped.
    pub exit_signal: i32,
    /// `signal->nr_threads`: it and those of its threads that are not released.
    pub threads: u32,
    /// `ptrace`: 0 if nobody traces it.
    pub ptrace: u32,
    /// [`FOREIGN`](flags::FOREIGN), [`OWN`](flags::OWN) or neither, by its real parent.
    pub relation: u32,
    /// 0 if no thread of its real parent waits for any child (`signal->wait_chldexit` is empty, see
    /// do_wait, kernel/exit.c); 1 if one does, or if that can't be seen.
    pub parent_waits: u32,
    /// The thread of its real parent that made it, or that has inherited it; 0 if it can't be seen.
    pub parent_tid: u32,
    /// Always 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<TaskNow>() == 48);

/// The reader of a snapshot, seen from the kernel: relates its CPU's run-queue clock to
/// `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
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
