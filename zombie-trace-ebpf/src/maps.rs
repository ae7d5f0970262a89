use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, lpm_trie::Key},
};
use zombie_trace_common::{
    Alias, Control, Counters, Descendant, HANDLERS_LEN, HOST_NAME_LEN, HandlerRuns, HostName,
    TaskState,
    scope::{CGROUP_NAME_LEN, NamePattern},
};

const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Sizes here are placeholders where user space sets them before it creates the maps.
const SET_AT_LOAD: u32 = 1024;

/// Arguments of a waitid(2) that is under way.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct WaitidArgs {
    /// `CLOCK_MONOTONIC`, ns.
    pub entered: u64,
    pub infop: u64,
    pub which: u32,
    pub upid: u32,
    pub options: u32,
    pub reserved: u32,
}

/// Reaps by one process that do not tell which child they reaped.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct UntoldReaps {
    /// `CLOCK_MONOTONIC`, ns; a ring. 0 is unused or used up.
    pub times: [u64; UNTOLD_LEN],
    /// When each call began; 0 if that is not known.
    pub entered: [u64; UNTOLD_LEN],
    /// Which thread made each call.
    pub tids: [u32; UNTOLD_LEN],
    /// The newest time that had to make room for another; 0 for none.
    pub overwritten: u64,
    /// How many were ever put in.
    pub count: u64,
    pub how: u32,
    pub reaper_pid: u32,
    pub reaper_comm: [u8; 16],
    /// The only thread that ever made such a call; 0 if several did.
    pub reaper_tid: u32,
    pub reserved: u32,
}

pub const UNTOLD_LEN: usize = 16;

/// The call of do_notify_parent that is under way.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Notifying {
    /// The running thread: its thread group id and, in the lower half, its id.
    pub thread: u64,
    /// Thread group id of the process that it is about; 0 if none is known, or between two calls.
    pub tgid: u32,
    /// 1 if it was a zombie before.
    pub again: u32,
}

/// A thread's latest wait.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Wait {
    /// Address of the thread's `task_struct`; 0 if the wait has reaped.
    pub task: u64,
    /// When it began: `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// How long the thread had stood in run queues by then, ns.
    pub run_delay: u64,
}

pub const WAITS_LEN: u32 = 1 << 14;

/// Dying processes and zombies, by the low bits of the thread group id in the initial pid namespace:
/// see [`crate::table`]. An id that is in use again finds a state whose task is another: see
/// [`crate::entry::insert`]. User space reads it through a mapping.
#[map]
pub static SLOTS: Array<TaskState> = Array::with_max_entries(SET_AT_LOAD, BPF_F_MMAPABLE);

/// Those without a slot, by thread group id.
#[map]
pub static DISPLACED: HashMap<u32, TaskState> = HashMap::with_max_entries(SET_AT_LOAD, 0);

/// How many are there, or are just put in.
#[map]
pub static DISPLACED_COUNT: Array<u64> = Array::with_max_entries(1, 0);

/// From a pid, as a namespace below the initial one numbers it, to the thread group id in the
/// initial one.
#[map]
pub static ALIASES: HashMap<Alias, u32> = HashMap::with_max_entries(SET_AT_LOAD, 0);

#[map]
pub static NOTIFYING: Array<Notifying> = Array::with_max_entries(1, 0);

/// By the thread's id, of which more threads may share one: an array costs less than a hash map, and
/// most waits reap nothing of interest.
#[map]
pub static WAITS: Array<Wait> = Array::with_max_entries(WAITS_LEN, 0);

/// By the thread group id, likewise: see [`HandlerRuns`]. User space reads it through a mapping.
#[map]
pub static HANDLERS: Array<HandlerRuns> = Array::with_max_entries(HANDLERS_LEN, BPF_F_MMAPABLE);

/// By `pid_tgid` of the waiting thread.
#[map]
pub static WAITIDS: HashMap<u64, WaitidArgs> = HashMap::with_max_entries(SET_AT_LOAD, 0);

/// By the address of the reaping process's leader task.
///
/// Entries are left to age: grace periods that begin on different CPUs can end in any order, so
/// that a reaper can be freed before its children. An address used again does no harm, as times
/// from before a zombie's begin never match it.
#[map]
pub static UNTOLD: LruHashMap<u64, UntoldReaps> = LruHashMap::with_max_entries(4096, 0);

/// The host names that user space knows, by the address of the `uts_namespace`.
#[map]
pub static HOST_NAMES: LruHashMap<u64, HostName> = LruHashMap::with_max_entries(4096, 0);

/// Descendants of the traced root, by thread group id in the initial pid namespace.
#[map]
pub static TREE: HashMap<u32, Descendant> = HashMap::with_max_entries(SET_AT_LOAD, 0);

/// Pids in scope.
#[map]
pub static PIDS: HashMap<u32, u8> = HashMap::with_max_entries(1024, 0);

/// Parents in scope.
#[map]
pub static PPIDS: HashMap<u32, u8> = HashMap::with_max_entries(1024, 0);

/// Names of cgroups that a wanted container could have, or their begins.
#[map]
pub static CONTAINER_NAMES: LpmTrie<[u8; CGROUP_NAME_LEN], NamePattern> =
    LpmTrie::with_max_entries(SET_AT_LOAD, 0);

/// Host names of wanted containers.
#[map]
pub static CONTAINER_HOSTS: HashMap<[u8; HOST_NAME_LEN], u8> =
    HashMap::with_max_entries(SET_AT_LOAD, 0);

/// Where a name of a cgroup is read to, as [`SCRATCH`].
#[map]
pub static NAME_KEYS: PerCpuArray<Key<[u8; CGROUP_NAME_LEN]>> =
    PerCpuArray::with_max_entries(scratch::LEN, 0);

/// By CPU. Mapped into user space's memory: while a process looks something up by system call, the
/// kernel skips the kprobe and tracepoint programs of its CPU (`bpf_disable_instrumentation`), even
/// if it is preempted meanwhile.
#[map]
pub static COUNTERS: Array<Counters> = Array::with_max_entries(SET_AT_LOAD, BPF_F_MMAPABLE);

/// What user space tells the programs while they run: see [`crate::control`].
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Where a [`TaskState`] is put together: it is too large for the stack. One slot per program that
/// does so, as a program can be preempted by another one.
#[map]
pub static SCRATCH: PerCpuArray<TaskState> = PerCpuArray::with_max_entries(scratch::LEN, 0);

pub mod scratch {
    pub const EXIT: u32 = 0;
    pub const SNAPSHOT: u32 = 1;
    pub const NOTIFY: u32 = 2;
    pub const LEN: u32 = 3;
}

/// An [`UntoldReaps`] of zeroes to insert; never written.
#[map]
pub static NO_UNTOLD: Array<UntoldReaps> = Array::with_max_entries(1, 0);
