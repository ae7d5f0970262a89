//! Starts the unit of an installed package under systemd, on a test kernel, and tries the package's manual
//! and completion in the same machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::install::Package;
use super::trial::{Attempt, attempts};
use crate::privilege::Privilege;
use crate::process::run;
use crate::store::Store;
use crate::vm;

/// The machine's own packages. They are as before they are configured, so there are no users.
const PACKAGES: [&str; 8] = [
    "base-files",
    "bash",
    "bash-completion",
    "coreutils",
    "grep",
    "man-db",
    "sed",
    "systemd",
];

/// Starts the machine.
const INIT: &str = include_str!("machine_init.sh");

/// Tries the package in it.
const CHECK: &str = include_str!("machine.sh");

/// What is to run in the end.
const TARGET: &str = "[Unit]\nWants=check.service\n";
const SERVICE: &str = "[Service]\nType=oneshot\nExecStart=/bin/bash /check.sh\n";

const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUPS: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Of users that exist as long as their service (DynamicUser= in systemd.exec(5)).
const DYNAMIC_USERS: std::ops::RangeInclusive<u32> = 61184..=65519;

/// Boots a machine in `root` with the package installed, and checks what it printed.
pub(super) fn run_in(root: &Path, package: &Package, privilege: &Privilege) -> Result<()> {
    let store = Store::open(package.arch)?;
    let system = store.system(&PACKAGES)?;
    run(privilege.command("rm", &[])?.arg("-rf").arg(root))?;
    run(Command::new("cp").arg("--archive").arg(system).arg(root))?;
    for (path, text) in [
        // Without one it would ask for much else at its first boot.
        ("etc/machine-id", "00000000000000000000000000000001\n"),
        ("etc/passwd", USERS),
        ("etc/group", GROUPS),
        ("etc/systemd/system/default.target", TARGET),
        ("etc/systemd/system/check.service", SERVICE),
        ("check.sh", CHECK),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a file below the root")?)?;
        fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
    }
    // Its package is not among what the others depend on.
    symlink("bash", root.join("usr/bin/sh")).context("usr/bin/sh")?;
    package.install_into(root, privilege)?;
    let lines = vm::boot(package.arch, root, INIT)?;
    let console = || format!("the console:\n{}", lines.join("\n"));
    let attempts = attempts(&lines).with_context(console)?;
    let user = passed(&attempts).with_context(console)?;
    println!(
        "{}: the unit ran as user {user} and saw three zombies; man and completion work",
        package.file.display()
    );
    Ok(())
}

/// Checks what the machine printed, and gives the user that the service had.
fn passed(attempts: &[Attempt<'_>]) -> Result<u32> {
    let output = |name: &str| {
        let attempt = attempts.iter().find(|attempt| attempt.what == name);
        let attempt = attempt.with_context(|| format!("{name} was not tried"))?;
        ensure!(
            attempt.status == "0",
            "{name} failed: status {}",
            attempt.status
        );
        Ok(attempt.output)
    };
    let has = |name: &str, lines: &[&str]| -> Result<()> {
        let printed = output(name)?;
        match lines
            .iter()
            .find(|line| !printed.iter().any(|found| found == *line))
        {
            Some(missing) => bail!("{name} printed no line {missing:?}"),
            None => Ok(()),
        }
    };
    let manual = output("manual")?.join("\n");
    for part in ["SYNOPSIS", "--fail-if"] {
        ensure!(manual.contains(part), "the manual has no {part}");
    }
    has("completion", &["doctor"])?;
    output("enable")?;
    output("zombies")?;
    has(
        "unit",
        &[
            "ActiveState=active",
            "UnitFileState=enabled",
            "FragmentPath=/usr/lib/systemd/system/zombie-trace.service",
            "DynamicUser=yes",
        ],
    )?;
    let user = user(output("process")?)?;
    output("stop")?;
    has(
        "stopped",
        &["ActiveState=inactive", "Result=success", "ExecMainStatus=0"],
    )?;
    let warnings = output("warnings")?;
    ensure!(
        warnings.is_empty(),
        "the journal has warnings:\n{}",
        warnings.join("\n")
    );
    Ok(user)
}

/// The user of a process that has no capability left, by the lines of its /proc/PID/status.
fn user(status: &[String]) -> Result<u32> {
    let value = |key: &str| {
        let mut lines = status.iter();
        let value = lines.find_map(|line| line.strip_prefix(key));
        value
            .map(str::trim)
            .with_context(|| format!("its status has no {key}"))
    };
    for key in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        let capabilities = u64::from_str_radix(value(key)?, 16)?;
        // The bounding set gives none by itself.
        ensure!(
            capabilities == 0 || key == "CapBnd:",
            "{key} {capabilities:x}"
        );
    }
    ensure!(value("NoNewPrivs:")? == "1", "it can get new privileges");
    // SECCOMP_MODE_FILTER
    ensure!(value("Seccomp:")? == "2", "no system call filter");
    let user = value("Uid:")?
        .split_whitespace()
        .next()
        .context("no user")?
        .parse()?;
    ensure!(DYNAMIC_USERS.contains(&user), "it runs as user {user}");
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "[clear]zt.attempt=manual
SYNOPSIS
       --fail-if CONDITION
zt.status=0
zt.attempt=completion
doctor
zt.status=0
zt.attempt=enable
Created symlink
zt.status=0
zt.attempt=zombies
zombie_trace_zombies{parent=\"sleep\",container=\"\"} 3
zt.status=0
zt.attempt=unit
DynamicUser=yes
ActiveState=active
FragmentPath=/usr/lib/systemd/system/zombie-trace.service
UnitFileState=enabled
zt.status=0
zt.attempt=process
Uid:\t61184\t61184\t61184\t61184
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t000000c000000000
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
zt.status=0
zt.attempt=stop
zt.status=0
zt.attempt=stopped
Result=success
ExecMainStatus=0
ActiveState=inactive
zt.status=0
zt.attempt=warnings
zt.status=0";

    fn outcome(console: &str) -> Result<u32> {
        let lines: Vec<_> = console.lines().map(Into::into).collect();
        passed(&attempts(&lines)?)
    }

    #[test]
    fn a_unit_passes_by_what_the_machine_printed() {
        assert_eq!(outcome(CONSOLE).unwrap(), 61184);
    }

    #[test]
    fn whatever_the_unit_lacks_fails() {
        for (from, to, error) in [
            ("SYNOPSIS", "No manual entry", "the manual has no SYNOPSIS"),
            ("doctor", "", "completion printed no line"),
            (
                "symlink\nzt.status=0",
                "symlink\nzt.status=1",
                "enable failed: status 1",
            ),
            ("=zombies", "=other", "zombies was not tried"),
            ("State=active", "State=failed", "ActiveState=active"),
            ("=enabled", "=disabled", "UnitFileState=enabled"),
            ("=/usr/lib", "=/etc", "FragmentPath"),
            ("\t61184\t", "\t0\t", "it runs as user 0"),
            (
                "CapEff:\t00000000",
                "CapEff:\t000000c0",
                "CapEff: c000000000",
            ),
            ("CapAmb", "CapXyz", "no CapAmb:"),
            ("Privs:\t1", "Privs:\t0", "new privileges"),
            ("Seccomp:\t2", "Seccomp:\t0", "no system call filter"),
            ("=success", "=exit-code", "Result=success"),
            (
                "warnings\n",
                "warnings\nUnknown key\n",
                "warnings:\nUnknown key",
            ),
        ] {
            assert!(CONSOLE.contains(from), "{from}");
            let found = outcome(&CONSOLE.replace(from, to));
            let found = format!("{:#}", found.unwrap_err());
            assert!(found.contains(error), "{from} → {to}: {found}");
        }
    }
}
