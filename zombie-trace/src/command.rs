//! The command that is traced.

use std::{
    ffi::{CString, OsString},
    io,
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, getgrouplist, setgid, setgroups, setuid},
};
use tokio::process::{Child, Command};

use crate::{exit_code::ExitCode, signals::Inherited};

/// The command could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", crate::sink::visible(&name.to_string_lossy()))]
pub struct StartError {
    name: OsString,
    reason: String,
    /// 127 if it was not found, 126 if it could not be executed, as a shell has it.
    pub exit_code: ExitCode,
}

/// The running command.
#[derive(Debug)]
pub struct Traced {
    child: Child,
    pid: Pid,
}

impl Traced {
    /// Starts it with stdin, stdout, stderr and signals as this program found them.
    pub fn start(
        (name, args): (&OsString, &[OsString]),
        user: Option<&User>,
        inherited: &Inherited,
    ) -> Result<Self, StartError> {
        let failed = |error: &io::Error| StartError {
            name: name.clone(),
            reason: match error.kind() {
                io::ErrorKind::NotFound => "command not found".to_owned(),
                _ => format!("cannot be executed: {error}"),
            },
            exit_code: ExitCode::Command(match error.kind() {
                io::ErrorKind::NotFound => 127,
                _ => 126,
            }),
        };
        let mut command = Command::new(name);
        command.args(args);
        let identity = user
            .map(Identity::of)
            .transpose()
            .map_err(|error| failed(&error))?;
        if let Some(user) = user {
            command
                .env("HOME", &user.dir)
                .env("USER", &user.name)
                .env("LOGNAME", &user.name);
        }
        let inherited = inherited.clone();
        // SAFETY: what runs in the forked child is system calls alone.
        unsafe {
            command.pre_exec(move || {
                if let Some(identity) = &identity {
                    identity.assume()?;
                }
                Ok(inherited.restore()?)
            });
        }
        let child = command.spawn().map_err(|error| failed(&error))?;
        let pid = child
            .id()
            .and_then(|pid| pid.try_into().ok())
            .unwrap_or_default();
        Ok(Self {
            child,
            pid: Pid::from_raw(pid),
        })
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Passes a signal on. Once it has ended there is nobody to pass it to.
    pub fn forward(&self, signal: Signal) {
        if let Err(error) = kill(self.pid, signal) {
            log::debug!("{signal} is not passed on: {error}");
        }
    }
}

/// Its status as ours: 128+n if signal n killed it.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::Command(
        code.and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX),
    )
}

/// All ids of a user.
#[derive(Clone, Debug)]
struct Identity {
    user: nix::unistd::Uid,
    group: nix::unistd::Gid,
    groups: Vec<nix::unistd::Gid>,
}

impl Identity {
    /// Looked up before the fork: afterwards it would not be safe.
    fn of(user: &User) -> io::Result<Self> {
        let name = CString::new(user.name.as_str())?;
        let groups = getgrouplist(&name, user.gid)?;
        Ok(Self {
            user: user.uid,
            group: user.gid,
            groups,
        })
    }

    fn assume(&self) -> nix::Result<()> {
        setgroups(&self.groups)?;
        setgid(self.group)?;
        setuid(self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_as_a_shell_has_them() {
        assert_eq!(exit_code(ExitStatus::from_raw(0)), ExitCode::Command(0));
        assert_eq!(
            exit_code(ExitStatus::from_raw(3 << 8)),
            ExitCode::Command(3)
        );
        assert_eq!(exit_code(ExitStatus::from_raw(9)), ExitCode::Command(137));
        assert_eq!(
            exit_code(ExitStatus::from_raw(0x80 | 11)),
            ExitCode::Command(139)
        );
    }
}
