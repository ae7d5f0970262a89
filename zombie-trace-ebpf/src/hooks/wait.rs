//! Waits: `sched_process_wait` (do_wait, kernel/exit.c), and what wait4(2) and waitid(2) return.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_user},
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use zombie_trace_common::how;

use super::reap::{reaped_by_current, untold_by_current};
use crate::{
    control, current,
    maps::{WAITIDS, WaitidArgs},
    phases,
    task::PF_EXITING,
};

const EFAULT: i64 = -14;
const P_PID: u32 = 1;
const WNOWAIT: u32 = 0x0100_0000;

/// Where the arguments and the result of a system call stand in its tracepoints' records
/// (`struct syscall_trace_enter` and `_exit`, kernel/trace/trace.h).
const ARGS: usize = 16;
const RETURN: usize = 16;

#[tracepoint(name = "sys_exit_wait4", category = "syscalls")]
pub fn sys_exit_wait4(ctx: TracePointContext) -> u32 {
    match return_value(&ctx) {
        pid if pid > 0 => reaped_by_current(pid as u32, how::WAIT4),
        // The child is reaped before its status is written (kernel_wait4's callers).
        EFAULT => untold_by_current(how::WAIT4, 0),
        _ => {}
    }
    0
}

#[tracepoint(name = "sys_enter_waitid", category = "syscalls")]
pub fn sys_enter_waitid(ctx: TracePointContext) -> u32 {
    let args = WaitidArgs {
        // SAFETY: the helper takes no arguments.
        entered: unsafe { bpf_ktime_get_ns() },
        which: argument(&ctx, 0) as u32,
        upid: argument(&ctx, 1) as u32,
        infop: argument(&ctx, 2),
        options: argument(&ctx, 3) as u32,
        reserved: 0,
    };
    // Without room the reap is seen when the child is freed.
    let _ = WAITIDS.insert(current::pid_tgid(), args, 0);
    0
}

#[tracepoint(name = "sys_exit_waitid", category = "syscalls")]
pub fn sys_exit_waitid(ctx: TracePointContext) -> u32 {
    let thread = current::pid_tgid();
    // Of a call whose begin was not seen nothing is known: it can have been one that reaps nothing.
    // SAFETY: only this thread inserts and removes its entry.
    let Some(args) = (unsafe { WAITIDS.get(thread) }) else {
        return 0;
    };
    let args = *args;
    let _ = WAITIDS.remove(thread);
    let returned = return_value(&ctx);
    if (returned != 0 && returned != EFAULT) || args.options & WNOWAIT != 0 {
        return 0;
    }
    match reaped_pid(&args, returned) {
        Some(0) => {}
        Some(pid) => reaped_by_current(pid, how::WAITID),
        None => untold_by_current(how::WAITID, args.entered),
    }
    0
}

/// The child that a successful waitid has waited for, 0 if there was none, `None` if the call does
/// not tell.
#[inline(always)]
fn reaped_pid(args: &WaitidArgs, returned: i64) -> Option<u32> {
    if args.which == P_PID {
        return Some(args.upid);
    }
    if returned != 0 || args.infop == 0 {
        return None;
    }
    // `si_pid` of siginfo_t.
    const SI_PID: u64 = if cfg!(target_pointer_width = "64") {
        16
    } else {
        12
    };
    // SAFETY: the helper reads any user address, and fails where there is no memory.
    unsafe { bpf_probe_read_user((args.infop + SI_PID) as *const u32) }.ok()
}

#[inline(always)]
fn argument(ctx: &TracePointContext, index: usize) -> u64 {
    // SAFETY: the record has six arguments; the caller's index is one of them.
    unsafe {
        ctx.as_ptr()
            .byte_add(ARGS + index * 8)
            .cast::<u64>()
            .read_volatile()
    }
}

#[inline(always)]
fn return_value(ctx: &TracePointContext) -> i64 {
    // SAFETY: the record of a system call's exit has its result there.
    unsafe { ctx.as_ptr().byte_add(RETURN).cast::<i64>().read_volatile() }
}

/// A wait begins, in any backend. The dying init of a pid namespace waits in the kernel for all that is left in it
/// (zap_pid_ns_processes, kernel/pid_namespace.c), which no system call shows.
#[btf_tracepoint(function = "sched_process_wait")]
pub fn process_wait(_ctx: BtfTracePointContext) -> i32 {
    let current = current::task();
    phases::wait_begins(current);
    // Only the tracepoint backend looks for what a wait has reaped.
    if control::infers_autoreap() && current.flags() & PF_EXITING != 0 {
        // SAFETY: the helper takes no arguments.
        untold_by_current(how::NS_TEARDOWN, unsafe { bpf_ktime_get_ns() });
    }
    0
}
