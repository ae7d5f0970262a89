//! A process that can get a signal: never another one that got its number.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, bail};
use nix::errno::Errno;

use crate::{model::Comm, text::printable};

/// A process, held by a descriptor.
#[derive(Debug)]
pub(super) struct HeldProcess {
    pidfd: OwnedFd,
    pub(super) pid: u32,
}

impl HeldProcess {
    /// The process of this pid, if it still has that command name.
    ///
    /// # Errors
    /// It is gone, another process has its number, or it is this program.
    pub(super) fn open(pid: u32, comm: Option<Comm>) -> anyhow::Result<Self> {
        if pid == std::process::id() {
            bail!("process {pid} is zombie-trace itself");
        }
        let number = libc::pid_t::try_from(pid).context("this is no pid")?;
        // SAFETY: no pointers; the descriptor is new, and nobody else's.
        let pidfd = unsafe {
            let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, number, 0));
            OwnedFd::from_raw_fd(fd.with_context(|| format!("process {pid}"))? as i32)
        };
        // It is read after the process is held: whoever has the name now is who gets the signal.
        let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let now = Comm::from_bytes(name.strip_suffix(b"\n").unwrap_or(&name));
        if let Some(wanted) = comm
            && wanted != now
        {
            bail!(
                "process {pid} is {} now, and not {}",
                printable(&now),
                printable(&wanted)
            );
        }
        Ok(Self { pidfd, pid })
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone, or that is not permitted.
    pub(super) fn send(&self, signal: i32) -> nix::Result<()> {
        let (fd, none) = (self.pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: the descriptor is open; without information the pointer is not used.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) };
        Errno::result(sent).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt as _,
        process::{Child, Command},
    };

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[test]
    fn the_process_gets_the_signal() {
        let mut child = sleeper();
        let target = loop {
            // Until it has called exec.
            if let Ok(target) = HeldProcess::open(child.id(), Some("sleep".into())) {
                break target;
            }
        };
        target.send(libc::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
        assert_eq!(target.send(libc::SIGTERM), Err(Errno::ESRCH));
    }

    #[test]
    fn another_process_of_that_number_gets_none() {
        let mut child = sleeper();
        let error = HeldProcess::open(child.id(), Some("other".into())).unwrap_err();
        assert!(error.to_string().contains("and not other"), "{error}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(HeldProcess::open(child.id(), None).is_err());
        assert!(HeldProcess::open(std::process::id(), None).is_err());
    }
}
