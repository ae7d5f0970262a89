//! All reads of kernel memory. Offsets are those of the running kernel (see `globals`).

use core::marker::PhantomData;

use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_kernel_buf};
use zombie_trace_common::{Alias, COMM_LEN, HOST_NAME_LEN, MISSING};

use crate::globals::*;

/// `PF_EXITING`, `PF_KTHREAD` (include/linux/sched.h; the same on 5.10 to 7.3).
pub const PF_EXITING: u32 = 0x4;
const PF_KTHREAD: u32 = 0x0020_0000;

/// `EXIT_DEAD`, `EXIT_ZOMBIE`, and both: `EXIT_TRACE` (include/linux/sched.h).
pub const EXIT_DEAD: u32 = 0x10;
pub const EXIT_ZOMBIE: u32 = 0x20;
pub const EXIT_TRACE: u32 = 0x30;

/// `SIGNAL_GROUP_EXIT`, `SIGNAL_UNKILLABLE` (include/linux/sched/signal.h; the same on 5.10 to 7.3).
const SIGNAL_GROUP_EXIT: u32 = 0x4;
const SIGNAL_UNKILLABLE: u32 = 0x40;

/// include/linux/sched.h
const TASK_INTERRUPTIBLE: u32 = 0x1;

const SA_NOCLDWAIT: u64 = 0x2;
const SIG_IGN: u64 = 1;

/// How a pointer to kernel memory may be read.
pub trait Access: Copy {
    /// # Safety
    /// `base` must be a kernel pointer of the kind that the implementation is for.
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T;

    /// # Safety
    /// As for `read`; `to` must be valid for a write, and aligned to 8 bytes.
    unsafe fn read_comm(base: *const u8, offset: u32, to: *mut [u8; COMM_LEN]);
}

/// The verifier knows the pointer's BTF type: plain loads, as cheap as C's.
#[derive(Clone, Copy)]
pub struct Typed;

/// Any address: reads by helper, which give zeroes where there is no memory.
#[derive(Clone, Copy)]
pub struct Probed;

impl Access for Typed {
    #[inline(always)]
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T {
        // SAFETY: the caller vouches for `base`; the verifier has checked that the offset is within
        // its type.
        unsafe { base.add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    unsafe fn read_comm(base: *const u8, offset: u32, to: *mut [u8; COMM_LEN]) {
        // By words: an array would be copied byte by byte. All names are at a multiple of 8.
        // SAFETY: the caller vouches for `base` and `to`; an array of 16 bytes has room for two
        // words.
        unsafe {
            let to = to.cast::<u64>();
            to.write(Self::read(base, offset));
            to.add(1).write(Self::read(base, offset + 8));
        }
    }
}

impl Access for Probed {
    #[inline(always)]
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T {
        // SAFETY: the helper reads any address; all callers read integers and pointers, for which
        // zero is a value.
        unsafe {
            bpf_probe_read_kernel(base.add(offset as usize).cast::<T>())
                .unwrap_or_else(|_| core::mem::zeroed())
        }
    }

    #[inline(always)]
    unsafe fn read_comm(base: *const u8, offset: u32, to: *mut [u8; COMM_LEN]) {
        // It zeroes the destination when it fails.
        // SAFETY: the caller vouches for `to`; the helper reads any address.
        let _ = unsafe { bpf_probe_read_kernel_buf(base.add(offset as usize), &mut *to) };
    }
}

/// A `struct task_struct *`.
#[derive(Clone, Copy)]
pub struct Task<A> {
    address: *const u8,
    access: PhantomData<A>,
}

impl Task<Typed> {
    /// # Safety
    /// `address` must come from a BTF-typed program argument.
    #[inline(always)]
    pub unsafe fn typed(address: *const u8) -> Self {
        Self {
            address,
            access: PhantomData,
        }
    }
}

impl Task<Probed> {
    #[inline(always)]
    pub fn probed(address: u64) -> Self {
        Self {
            address: address as *const u8,
            access: PhantomData,
        }
    }
}

impl<A: Access> Task<A> {
    /// # Safety
    /// `address` must be one that `A` can read.
    #[inline(always)]
    pub unsafe fn at(address: *const u8) -> Self {
        Self {
            address,
            access: PhantomData,
        }
    }

    #[inline(always)]
    fn read<T: Copy>(self, offset: u32) -> T {
        // SAFETY: whoever made this task vouched for the address.
        unsafe { A::read(self.address, offset) }
    }

    #[inline(always)]
    fn pointee(self, offset: u32) -> Self {
        Self {
            address: self.read::<*const u8>(offset),
            access: PhantomData,
        }
    }

    #[inline(always)]
    pub fn address(self) -> u64 {
        self.address as u64
    }

    #[inline(always)]
    pub fn pid(self) -> u32 {
        self.read(TASK_PID.load())
    }

    #[inline(always)]
    pub fn tgid(self) -> u32 {
        self.read(TASK_TGID.load())
    }

    #[inline(always)]
    pub fn flags(self) -> u32 {
        self.read(TASK_FLAGS.load())
    }

    #[inline(always)]
    pub fn is_kthread(self) -> bool {
        self.flags() & PF_KTHREAD != 0
    }

    #[inline(always)]
    pub fn exit_state(self) -> u32 {
        self.read(TASK_EXIT_STATE.load())
    }

    #[inline(always)]
    pub fn exit_signal(self) -> u32 {
        self.read(TASK_EXIT_SIGNAL.load())
    }

    #[inline(always)]
    pub fn start_boottime(self) -> u64 {
        self.read(TASK_START_BOOTTIME.load())
    }

    #[inline(always)]
    pub fn exec_start(self) -> u64 {
        self.read(TASK_EXEC_START.load())
    }

    /// How long it has stood in run queues, ns; only where the kernel keeps account of it.
    #[inline(always)]
    pub fn run_delay(self) -> u64 {
        self.read(TASK_RUN_DELAY.load())
    }

    /// It sleeps until something happens (`TASK_INTERRUPTIBLE`).
    #[inline(always)]
    pub fn is_sleeping(self) -> bool {
        self.read::<u32>(TASK_STATE.load()) & TASK_INTERRUPTIBLE != 0
    }

    #[inline(always)]
    pub fn cpu(self) -> u32 {
        self.read(TASK_CPU.load())
    }

    #[inline(always)]
    pub fn ptrace(self) -> u32 {
        self.read(TASK_PTRACE.load())
    }

    #[inline(always)]
    pub fn is_traced(self) -> bool {
        self.ptrace() != 0
    }

    #[inline(always)]
    pub fn group_leader(self) -> Self {
        self.pointee(TASK_GROUP_LEADER.load())
    }

    #[inline(always)]
    pub fn real_parent(self) -> Self {
        self.pointee(TASK_REAL_PARENT.load())
    }

    /// Who is notified of its end: its tracer if it has one, else its real parent.
    #[inline(always)]
    pub fn parent(self) -> Self {
        self.pointee(TASK_PARENT.load())
    }

    /// The real user id, as the initial user namespace sees it (`from_kuid(&init_user_ns, …)`).
    #[inline(always)]
    pub fn uid(self) -> u32 {
        // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
        unsafe { A::read(self.read(TASK_REAL_CRED.load()), CRED_UID.load()) }
    }

    /// # Safety
    /// `to` must be valid for a write of [`COMM_LEN`] bytes, and aligned to 8.
    #[inline(always)]
    pub unsafe fn read_comm(self, to: *mut [u8; COMM_LEN]) {
        // SAFETY: whoever made this task vouched for the address, and the caller vouches for `to`.
        unsafe { A::read_comm(self.address, TASK_COMM.load(), to) }
    }

    #[inline(always)]
    fn signal(self) -> *const u8 {
        self.read(TASK_SIGNAL.load())
    }

    /// How many threads of its group have not passed do_exit's `atomic_dec(&signal->live)`.
    #[inline(always)]
    pub fn live_threads(self) -> u32 {
        // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
        unsafe { A::read(self.signal(), SIGNAL_LIVE.load()) }
    }

    /// How many threads of its group are not released yet.
    #[inline(always)]
    pub fn threads(self) -> u32 {
        // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
        unsafe { A::read(self.signal(), SIGNAL_NR_THREADS.load()) }
    }

    #[inline(always)]
    pub fn in_group_exit(self) -> bool {
        // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
        unsafe { A::read::<u32>(self.signal(), SIGNAL_FLAGS.load()) & SIGNAL_GROUP_EXIT != 0 }
    }

    /// Whether a thread of its group waits for a child; true if that can't be seen.
    #[inline(always)]
    pub fn may_wait(self) -> bool {
        let offset = SIGNAL_WAITERS.load();
        if offset == MISSING {
            return true;
        }
        let signal = self.signal();
        // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
        let first: u64 = unsafe { A::read(signal, offset) };
        // The list is a ring: an empty one points to its own head, whose first field that is.
        first != signal as u64 + u64::from(offset)
    }

    /// How often it, or an ancestor before it forked, had called exec.
    #[inline(always)]
    pub fn self_exec_id(self) -> u64 {
        self.read(TASK_SELF_EXEC_ID.load())
    }

    /// The `self_exec_id` of who made it, at that time.
    #[inline(always)]
    pub fn parent_exec_id(self) -> u64 {
        self.read(TASK_PARENT_EXEC_ID.load())
    }

    /// Whether children of others can have become its own: it is the init of a pid namespace, which
    /// the kernel marks as unkillable until it ends, or a subreaper.
    #[inline(always)]
    pub fn may_have_adopted(self) -> bool {
        let bit = SIGNAL_IS_SUBREAPER.load();
        if bit == MISSING {
            return true;
        }
        let signal = self.signal();
        // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
        unsafe {
            let flags: u32 = A::read(signal, SIGNAL_FLAGS.load());
            flags & (SIGNAL_UNKILLABLE | SIGNAL_GROUP_EXIT) != 0
                || A::read::<u8>(signal, bit / 8) & (1 << (bit % 8)) != 0
        }
    }

    /// The status that a wait for this leader reports (wait_task_zombie, kernel/exit.c).
    #[inline(always)]
    pub fn wait_status(self) -> u32 {
        let signal = self.signal();
        // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
        unsafe {
            if A::read::<u32>(signal, SIGNAL_FLAGS.load()) & SIGNAL_GROUP_EXIT != 0 {
                A::read(signal, SIGNAL_GROUP_EXIT_CODE.load())
            } else {
                self.read(TASK_EXIT_CODE.load())
            }
        }
    }

    /// It has a handler for SIGCHLD.
    #[inline(always)]
    pub fn handles_children(self) -> bool {
        // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
        unsafe {
            let sighand: *const u8 = self.read(TASK_SIGHAND.load());
            A::read::<u64>(sighand, SIGHAND_CHLD_HANDLER.load()) > SIG_IGN
        }
    }

    /// Its SIGCHLD disposition lets the kernel reap its children (do_notify_parent).
    #[inline(always)]
    pub fn ignores_children(self) -> bool {
        // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
        unsafe {
            let sighand: *const u8 = self.read(TASK_SIGHAND.load());
            A::read::<u64>(sighand, SIGHAND_CHLD_HANDLER.load()) == SIG_IGN
                || A::read::<u64>(sighand, SIGHAND_CHLD_FLAGS.load()) & SA_NOCLDWAIT != 0
        }
    }

    /// Id of its cgroup in the default (v2) hierarchy: the inode number of its directory. A zombie
    /// keeps the one that it died in.
    #[inline(always)]
    pub fn cgroup_id(self) -> u64 {
        // SAFETY: each pointer is read from the one before, the first from the task, so all can be
        // read as the task can.
        unsafe {
            let set: *const u8 = self.read(TASK_CGROUPS.load());
            let cgroup: *const u8 = A::read(set, CSS_SET_DFL_CGRP.load());
            let node: *const u8 = A::read(cgroup, CGROUP_KN.load());
            A::read(node, KERNFS_NODE_ID.load())
        }
    }

    /// Its cgroup in the default (v2) hierarchy, to go up from.
    #[inline(always)]
    pub fn cgroup(self) -> Cgroup {
        let set: *const u8 = self.read(TASK_CGROUPS.load());
        Cgroup {
            // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
            address: unsafe { Probed::read(set, CSS_SET_DFL_CGRP.load()) },
        }
    }

    /// Its UTS namespace; only while it has namespaces (exit_task_namespaces, kernel/nsproxy.c, which
    /// do_exit calls after `sched_process_exit`).
    #[inline(always)]
    pub fn uts_namespace(self) -> UtsNamespace<A> {
        UtsNamespace {
            // SAFETY: the pointer comes from the task itself, so it can be read as the task can.
            address: unsafe { A::read(self.read(TASK_NSPROXY.load()), NSPROXY_UTS.load()) },
            access: PhantomData,
        }
    }

    /// Its numbers, one per pid namespace; only while it is not released.
    #[inline(always)]
    pub fn thread_pid(self) -> PidNumbers<A> {
        PidNumbers {
            pid: self.read(TASK_THREAD_PID.load()),
            access: PhantomData,
        }
    }

    /// The lowest address of its kernel stack.
    #[inline(always)]
    pub fn stack(self) -> *const u8 {
        self.read(TASK_STACK.load())
    }

    /// Its active pid namespace as a key of aliases: 0 for the initial one.
    #[inline(always)]
    pub fn pid_namespace(self) -> u64 {
        let numbers = self.thread_pid();
        let level = numbers.level();
        if level == 0 { 0 } else { numbers.at(level).ns }
    }
}

/// A `struct cgroup *`.
#[derive(Clone, Copy)]
pub struct Cgroup {
    address: *const u8,
}

impl Cgroup {
    #[inline(always)]
    pub fn probed(address: u64) -> Self {
        Self {
            address: address as *const u8,
        }
    }

    /// Its id: the inode number of its directory.
    #[inline(always)]
    pub fn id(self) -> u64 {
        // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
        unsafe {
            let node: *const u8 = Probed::read(self.address, CGROUP_KN.load());
            Probed::read(node, KERNFS_NODE_ID.load())
        }
    }

    /// Where its name is.
    #[inline(always)]
    pub fn name(self) -> *const u8 {
        // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
        unsafe {
            let node: *const u8 = Probed::read(self.address, CGROUP_KN.load());
            Probed::read(node, KERNFS_NODE_NAME.load())
        }
    }

    /// Whether it is in the default (v2) hierarchy, which has the number 0 (cgroup_init_root_id,
    /// kernel/cgroup/cgroup.c; 5.10 to 7.3).
    #[inline(always)]
    pub fn is_v2(self) -> bool {
        // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
        unsafe {
            let root: *const u8 = Probed::read(self.address, CGROUP_ROOT.load());
            Probed::read::<u32>(root, CGROUP_ROOT_HIERARCHY.load()) == 0
        }
    }

    /// The one above it; `None` above the root.
    #[inline(always)]
    pub fn parent(self) -> Option<Self> {
        // `cgroup.self` is the first member, so that its parent's address is the cgroup's.
        // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
        let address: *const u8 = unsafe { Probed::read(self.address, CGROUP_PARENT.load()) };
        (!address.is_null()).then_some(Self { address })
    }
}

/// A `struct uts_namespace *`.
#[derive(Clone, Copy)]
pub struct UtsNamespace<A> {
    address: *const u8,
    access: PhantomData<A>,
}

impl<A: Access> UtsNamespace<A> {
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.address as u64
    }

    /// Whether it is one other than the machine's.
    #[inline(always)]
    pub fn has_own_name(self) -> bool {
        /// `PROC_UTS_INIT_INO` (include/linux/proc_ns.h; 5.10 to 7.3).
        const INITIAL: u32 = 0xeffffffe;
        // 0 if there is none any more.
        // SAFETY: the address was read from a task, so it can be read as the task can.
        let inum: u32 = unsafe { A::read(self.address, UTSNS_INUM.load()) };
        inum != INITIAL && inum != 0
    }

    #[inline(always)]
    pub fn host_name(self) -> [u8; HOST_NAME_LEN] {
        // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
        unsafe { Probed::read(self.address, UTSNS_NODENAME.load()) }
    }
}

/// A `struct pid *`.
#[derive(Clone, Copy)]
pub struct PidNumbers<A> {
    pid: *const u8,
    access: PhantomData<A>,
}

impl<A: Access> PidNumbers<A> {
    /// The level of the innermost namespace; 0 is the initial one.
    #[inline(always)]
    pub fn level(self) -> u32 {
        // SAFETY: the address was read from a task, so it can be read as the task can.
        unsafe { A::read(self.pid, PID_LEVEL.load()) }
    }

    /// The number at a level of 0 to [`level`](Self::level).
    #[inline(always)]
    pub fn at(self, level: u32) -> Alias {
        // A variable index into a flexible array needs the helper, whatever the pointer is.
        // sizeof(struct upid) is 16: an int and a pointer.
        let upid =
            (self.pid as u64 + u64::from(PID_NUMBERS.load()) + u64::from(level) * 16) as *const u8;
        // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
        unsafe {
            Alias {
                ns: Probed::read(upid, UPID_NS.load()),
                nr: Probed::read(upid, UPID_NR.load()),
                reserved: 0,
            }
        }
    }
}

/// Inode number of a pid namespace, given the address of the `pid_namespace`.
#[inline(always)]
pub fn pid_namespace_inum(ns: u64) -> u32 {
    // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
    unsafe { Probed::read(ns as *const u8, PIDNS_INUM.load()) }
}
