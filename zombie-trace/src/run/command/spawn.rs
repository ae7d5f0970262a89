//! Fork and exec.
//!
//! The standard library's own waits for exec without an end, and resets signal mask and SIGPIPE.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    ptr,
};

use libc::{c_char, c_int, c_uint};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::signal::{SigSet, SigmaskHow, pthread_sigmask},
    unistd::{ForkResult, Pid, fork, pipe2, setsid},
};

use super::{
    Program, Terminal,
    failure::{ChildStage, Failure},
};
use crate::{run::signals::Inherited, system::scheduling};

/// A child on its way to exec.
pub(super) struct Spawned {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    /// What [`failure`] reads.
    pub(super) failure: OwnedFd,
}

/// Forks a child that executes the program.
pub(super) fn spawn(
    program: &Program,
    inherited: &Inherited,
    terminal: Option<&Terminal>,
) -> io::Result<Spawned> {
    // Made ready now, as the child may not allocate memory.
    let args = pointers(&program.args);
    let environment = pointers(&program.environment);
    let (failure, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    // A signal for the child must not end in a handler of ours: it stays pending until the child
    // has its own dispositions.
    let mut mask = SigSet::empty();
    pthread_sigmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut mask),
    )?;
    // SAFETY: the child makes system calls only.
    let forked = match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let failure = become_program(program, &args, &environment, inherited, terminal, &write);
            let bytes = failure.to_bytes();
            // SAFETY: the bytes live; _exit does not return.
            unsafe {
                libc::write(write.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
                libc::_exit(127)
            }
        }
        Ok(ForkResult::Parent { child }) => Ok(child),
        Err(error) => Err(error),
    };
    mask.thread_set_mask()?;
    let pid = forked?;
    let pidfd = pidfd(pid).inspect_err(|_| {
        // Nobody could wait for it. It is not reaped yet, so that the pid is its own.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(pid, None);
    })?;
    Ok(Spawned {
        pid,
        pidfd,
        failure,
    })
}

/// Whether something has gone wrong, which [`failure`] then reads.
pub(super) fn has_failed(pipe: &OwnedFd) -> bool {
    let mut waiting: c_int = 0;
    // SAFETY: the kernel writes a number there (FIONREAD, ioctl_tty(2)).
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
    result == 0 && waiting > 0
}

/// What went wrong, if anything has so far.
pub(super) fn failure(pipe: &OwnedFd) -> Option<Failure> {
    let mut bytes = [0; 5];
    File::from(pipe.try_clone().ok()?)
        .read_exact(&mut bytes)
        .ok()?;
    Failure::from_bytes(bytes)
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr());
    pointers.chain([ptr::null()]).collect()
}

fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new, and nobody else's.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0);
        Ok(OwnedFd::from_raw_fd(Errno::result(fd)? as RawFd))
    }
}

/// What the child does: it returns only if something fails. Async-signal-safe.
fn become_program(
    program: &Program,
    args: &[*const c_char],
    environment: &[*const c_char],
    inherited: &Inherited,
    terminal: Option<&Terminal>,
    failure: &OwnedFd,
) -> Failure {
    let failed = |stage| move |error| Failure { stage, error };
    let prepared = (|| {
        if let Some(login) = &program.login {
            // Out of reach of the caller's terminal.
            setsid().map_err(failed(ChildStage::Terminal))?;
            if let Some(terminal) = terminal {
                terminal.take().map_err(failed(ChildStage::Terminal))?;
            }
            close_all_but(failure.as_raw_fd());
            login.assume().map_err(failed(ChildStage::Identity))?;
        } else if let Some(terminal) = terminal {
            setsid().map_err(failed(ChildStage::Terminal))?;
            terminal.take().map_err(failed(ChildStage::Terminal))?;
        }
        scheduling::restore();
        inherited.restore().map_err(failed(ChildStage::Exec))
    })();
    match prepared {
        Ok(()) => Failure {
            stage: ChildStage::Exec,
            error: exec(&program.paths, args, environment),
        },
        Err(failure) => failure,
    }
}

/// As execvp(3), without its recourse to a shell.
fn exec(paths: &[CString], args: &[*const c_char], environment: &[*const c_char]) -> Errno {
    let mut outcome = Errno::ENOENT;
    for path in paths {
        match execve(path, args, environment) {
            // Another directory may have it.
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => outcome = Errno::EACCES,
            error => return error,
        }
    }
    outcome
}

fn execve(path: &CStr, args: &[*const c_char], environment: &[*const c_char]) -> Errno {
    // SAFETY: both arrays end in a null pointer, and all strings live.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

/// Closes every descriptor but the standard ones and this one.
fn close_all_but(kept: RawFd) {
    let kept = kept.cast_unsigned();
    close_range(3, kept - 1);
    close_range(kept + 1, c_uint::MAX);
}

fn close_range(first: c_uint, last: c_uint) {
    if first > last {
        return;
    }
    // SAFETY: no pointers; the child uses none of these descriptors any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result < 0 {
        // A seccomp filter that is older than the system call (5.9).
        for fd in first..=last.min(1 << 16) {
            // SAFETY: as above.
            unsafe { libc::close(fd.cast_signed()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_cross_the_pipe() {
        for stage in [ChildStage::Terminal, ChildStage::Identity, ChildStage::Exec] {
            let failure = Failure {
                stage,
                error: Errno::ENOEXEC,
            };
            assert_eq!(Failure::from_bytes(failure.to_bytes()), Some(failure));
        }
        assert_eq!(Failure::from_bytes([9, 0, 0, 0, 0]), None);
    }
}
