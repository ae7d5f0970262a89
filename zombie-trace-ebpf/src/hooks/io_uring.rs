//! `io_uring_complete`: IORING_OP_WAITID (6.7 and later) reaps without any wait system call.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use zombie_trace_common::how;

use super::reap::reaped_by_current;
use crate::{
    globals::{IO_KIOCB_CMD, IO_KIOCB_OPCODE, IO_WAITID_PID},
    task::{Access, Probed},
};

/// include/uapi/linux/io_uring.h
const IORING_OP_WAITID: u8 = 50;

#[btf_tracepoint(function = "io_uring_complete")]
pub fn io_uring_complete(ctx: BtfTracePointContext) -> i32 {
    let request = ctx.arg::<u64>(1) as *const u8;
    // SAFETY: `Probed` reads any address, and gives zeroes where there is no memory.
    unsafe {
        if Probed::read::<u8>(request, IO_KIOCB_OPCODE.load()) != IORING_OP_WAITID {
            return 0;
        }
        let pid: u32 = Probed::read(request, IO_KIOCB_CMD.load() + IO_WAITID_PID.load());
        if pid != 0 {
            reaped_by_current(pid, how::IO_URING);
        }
    }
    0
}
