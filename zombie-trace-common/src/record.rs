/// Length of a kernel command name with its terminating NUL (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;

/// What the kernel side knows of one process that ends: the value of the map of dying processes,
/// and the payload of the one ring-buffer record that it leaves behind.
///
/// Times are `CLOCK_MONOTONIC` in ns (`bpf_ktime_get_ns`) unless said otherwise; 0 is unknown.
/// Pids are thread group ids in the tracer's pid namespace; 0 is unknown or not visible there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct Record {
    /// Address of the thread group leader's `task_struct`: the identity while the task lives.
    pub task: u64,
    /// `task->start_boottime` (`CLOCK_BOOTTIME`, ns): tells a reused address or pid apart.
    pub start_boottime: u64,
    /// `sched_process_exit` of the last thread of the group.
    pub exit_time: u64,
    /// `do_notify_parent`: the process became reapable.
    pub zombie_time: u64,
    /// `release_task` of the leader; for a bounded end the latest time that it can have been.
    pub reap_time: u64,
    /// Bounded end: the earliest time that the reap can have been. Equal to `reap_time` if exact.
    pub reap_time_min: u64,
    /// Approximate start: the latest time that the zombie can have begun (0 if `zombie_time` is
    /// exact).
    pub zombie_time_max: u64,
    /// `sched_process_exit` of a leader that ended before its group; 0 otherwise.
    pub leader_exit_time: u64,
    /// `task->se.exec_start` of the leader at exit (its CPU's run-queue clock, ns).
    pub exec_start: u64,
    /// cgroup v2 id (`kernfs_node.id`: the inode number of its directory); 0 is unknown.
    pub cgroup_id: u64,
    /// Address of the parent's thread group leader when the process became a zombie.
    pub parent_task: u64,
    /// When its tracer let go of it, so that the parent was told again; 0 if none did.
    pub tracer_end_time: u64,
    /// When the parent's SIGCHLD handler first ran since the zombie's begin; 0 if it did not, or if
    /// that is not known.
    pub handler_time: u64,
    /// When the reaper came to wait, in the call that reaped it; 0 is unknown, and then the two
    /// fields that follow say nothing.
    pub wait_time: u64,
    /// How long the reaping thread stood in a run queue between the zombie's begin and its wait
    /// (`task->sched_info.run_delay`, ns).
    pub run_delay_before_wait: u64,
    /// The same in the wait, since the zombie's begin; `u64::MAX` if the kernel does not tell.
    pub run_delay_in_wait: u64,
    /// Which [`HostName`](crate::HostName) it had; 0 is that of the machine, or unknown.
    pub host_name: u64,
    /// The parent's [`cgroup_id`](Self::cgroup_id) when the process became a zombie.
    pub parent_cgroup_id: u64,
    /// The reaper's, at the reap.
    pub reaper_cgroup_id: u64,
    /// The process.
    pub pid: u32,
    /// Its number in its own innermost pid namespace.
    pub ns_pid: u32,
    /// Its real user id, as the initial user namespace sees it.
    pub uid: u32,
    /// The real parent when it became a zombie.
    pub ppid: u32,
    /// The wait status word as `wait4` returns it: `code << 8`, or the signal, with 0x80 if core
    /// was dumped.
    pub wait_status: u32,
    /// The process whose call released it.
    pub reaper_pid: u32,
    /// The thread of it that made the call, as the tracer's pid namespace numbers it.
    pub reaper_tid: u32,
    /// A set of [`flags`].
    pub flags: u32,
    /// One of [`how`].
    pub how: u32,
    /// Always 0.
    pub reserved: u32,
    /// The leader's command name at exit.
    pub comm: [u8; COMM_LEN],
    /// The parent's (leader's) command name.
    pub parent_comm: [u8; COMM_LEN],
    /// The reaper's (leader's) command name.
    pub reaper_comm: [u8; COMM_LEN],
}

const _: () = assert!(size_of::<Record>() == 19 * 8 + 10 * 4 + 3 * COMM_LEN);
const _: () = assert!(align_of::<Record>() == 8);

/// Values of [`Record::flags`].
pub mod flags {
    /// `zombie_time` is not exact: see [`zombie_time_max`](crate::Record::zombie_time_max).
    pub const APPROXIMATE_START: u32 = 1 << 0;
    /// The reap lies between `reap_time_min` and `reap_time`.
    pub const BOUNDED_END: u32 = 1 << 1;
    /// The leader ended alone, before the rest of its group.
    pub const LEADER_EXITED_EARLY: u32 = 1 << 2;
    /// The real parent died while the process was a zombie.
    pub const REPARENTED: u32 = 1 << 3;
    /// A tracer was attached when the process became a zombie.
    pub const TRACED: u32 = 1 << 4;
    /// It was dying or a zombie before the tracer attached.
    pub const PRE_EXISTING: u32 = 1 << 5;
    /// `exit_signal` is 0: the parent is not told (clone(2)).
    pub const NO_EXIT_SIGNAL: u32 = 1 << 6;
    /// The parent is a kernel thread (usermode helper).
    pub const KERNEL_PARENT: u32 = 1 << 7;
    /// `exit_time` is not that of `sched_process_exit`, whose program the kernel skipped: it is no
    /// later than the zombie's begin.
    pub const EXIT_UNSEEN: u32 = 1 << 8;
    /// The program that its parent is now did not make it: the parent has called exec since, or has
    /// adopted it.
    pub const FOREIGN: u32 = 1 << 9;
    /// The program that its parent is now made it. With neither of both that is not known.
    pub const OWN: u32 = 1 << 10;
}

/// Values of [`Record::how`].
pub mod how {
    /// Not reaped yet, or it cannot be told how.
    pub const UNKNOWN: u32 = 0;
    /// wait4(2), waitpid(2), wait(2).
    pub const WAIT4: u32 = 1;
    /// waitid(2).
    pub const WAITID: u32 = 2;
    /// io_uring's `IORING_OP_WAITID`.
    pub const IO_URING: u32 = 3;
    /// A wait whose kind this backend cannot tell.
    pub const WAIT: u32 = 4;
    /// The kernel reaped it at once: the parent ignores SIGCHLD or set SA_NOCLDWAIT.
    pub const AUTOREAP: u32 = 5;
    /// It was a zombie; its parent died and the new parent ignores SIGCHLD.
    pub const AUTOREAP_ON_REPARENT: u32 = 6;
    /// The init of its pid namespace died and the kernel emptied the namespace.
    pub const NS_TEARDOWN: u32 = 7;
    /// A kernel thread waited (usermode helper).
    pub const KERNEL: u32 = 8;
}
