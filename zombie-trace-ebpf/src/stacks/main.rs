//! zombie-trace's eBPF programs that copy the user stacks of threads. They are an object of their own:
//! where the kernel refuses them, tracing goes on.
//!
//! The thread is not stopped and notices nothing. Its registers and its stack belong together only if it
//! did not run meanwhile: see [`thread_stack`].

#![no_std]
#![no_main]

use aya_ebpf::{
    Global,
    bindings::task_struct,
    cty::c_void,
    helpers::{
        bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_probe_read_kernel, bpf_seq_write,
        bpf_task_pt_regs,
        generated::{self, bpf_copy_from_user_task, bpf_probe_read_user},
    },
    macros::map,
    maps::{Array, RingBuf},
};
use zombie_trace_common::{
    MISSING, RED_ZONE, STACK_PAGE, STACK_PAGES, StackSample, arch::ARM64, verdict,
};

macro_rules! define_offsets {
    ($($necessity:ident $name:ident: $($path:literal),+;)*) => {
        $(
            #[unsafe(no_mangle)]
            static $name: Global<u32> = Global::new(MISSING);
        )*
    };
}

zombie_trace_common::for_each_stack_offset!(define_offsets);

/// The kernel's architecture: one of [`zombie_trace_common::arch`].
#[unsafe(no_mangle)]
static ARCH: Global<u8> = Global::new(0);

/// The size is a placeholder: user space sets it before it creates the map.
#[map]
static RUNNING_STACKS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Where a sample is put together: it is too large for the stack. User space walks with one thread, so
/// that nobody else writes to it.
#[map]
static SAMPLE: Array<StackSample> = Array::with_max_entries(1, 0);

/// `struct bpf_iter__task` (kernel/bpf/task_iter.c).
#[repr(C)]
struct TaskIteration {
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

/// `struct pt_regs` (arch/x86/include/asm/ptrace.h), in words.
mod x86 {
    pub const LEN: usize = 21;
    pub const CS: usize = 17;
    pub const SP: usize = 19;
    /// `__USER_CS`
    pub const CS_64_BIT: u64 = 0x33;
}

/// `struct user_pt_regs` (arch/arm64/include/uapi/asm/ptrace.h), in words.
mod arm64 {
    pub const LEN: usize = 34;
    pub const SP: usize = 31;
    pub const PSTATE: usize = 33;
    /// `PSR_MODE32_BIT`
    pub const MODE_32_BIT: u64 = 0x10;
}

/// Copies the registers and the stack of a thread that is not on a CPU. User space runs it for one
/// thread at a time.
///
/// Whoever comes to run is marked as being on a CPU before it runs, and counted as switched away from
/// before that mark goes. So if neither the mark is there nor the count has changed once all is copied,
/// the thread did not run in between.
#[unsafe(link_section = "iter.s/task")]
#[unsafe(no_mangle)]
fn thread_stack(ctx: *mut c_void) -> i32 {
    let iteration = ctx.cast::<TaskIteration>();
    // SAFETY: `ctx` is what the kernel passes to an iterator over tasks.
    let task = unsafe { (*iteration).task };
    let Some(sample) = SAMPLE.get_ptr_mut(0) else {
        return 0;
    };
    if task.is_null() {
        return 0;
    }
    // SAFETY: `sample` is a map value that no other program writes to; the kernel holds a reference to
    // the task, and gives a valid sequence file to write to.
    unsafe {
        describe(sample, task);
        (*sample).verdict = copy(sample, task);
        bpf_seq_write(
            (*(*iteration).meta).seq.cast(),
            sample.cast(),
            size_of::<StackSample>() as u32,
        );
    }
    0
}

/// Copies the registers and the stack of the running thread, when the clock of its perf event ticks.
#[unsafe(link_section = "perf_event")]
#[unsafe(no_mangle)]
fn running_stack(_: *mut c_void) -> i32 {
    let Some(mut entry) = RUNNING_STACKS.reserve::<StackSample>(0) else {
        return 0;
    };
    let sample = entry.as_mut_ptr();
    // SAFETY: the ring buffer has reserved room for a sample, and the running task is there.
    unsafe {
        let task: *mut task_struct = bpf_get_current_task_btf().cast();
        describe(sample, task.cast());
        (*sample).verdict = match copy_registers(sample, task) {
            Err(verdict) => verdict,
            Ok(stack_pointer) => copy_stack(sample, stack_pointer, |to, from| {
                bpf_probe_read_user(to, STACK_PAGE as u32, from) == 0
            }),
        };
    }
    entry.submit(0);
    0
}

/// Gives the verdict.
///
/// # Safety
/// `sample` must be valid for writes, `task` be the kernel's argument.
#[inline(always)]
unsafe fn copy(sample: *mut StackSample, task: *const u8) -> u32 {
    // SAFETY: the caller vouches for both.
    unsafe {
        if (*sample).mm == 0 {
            return verdict::NO_MEMORY;
        }
        if on_cpu(task) {
            return verdict::RUNNING;
        }
        let stack_pointer = match copy_registers(sample, task.cast_mut().cast()) {
            Ok(stack_pointer) => stack_pointer,
            Err(verdict) => return verdict,
        };
        let found = copy_stack(sample, stack_pointer, |to, from| {
            bpf_copy_from_user_task(to, STACK_PAGE as u32, from, task.cast_mut().cast(), 0) == 0
        });
        if on_cpu(task) || switches(task) != (*sample).switches {
            return verdict::MOVED;
        }
        found
    }
}

/// # Safety
/// `sample` must be valid for writes.
#[inline(always)]
unsafe fn describe(sample: *mut StackSample, task: *const u8) {
    // SAFETY: the caller vouches for `sample`.
    unsafe {
        (*sample).time = bpf_ktime_get_ns();
        (*sample).start_boottime = read(task, &TASK_START_BOOTTIME);
        let mm: u64 = read(task, &TASK_MM);
        (*sample).mm = mm;
        (*sample).total_vm = read(mm as *const u8, &MM_TOTAL_VM);
        (*sample).exec_vm = read(mm as *const u8, &MM_EXEC_VM);
        (*sample).map_count = read(mm as *const u8, &MM_MAP_COUNT);
        (*sample).tid = read(task, &TASK_PID);
        (*sample).tgid = read(task, &TASK_TGID);
        (*sample).state = read(task, &TASK_STATE);
        (*sample).switches = switches(task);
        (*sample).run = read(task, &TASK_RUN);
        (*sample).run_delay = match TASK_RUN_DELAY.load() {
            MISSING => u64::MAX,
            _ => read(task, &TASK_RUN_DELAY),
        };
        (*sample).stack_start = 0;
        (*sample).stack_len = 0;
    }
}

/// Gives the stack pointer, or the verdict.
///
/// # Safety
/// `sample` must be valid for writes, `task` a task that the verifier knows.
#[inline(always)]
unsafe fn copy_registers(sample: *mut StackSample, task: *mut task_struct) -> Result<u64, u32> {
    let is_arm64 = ARCH.load() == ARM64;
    let words = if is_arm64 { arm64::LEN } else { x86::LEN };
    // SAFETY: the caller vouches for both. `registers` has room for as many words, and the helper reads
    // any address.
    unsafe {
        let from = bpf_task_pt_regs(task) as *const c_void;
        let to = &raw mut (*sample).registers;
        // Not by way of the stack, which has no room for them.
        if generated::bpf_probe_read_kernel(to.cast(), (words * 8) as u32, from) != 0 {
            return Err(verdict::UNREADABLE);
        }
        if is_arm64 {
            match (*to)[arm64::PSTATE] & arm64::MODE_32_BIT {
                0 => Ok((*to)[arm64::SP]),
                _ => Err(verdict::COMPAT),
            }
        } else {
            match (*to)[x86::CS] {
                x86::CS_64_BIT => Ok((*to)[x86::SP]),
                _ => Err(verdict::COMPAT),
            }
        }
    }
}

/// Copies page by page: beyond the stack's end there may be nothing. Gives the verdict.
///
/// # Safety
/// `sample` must be valid for writes.
#[inline(always)]
unsafe fn copy_stack(
    sample: *mut StackSample,
    stack_pointer: u64,
    read: impl Fn(*mut c_void, *const c_void) -> bool,
) -> u32 {
    let start = stack_pointer.wrapping_sub(RED_ZONE) & !(STACK_PAGE as u64 - 1);
    // SAFETY: the caller vouches for `sample`, whose stack has room for as many pages.
    unsafe {
        let stack = (&raw mut (*sample).stack).cast::<u8>();
        let mut from = start;
        let mut pages: u32 = 0;
        for page in 0..STACK_PAGES {
            if !read(stack.add(page * STACK_PAGE).cast(), from as *const c_void) {
                break;
            }
            pages += 1;
            from = from.wrapping_add(STACK_PAGE as u64);
        }
        (*sample).stack_start = start;
        (*sample).stack_len = pages * STACK_PAGE as u32;
        match pages {
            0 => verdict::UNREADABLE,
            _ => verdict::WHOLE,
        }
    }
}

/// How often it was switched away from.
///
/// # Safety
/// None beyond that of [`read`].
#[inline(always)]
unsafe fn switches(task: *const u8) -> u64 {
    // SAFETY: the helper reads any address.
    unsafe { read::<u64>(task, &TASK_NVCSW).wrapping_add(read(task, &TASK_NIVCSW)) }
}

/// The field is an `int` up to 7.2, a byte later.
#[inline(always)]
unsafe fn on_cpu(task: *const u8) -> bool {
    // SAFETY: the helper reads any address.
    unsafe { read::<u8>(task, &TASK_ON_CPU) != 0 }
}

/// Reads by helper: zero where there is no memory.
///
/// # Safety
/// Zeroes must be a valid `T`.
#[inline(always)]
unsafe fn read<T: Copy>(base: *const u8, offset: &Global<u32>) -> T {
    // SAFETY: the helper reads any address.
    unsafe {
        bpf_probe_read_kernel(base.wrapping_add(offset.load() as usize).cast::<T>())
            .unwrap_or_else(|_| core::mem::zeroed())
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The helpers that read kernel memory are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
