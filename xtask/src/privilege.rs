//! Becoming root.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{find_program, probe};

/// How a program can be run as root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// We are root.
    Root,
    /// Through sudo.
    Sudo,
    /// Not at all, for this reason.
    None(String),
}

impl Privilege {
    /// Finds out what this process may do.
    pub(crate) fn detect() -> Self {
        // The owner of /proc/self is our effective user.
        if fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0) {
            return Self::Root;
        }
        if find_program("sudo").is_none() {
            return Self::None("not root, and there is no sudo".into());
        }
        let without_password = probe(Command::new("sudo").args(["-n", "true"])).is_some();
        let can_ask = OpenOptions::new().read(true).open("/dev/tty").is_ok();
        if without_password || can_ask {
            Self::Sudo
        } else {
            Self::None("not root, and sudo wants a password but there is no terminal".into())
        }
    }

    /// A command that runs `program` as root, with `envs` besides our environment.
    pub(crate) fn command(
        &self,
        program: impl AsRef<OsStr>,
        envs: &[(&str, &OsStr)],
    ) -> Result<Command> {
        match self {
            Self::Root => {
                let mut command = Command::new(program);
                command.envs(envs.iter().copied());
                Ok(command)
            }
            Self::Sudo => {
                // sudo drops variables; `env` after it sets them whatever its policy says.
                let mut command = Command::new("sudo");
                command.args(["--", "env"]);
                for (name, value) in envs {
                    let mut assignment = OsStr::new(name).to_owned();
                    assignment.push("=");
                    assignment.push(value);
                    command.arg(assignment);
                }
                command.arg(program);
                Ok(command)
            }
            Self::None(reason) => bail!("this needs root: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::describe;

    #[test]
    fn sudo_passes_variables_on() {
        let command = Privilege::Sudo
            .command("prog", &[("A", OsStr::new("b c"))])
            .unwrap();
        assert_eq!(describe(&command), "sudo -- env A=b c prog");
    }

    #[test]
    fn without_rights_the_reason_is_named() {
        let error = Privilege::None("no sudo".into())
            .command("prog", &[])
            .unwrap_err();
        assert_eq!(error.to_string(), "this needs root: no sudo");
    }
}
