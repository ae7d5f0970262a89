//! The floor: programs that do nothing, at the five hooks that one process runs through in our
//! tracepoint backend. What they cost, no tracer with these hooks can save.
//!
//! `bench floor` loads them, waits for SIGINT and ends, so that it can be measured as any tracer is.

use std::{
    ffi::CStr,
    fs,
    io::{self, Error},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    ptr,
};

/// What the programs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// Nothing.
    Empty,
    /// Four of them read the clock: exit, zombie, start of the wait, reap.
    Clocks,
}

/// A hook, and whether its program needs the time.
const RAW: [(&CStr, bool); 4] = [
    (c"sched_process_exit", true),
    (c"signal_generate", true),
    (c"sched_process_wait", true),
    (c"sched_process_free", false),
];
/// As ours does: a tracepoint of the one system call, and not of all.
const SYSCALL: &str = "/sys/kernel/tracing/events/syscalls/sys_exit_wait4/id";

/// Attaches them and waits for SIGINT.
pub(crate) fn run(floor: Floor) -> Result<(), String> {
    let mut signals = signals()?;
    let reads = |needs_time| floor == Floor::Clocks && needs_time;
    let mut attached = Vec::new();
    for (hook, needs_time) in RAW {
        let error = |error| format!("{}: {error}", hook.to_string_lossy());
        let program = load(bpf::PROG_TYPE_RAW_TRACEPOINT, reads(needs_time)).map_err(error)?;
        attached.push(attach_raw(hook, &program).map_err(error)?);
        attached.push(program);
    }
    let error = |error| format!("{SYSCALL}: {error}");
    let program = load(bpf::PROG_TYPE_TRACEPOINT, reads(true)).map_err(error)?;
    attached.push(attach_syscall(&program).map_err(error)?);
    attached.push(program);
    let mut signal = 0;
    // SAFETY: both are valid for the call.
    let status = unsafe { libc::sigwait(&raw mut signals, &raw mut signal) };
    drop(attached);
    match status {
        0 => Ok(()),
        error => Err(Error::from_raw_os_error(error).to_string()),
    }
}

/// SIGINT, blocked.
fn signals() -> Result<libc::sigset_t, String> {
    // SAFETY: a set of signals is plain data, and the pointers are to ones that live.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, libc::SIGINT);
        match libc::sigprocmask(libc::SIG_BLOCK, &raw const signals, ptr::null_mut()) {
            0 => Ok(signals),
            _ => Err(Error::last_os_error().to_string()),
        }
    }
}

/// From include/uapi/linux/bpf.h.
mod bpf {
    pub(super) const PROG_LOAD: libc::c_int = 5;
    pub(super) const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
    pub(super) const PROG_TYPE_TRACEPOINT: u32 = 5;
    pub(super) const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;

    /// `struct bpf_insn`.
    #[repr(C)]
    pub(super) struct Instruction {
        pub(super) code: u8,
        pub(super) registers: u8,
        pub(super) offset: i16,
        pub(super) immediate: i32,
    }

    impl Instruction {
        const fn new(code: u8, immediate: i32) -> Self {
            Self {
                code,
                registers: 0,
                offset: 0,
                immediate,
            }
        }
    }

    /// `bpf_ktime_get_ns()`.
    pub(super) const READ_CLOCK: Instruction = Instruction::new(0x85, 5);
    /// `r0 = 0`.
    pub(super) const ZERO: Instruction = Instruction::new(0xb7, 0);
    pub(super) const EXIT: Instruction = Instruction::new(0x95, 0);

    /// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
    #[derive(Default)]
    #[repr(C)]
    pub(super) struct Load {
        pub(super) prog_type: u32,
        pub(super) insn_cnt: u32,
        pub(super) insns: u64,
        pub(super) license: u64,
        pub(super) log_level: u32,
        pub(super) log_size: u32,
        pub(super) log_buf: u64,
        pub(super) kern_version: u32,
        pub(super) prog_flags: u32,
        pub(super) prog_name: [u8; 16],
    }

    /// The same for `BPF_RAW_TRACEPOINT_OPEN`.
    #[derive(Default)]
    #[repr(C)]
    pub(super) struct Open {
        pub(super) name: u64,
        pub(super) prog_fd: u32,
        pub(super) reserved: u32,
    }
}

fn load(kind: u32, reads_clock: bool) -> io::Result<OwnedFd> {
    let program = match reads_clock {
        true => &[bpf::READ_CLOCK, bpf::ZERO, bpf::EXIT][..],
        false => &[bpf::ZERO, bpf::EXIT],
    };
    let mut prog_name = [0; 16];
    prog_name[..5].copy_from_slice(b"floor");
    let attributes = bpf::Load {
        prog_type: kind,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        prog_name,
        ..bpf::Load::default()
    };
    call(bpf::PROG_LOAD, &attributes)
}

fn attach_raw(hook: &CStr, program: &OwnedFd) -> io::Result<OwnedFd> {
    let attributes = bpf::Open {
        name: hook.as_ptr() as u64,
        prog_fd: program.as_raw_fd().cast_unsigned(),
        ..bpf::Open::default()
    };
    call(bpf::RAW_TRACEPOINT_OPEN, &attributes)
}

/// bpf(2).
fn call<A>(command: libc::c_int, attributes: &A) -> io::Result<OwnedFd> {
    let attributes: *const A = attributes;
    // SAFETY: the kernel reads as many bytes, and what the attributes point to is valid meanwhile.
    descriptor(unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<A>()) })
}

/// The first fields of `struct perf_event_attr` (PERF_ATTR_SIZE_VER0).
#[derive(Default)]
#[repr(C)]
struct PerfEvent {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

fn attach_syscall(program: &OwnedFd) -> io::Result<OwnedFd> {
    const PERF_TYPE_TRACEPOINT: u32 = 2;
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    const ENABLE: libc::c_ulong = 0x2400;
    let id = fs::read_to_string(SYSCALL)?;
    let event = PerfEvent {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<PerfEvent>() as u32,
        config: id.trim().parse().map_err(Error::other)?,
        sample_period: 1,
        wakeup_events: 1,
        ..PerfEvent::default()
    };
    let (event, any_process, cpu, no_group, no_flags) = (&raw const event, -1, 0, -1, 0);
    // SAFETY: the kernel reads as many bytes as the event says it has.
    let fd = descriptor(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            event,
            any_process,
            cpu,
            no_group,
            no_flags,
        )
    })?;
    // A program of a tracepoint runs on all CPUs, whichever its event is for.
    for (request, argument) in [(SET_BPF, program.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: neither request takes a pointer.
        if unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) } != 0 {
            return Err(Error::last_os_error());
        }
    }
    Ok(fd)
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(result) {
        // SAFETY: the kernel has just made it for us.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_kernel_s() {
        assert_eq!(size_of::<bpf::Instruction>(), 8);
        assert_eq!(size_of::<bpf::Load>(), 64);
        assert_eq!(size_of::<bpf::Open>(), 16);
        // PERF_ATTR_SIZE_VER0.
        assert_eq!(size_of::<PerfEvent>(), 64);
    }
}
