//! What one process can take from another of its user.

use std::{fs, io};

/// `steal PID`: tries to take every descriptor of a process, and prints what it has got.
pub(crate) fn steal(args: &[String]) {
    /// The tracer has far fewer.
    const DESCRIPTORS: libc::c_int = 512;
    let pid: libc::pid_t = args[0].parse().expect("steal PID");
    // SAFETY: no pointers.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    assert!(process >= 0, "pidfd_open: {}", io::Error::last_os_error());
    for fd in 0..DESCRIPTORS {
        // SAFETY: no pointers.
        let taken = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, fd, 0) };
        if taken >= 0 {
            let target = fs::read_link(format!("/proc/self/fd/{taken}"));
            println!("taken: {fd} {}", target.unwrap_or_default().display());
        }
    }
    println!("done");
    // Nobody is interested in its own end.
    crate::sys::exit_group(0);
}
