//! io_uring's WAITID: a reap without any wait system call.

use std::mem;

use io_uring::{IoUring, Probe, opcode};
use libc::{c_int, pid_t};

use crate::{
    process::{Proc, Refine},
    sys,
};

const USER_DATA: u64 = 42;

/// IORING_OP_WAITID since 6.7, if io_uring is allowed at all.
pub(crate) fn no_waitid() -> Option<String> {
    let ring = match IoUring::new(2) {
        Ok(ring) => ring,
        Err(error) => return Some(format!("io_uring_setup: {error}")),
    };
    let mut probe = Probe::new();
    if let Err(error) = ring.submitter().register_probe(&mut probe) {
        return Some(format!("IORING_REGISTER_PROBE: {error}"));
    }
    let supported = probe.is_supported(opcode::WaitId::CODE);
    (!supported).then(|| "this kernel's io_uring has no WAITID".into())
}

/// Waits for a child by io_uring.
fn wait(ring: &mut IoUring, pid: pid_t) -> Option<(pid_t, c_int)> {
    // SAFETY: all zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let entry = opcode::WaitId::new(libc::P_PID, pid as u32, libc::WEXITED)
        .infop(&raw mut info)
        .build()
        .user_data(USER_DATA);
    // SAFETY: `info` outlives the operation, which is waited for right here.
    unsafe { ring.submission().push(&entry) }.expect("an empty queue");
    while let Err(error) = ring.submit_and_wait(1) {
        assert_eq!(error.raw_os_error(), Some(libc::EINTR), "{error}");
    }
    let completion = ring.completion().next().expect("one completion");
    assert_eq!(
        (completion.user_data(), completion.result()),
        (USER_DATA, 0),
        "WAITID"
    );
    // SAFETY: filled in by the kernel as by waitid.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Some((pid, (status & 0xff) << 8))
}

/// The wait is there before the child ends.
pub(crate) fn blocked(_: &[String]) {
    let child = Proc::new("child");
    let mut ring = IoUring::new(2).unwrap_or_else(|_| sys::broken("io_uring_setup"));
    child.fork(|| {
        sys::sleep_ms(20);
        3
    });
    child.reap_by(|| wait(&mut ring, child.local_pid()));
    child.truth().how("io_uring").emit();
}

/// The zombie is there before the wait.
pub(crate) fn late(_: &[String]) {
    let child = Proc::new("child");
    let mut ring = IoUring::new(2).unwrap_or_else(|_| sys::broken("io_uring_setup"));
    child.fork(|| 3);
    child.poll_birth();
    sys::sleep_ms(20);
    child.reap_by(|| wait(&mut ring, child.local_pid()));
    child.truth().how("io_uring").emit();
}
