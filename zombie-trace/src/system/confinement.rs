//! What confines this process.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use nix::unistd::{geteuid, getuid};

/// Whether our user namespace is the one that the kernel asks for capabilities in.
pub(crate) fn in_initial_user_namespace() -> bool {
    /// `PROC_USER_INIT_INO` (include/linux/proc_ns.h)
    const INITIAL: u64 = 0xeffffffd;
    match fs::metadata("/proc/self/ns/user") {
        Ok(namespace) => namespace.ino() == INITIAL,
        // A kernel without user namespaces.
        Err(error) => {
            error.kind() == io::ErrorKind::NotFound && Path::new("/proc/self/ns").exists()
        }
    }
}

/// Whether this is root, and not somebody who runs a program with file capabilities. Nobody else
/// may see kernel addresses.
pub(crate) fn is_root() -> bool {
    getuid().is_root() && geteuid().is_root() && in_initial_user_namespace()
}

/// `SECCOMP_MODE_FILTER` (proc_pid_status(5)).
pub(crate) fn has_seccomp_filter(status: &str) -> bool {
    status
        .lines()
        .filter_map(|line| line.strip_prefix("Seccomp:"))
        .any(|mode| mode.trim() == "2")
}

/// As above, of the running process.
pub(crate) fn is_filtered() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| has_seccomp_filter(&status))
}

/// The kernel's lockdown mode (kernel_lockdown(7)); `None` if securityfs does not show it.
pub(crate) fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let chosen = text.split_once('[')?.1.split_once(']')?.0;
    Some(chosen.to_owned())
}
