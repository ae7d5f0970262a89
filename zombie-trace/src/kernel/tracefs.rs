//! tracefs holds the numbers of the system call tracepoints.

use std::{io, path::Path, thread};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::KernelError;

const MOUNT_POINTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Runs `work` where tracefs can be read.
///
/// Where it is not mounted, it is mounted in a mount namespace of one thread alone, that `work`
/// runs in: neither the system nor a traced command sees anything of it.
pub(super) fn with_tracefs<T: Send>(
    work: impl FnOnce() -> Result<T, KernelError> + Send,
) -> Result<T, KernelError> {
    if MOUNT_POINTS
        .iter()
        .any(|point| Path::new(point).join("events").is_dir())
    {
        return work();
    }
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            mount_privately().map_err(|source| KernelError::Tracefs { source })?;
            work()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn mount_privately() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(
        Some("nodev"),
        MOUNT_POINTS[0],
        Some("tracefs"),
        MsFlags::empty(),
        none,
    )?;
    Ok(())
}
