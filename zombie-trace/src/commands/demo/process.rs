use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, pipe},
};

use super::{
    Kind,
    cgroup::DemoCgroup,
    parents,
    stage::{Stage, die_with, exit},
};
use crate::system::proc::Proc;

/// What was made for a demonstration.
#[derive(Debug)]
pub(super) struct Made {
    /// The process that has, or had, the zombies.
    pub(super) parent: u32,
    /// Tells the parent to come to an end, by being closed.
    end: Option<OwnedFd>,
    cgroup: Option<DemoCgroup>,
    proc: Proc,
}

/// Starts a parent and waits until it has its zombies.
pub(super) fn make(kind: Kind, proc: &Proc) -> anyhow::Result<Made> {
    let cgroup = match kind {
        Kind::Frozen => Some(DemoCgroup::for_freezing()?),
        Kind::Starved => Some(DemoCgroup::with_little_cpu()?),
        _ => None,
    };
    let (ready, tell) = pipe().context("cannot make a pipe")?;
    let (ended, end) = pipe().context("cannot make a pipe")?;
    let us = Pid::this();
    // SAFETY: this program has one thread so far.
    let parent = match unsafe { fork() }.context("cannot make a process")? {
        ForkResult::Child => {
            drop((ready, end));
            die_with(us, c"demo-parent");
            let mut tell = File::from(tell);
            parents::run(kind, Stage { ended }, &mut || {
                // Whoever waits for it is told what is wrong by its end otherwise.
                let _ = tell.write_all(b".");
            });
            exit(0);
        }
        ForkResult::Parent { child } => child,
    };
    drop((tell, ended));
    let mut made = Made {
        parent: parent.as_raw().cast_unsigned(),
        end: Some(end),
        cgroup,
        proc: proc.clone(),
    };
    let mut byte = [0];
    if File::from(ready).read_exact(&mut byte).is_err() {
        made.end();
        bail!("the parent could not be brought into that state (does it need root?)");
    }
    if let Some(cgroup) = &made.cgroup
        && let Err(error) = cgroup.take(made.parent)
    {
        made.end();
        return Err(error);
    }
    if kind == Kind::Init {
        // The namespace's first process is a child of the one that made the namespace.
        let (living, _) = proc.children(made.parent).context("cannot read /proc")?;
        made.parent = living.first().copied().unwrap_or(made.parent);
    }
    Ok(made)
}

impl Made {
    /// What has become a zombie so far, of the parent's children.
    pub(super) fn zombies(&self) -> anyhow::Result<Vec<u32>> {
        let (_, zombies) = self
            .proc
            .children(self.parent)
            .context("cannot read /proc")?;
        Ok(zombies)
    }

    /// Everything ends, and is reaped.
    pub(super) fn end(&mut self) {
        self.end = None;
        if let Some(cgroup) = &self.cgroup {
            cgroup.release();
        }
        // Whatever loses its parent becomes our child. Most of it ends with its parent, so that /proc
        // is searched for the living only when there is nothing to reap.
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => self.kill_living(),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => break,
            }
            if matches!(waitpid(None, Some(WaitPidFlag::__WALL)), Err(Errno::ECHILD)) {
                break;
            }
        }
        // It is removed when nothing is in it.
        self.cgroup = None;
    }
}

impl Made {
    fn kill_living(&self) {
        let living = self.proc.children(std::process::id());
        // The parent at least is known, and those with a death signal follow it.
        let living = living.map_or_else(|_| vec![self.parent], |(living, _)| living);
        for pid in living {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.end.is_some() {
            self.end();
        }
    }
}
