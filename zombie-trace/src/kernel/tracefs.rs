//! tracefs holds the numbers of the system call tracepoints.

use std::{fs, io, path::Path, thread};

use caps::Capability;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::statfs::{TRACEFS_MAGIC, statfs},
};

use super::{KernelError, capability};
use crate::system::privilege::raised;

const MOUNT_POINTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Where tracefs is mounted, if it is.
pub(super) fn mount_point() -> Option<&'static Path> {
    MOUNT_POINTS
        .into_iter()
        .map(Path::new)
        .find(|point| statfs(*point).is_ok_and(|found| found.filesystem_type() == TRACEFS_MAGIC))
}

/// Whether we may look into it.
pub(super) fn is_readable(mount_point: &Path) -> bool {
    let events = mount_point.join("events");
    raised(Capability::CAP_DAC_READ_SEARCH, || {
        fs::read_dir(events).is_ok()
    })
}

/// Runs `work` where tracefs can be read.
///
/// Where it is not mounted, it is mounted in a mount namespace of one thread alone, that `work`
/// runs in: neither the system nor a traced command sees anything of it.
pub(super) fn with_tracefs<T: Send>(
    work: impl FnOnce() -> Result<T, KernelError> + Send,
) -> Result<T, KernelError> {
    raised(Capability::CAP_DAC_READ_SEARCH, || with_rights(work))
}

fn with_rights<T: Send>(
    work: impl FnOnce() -> Result<T, KernelError> + Send,
) -> Result<T, KernelError> {
    let events = MOUNT_POINTS.map(|point| fs::metadata(Path::new(point).join("events")));
    if events.iter().any(Result::is_ok) {
        return work();
    }
    let is_denied = |result: &io::Result<fs::Metadata>| {
        result
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    if events.iter().any(is_denied) {
        return Err(capability::lacking("CAP_DAC_READ_SEARCH"));
    }
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            mount_privately().map_err(|reason| KernelError::Tracefs { reason })?;
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
