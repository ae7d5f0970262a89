//! Giving privileges up. What is open stays usable: the ring buffer, the counters and the iterators
//! are descriptors and mapped memory.

use std::{collections::HashSet, fs, ops::RangeInclusive};

use anyhow::{Context as _, bail};
use caps::{CapSet, Capability, CapsHashSet};
use nix::{
    errno::Errno,
    sys::prctl,
    unistd::{Gid, Uid, User, getresuid, setgroups, setresgid, setresuid},
};

use crate::{kernel::iterating_needs_capability, stderr::warn};

/// User IDs that neither distributions nor systemd give to anybody
/// (<https://systemd.io/UIDS-GIDS/>).
const UNASSIGNED: RangeInclusive<u32> = 60_578..=61_183;

/// Whom root becomes where those do not exist: in a user namespace without them.
const NOBODY: u32 = 65_534;

/// Becomes `user`, or else a user that nobody else is, if this is root; keeps no capability.
///
/// Not `nobody`: whatever else runs as `nobody` could stop us and look into us.
///
/// Capabilities are a thread's own: there must be no other thread yet.
///
/// # Errors
/// The kernel refuses to take something back, or to become `user`.
pub(super) fn give_up(user: Option<&User>) -> anyhow::Result<()> {
    let kept = kept();
    prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    if getresuid()?.effective.is_root() {
        // Or else all are lost with the user.
        prctl::set_keepcaps(true).context("cannot keep capabilities")?;
        become_user(user)?;
    } else if user.is_some_and(|user| Uid::effective() != user.uid) {
        bail!("--user: only root can become another user");
    }
    for (set, capabilities) in [
        (CapSet::Ambient, &CapsHashSet::new()),
        (CapSet::Inheritable, &CapsHashSet::new()),
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
    ] {
        caps::set(None, set, capabilities)
            .with_context(|| format!("cannot give capabilities up ({set:?})"))?;
    }
    // The kernel has set it back when the user changed, to what fs.suid_dumpable says.
    prctl::set_dumpable(false).context("cannot set PR_SET_DUMPABLE")
}

/// Looking at what lives is a bpf(2) call.
fn kept() -> CapsHashSet {
    if iterating_needs_capability() {
        CapsHashSet::from([Capability::CAP_BPF])
    } else {
        CapsHashSet::new()
    }
}

fn become_user(user: Option<&User>) -> anyhow::Result<()> {
    if let Some(user) = user {
        return assume(user.uid, user.gid)
            .with_context(|| format!("--user {}: cannot become this user", user.name));
    }
    let assume_id = |id| assume(Uid::from_raw(id), Gid::from_raw(id));
    let outcome = match assume_id(unused()) {
        Err(Errno::EINVAL) => {
            warn("becomes nobody: this user namespace has no user ID that nobody else uses");
            assume_id(NOBODY)
        }
        outcome => outcome,
    };
    match outcome {
        Err(Errno::EPERM) => warn(
            "stays root, though without capabilities: becoming another user needs CAP_SETUID and \
             CAP_SETGID",
        ),
        outcome => outcome.context("cannot become another user")?,
    }
    Ok(())
}

fn assume(user: Uid, group: Gid) -> nix::Result<()> {
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

/// A user and group ID that no process has and no local account.
fn unused() -> u32 {
    let mut used = ids_in_use();
    // Not through the C library: what it loads for other databases crashes static programs.
    for database in ["/etc/passwd", "/etc/group"] {
        used.extend(account_ids(
            &fs::read_to_string(database).unwrap_or_default(),
        ));
    }
    first_unused(fastrand::u32(..), |id| used.contains(&id))
}

/// The third field of each line of passwd(5) or group(5).
fn account_ids(database: &str) -> impl Iterator<Item = u32> {
    let ids = database.lines().filter_map(|line| line.split(':').nth(2));
    ids.filter_map(|id| id.parse().ok())
}

/// Two that start at the same time begin at different IDs.
fn first_unused(start: u32, is_used: impl Fn(u32) -> bool) -> u32 {
    let (first, last) = UNASSIGNED.into_inner();
    let count = last - first + 1;
    let ids = (0..count).map(|n| first + (start % count + n) % count);
    ids.into_iter().find(|id| !is_used(*id)).unwrap_or(NOBODY)
}

/// All user and group IDs of all processes.
fn ids_in_use() -> HashSet<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let statuses = processes.filter_map(|it| fs::read_to_string(it.path().join("status")).ok());
    statuses.flat_map(|status| ids(&status)).collect()
}

/// Those in a /proc/PID/status.
fn ids(status: &str) -> Vec<u32> {
    let lines = status.lines().filter_map(|line| {
        let ids = line
            .strip_prefix("Uid:")
            .or_else(|| line.strip_prefix("Gid:"));
        ids.or_else(|| line.strip_prefix("Groups:"))
    });
    let words = lines.flat_map(str::split_whitespace);
    words.filter_map(|id| id.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_used_is_not_taken() {
        let (first, last) = UNASSIGNED.into_inner();
        assert_eq!(first_unused(0, |_| false), first);
        assert!(UNASSIGNED.contains(&first_unused(12_345, |_| false)));
        // Round to the first.
        assert_eq!(first_unused(last - first, |id| id == last), first);
        assert_eq!(first_unused(7, |_| true), NOBODY);
    }

    #[test]
    fn ids_of_accounts() {
        let database = "root:x:0:0:root:/root:/bin/bash\n#\n+\nbin:x:2:\n";
        assert_eq!(account_ids(database).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn ids_of_a_process() {
        let status = "Name:\tUid: 7\nUid:\t1\t2\t3\t4\nGid:\t5\t5\t5\t5\nGroups:\t8 9 \n";
        assert_eq!(ids(status), [1, 2, 3, 4, 5, 5, 5, 5, 8, 9]);
        assert!(ids_in_use().contains(&Uid::current().as_raw()));
    }
}
