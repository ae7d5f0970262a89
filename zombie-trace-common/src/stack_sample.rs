/// Stacks are copied in pieces of this size. Every page is a multiple of it.
pub const STACK_PAGE: usize = 4096;

/// How many pages of the user stack a sample holds, starting with the one that the stack pointer is in.
pub const STACK_PAGES: usize = 3;

/// Bytes of [`StackSample::stack`].
pub const STACK_LEN: usize = STACK_PAGE * STACK_PAGES;

/// Below the stack pointer, a function that calls no other may use as many bytes (System V ABI).
pub const RED_ZONE: u64 = 128;

/// Room for the user registers: `struct pt_regs` on x86-64 (21), `struct user_pt_regs` on arm64 (34).
pub const REGISTERS_LEN: usize = 34;

/// What one thread was doing: its user registers, and the top of its user stack.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct StackSample {
    /// When it was taken: `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// The thread's `start_boottime`, ns: tells a reused id apart.
    pub start_boottime: u64,
    /// The address of its `mm_struct`; 0 for a kernel thread.
    pub mm: u64,
    /// `mm->total_vm` and `mm->exec_vm`, in pages: they change when files are mapped.
    pub total_vm: u64,
    /// See [`total_vm`](Self::total_vm).
    pub exec_vm: u64,
    /// `nvcsw + nivcsw`: how often it had been switched away from.
    pub switches: u64,
    /// `se.sum_exec_runtime`: how long it has run, ns.
    pub run: u64,
    /// `sched_info.run_delay`: how long it has waited for a CPU, ns; `u64::MAX` if the kernel does not
    /// count that.
    pub run_delay: u64,
    /// The address of the first byte of `stack`.
    pub stack_start: u64,
    /// The user registers, as the architecture's structure has them.
    pub registers: [u64; REGISTERS_LEN],
    /// How many bytes of `stack` are the thread's.
    pub stack_len: u32,
    /// The thread, as the initial pid namespace numbers it.
    pub tid: u32,
    /// Its process, likewise.
    pub tgid: u32,
    /// `mm->map_count`.
    pub map_count: u32,
    /// `task->__state`.
    pub state: u32,
    /// One of [`verdict`].
    pub verdict: u32,
    /// The user stack from `stack_start` on.
    pub stack: [u8; STACK_LEN],
}

const _: () = assert!(size_of::<StackSample>() == (9 + REGISTERS_LEN) * 8 + 6 * 4 + STACK_LEN);
const _: () = assert!(align_of::<StackSample>() == 8);

/// Values of [`StackSample::verdict`].
pub mod verdict {
    /// Registers and stack belong together.
    pub const WHOLE: u32 = 1;
    /// The thread was on a CPU: it has no registers that could be read.
    pub const RUNNING: u32 = 2;
    /// The thread ran while it was copied.
    pub const MOVED: u32 = 3;
    /// The registers or the page at the stack pointer could not be read.
    pub const UNREADABLE: u32 = 4;
    /// It runs 32-bit code.
    pub const COMPAT: u32 = 5;
    /// It has no user memory: a kernel thread, or a thread that exits.
    pub const NO_MEMORY: u32 = 6;
}
