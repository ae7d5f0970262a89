//! `signal_deliver` (get_signal, kernel/signal.c): a process takes a signal.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use super::signal_generate::SIGCHLD;
use crate::{
    current, phases,
    task::{Access, Typed},
};

/// `SIG_DFL` and `SIG_IGN` are no functions.
const FIRST_HANDLER: u64 = 2;

#[btf_tracepoint(function = "signal_deliver")]
pub fn signal_deliver(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<u32>(0) != SIGCHLD {
        return 0;
    }
    // `sa.sa_handler` is the first member of struct k_sigaction.
    // SAFETY: the third argument is a `struct k_sigaction *`, which BTF says too.
    let handler: u64 = unsafe { Typed::read(ctx.arg::<*const u8>(2), 0) };
    if handler >= FIRST_HANDLER {
        phases::handler_runs(current::task().group_leader());
    }
    0
}
