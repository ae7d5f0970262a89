//! Another user's identity and environment.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
};

use nix::unistd::{Gid, Uid, User, setgid, setgroups, setuid};

use crate::system::users;

/// What `su -` and sudo set for root and for others.
const ROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The shell of users without one in the user database.
const SHELL: &str = "/bin/sh";

/// A user to become.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) user: Uid,
    group: Gid,
    groups: Vec<Gid>,
    /// The whole environment.
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl Login {
    /// Looked up before the fork: afterwards it would not be safe.
    pub(super) fn of(user: &User) -> io::Result<Self> {
        Ok(Self {
            user: user.uid,
            group: user.gid,
            groups: users::groups_of(user)?,
            environment: environment(user, std::env::vars_os()),
        })
    }

    /// For a forked child; async-signal-safe.
    pub(super) fn assume(&self) -> nix::Result<()> {
        setgroups(&self.groups)?;
        setgid(self.group)?;
        setuid(self.user)
    }
}

/// The user's own environment. Of ours it has the terminal's type and the language: anything else
/// could say too much, or make the user's programs load what they should not.
fn environment(
    user: &User,
    ours: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let path = if user.uid.is_root() {
        ROOT_PATH
    } else {
        USER_PATH
    };
    let shell = match user.shell.as_os_str() {
        shell if shell.is_empty() => OsStr::new(SHELL),
        shell => shell,
    };
    let own = [
        ("HOME", user.dir.as_os_str()),
        ("LOGNAME", OsStr::new(&user.name)),
        ("PATH", OsStr::new(path)),
        ("SHELL", shell),
        ("USER", OsStr::new(&user.name)),
    ];
    ours.filter(|(name, _)| is_kept(name))
        .chain(own.map(|(name, value)| (name.into(), value.into())))
        .collect()
}

fn is_kept(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"LC_") || [&b"TERM"[..], b"COLORTERM", b"LANG", b"LANGUAGE"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terminal_and_language_are_kept() {
        let mut user = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        user.uid = Uid::from_raw(1000);
        user.name = "jo".into();
        user.dir = "/home/jo".into();
        user.shell = "".into();
        let ours = [
            ("PATH", "/opt/own/bin"),
            ("TERM", "xterm"),
            ("LC_ALL", "C.UTF-8"),
            ("LD_PRELOAD", "/opt/own/x.so"),
            ("SUDO_COMMAND", "/bin/secret"),
            ("USER", "root"),
            ("TOKEN", "secret"),
        ];
        let ours = ours.map(|(name, value)| (name.into(), value.into()));
        let environment: Vec<_> = environment(&user, ours.into_iter())
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect();
        assert_eq!(
            environment,
            [
                "TERM=xterm",
                "LC_ALL=C.UTF-8",
                "HOME=/home/jo",
                "LOGNAME=jo",
                "PATH=/usr/local/bin:/usr/bin:/bin",
                "SHELL=/bin/sh",
                "USER=jo"
            ]
        );
    }
}
