//! Installing Debian packages.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::Once;

use anyhow::{Result, bail};

use crate::privilege::Privilege;
use crate::process::{find_program, probe, run};

/// Installs the packages with apt-get, or says why that can't be done.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if find_program("apt-get").is_none() {
        bail!("no apt-get here: install what Debian calls `{names}` by hand");
    }
    let privilege = Privilege::detect();
    if let Privilege::None(reason) = &privilege {
        bail!("cannot install packages ({reason}); as root: apt-get install {names}");
    }
    refresh(&privilege);
    if let Some(unknown) = packages.iter().find(|package| !has_candidate(package)) {
        bail!(
            "apt knows no package {unknown}: Debian 12 and 13 have it with their security \
             updates enabled"
        );
    }
    println!("installing {names}");
    run(apt_get(&privilege)?
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages))
}

/// Brings apt's lists up to date, once a run: what an old list names may be gone by now, or too old
/// a version.
fn refresh(privilege: &Privilege) {
    static REFRESHED: Once = Once::new();
    REFRESHED.call_once(|| {
        if let Err(error) = apt_get(privilege).and_then(|mut apt| run(apt.arg("update"))) {
            println!("going on with the package lists that are there: {error:#}");
        }
    });
}

/// The first of the alternatives of which apt could install every package; the first of all if it
/// knows none.
pub(crate) fn first_available<'a, const N: usize>(
    alternatives: &'a [[&'static str; N]],
) -> &'a [&'static str] {
    let privilege = Privilege::detect();
    if !matches!(privilege, Privilege::None(_)) {
        refresh(&privilege);
    }
    alternatives
        .iter()
        .find(|names| names.iter().all(|name| has_candidate(name)))
        .unwrap_or(&alternatives[0])
}

/// Whether apt could install the package, as far as it knows now.
fn has_candidate(package: &str) -> bool {
    probe(
        Command::new("apt-cache")
            .args(["policy", package])
            .env("LC_ALL", "C"),
    )
    .is_some_and(|policy| names_candidate(&policy))
}

fn names_candidate(policy: &str) -> bool {
    policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate:"))
        .any(|version| version.trim() != "(none)")
}

fn apt_get(privilege: &Privilege) -> Result<Command> {
    let mut command = privilege.command(
        "apt-get",
        &[("DEBIAN_FRONTEND", OsStr::new("noninteractive"))],
    )?;
    // Another apt may be at work on a machine that has just started.
    command.args(["--quiet", "--option", "DPkg::Lock::Timeout=120"]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_a_version() {
        let known = "strace:\n  Installed: (none)\n  Candidate: 6.1-0.1\n";
        let removed = "strace:\n  Installed: (none)\n  Candidate: (none)\n";
        assert!(names_candidate(known));
        assert!(!names_candidate(removed));
        assert!(!names_candidate(""));
    }
}
