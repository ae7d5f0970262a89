//! Installs each package in an empty root and tries it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::folder::recreate;
use super::install::Package;
use super::release::Release;
use super::{contents, machine, program, trial};
use crate::arch::Arch;
use crate::privilege::Privilege;
use crate::process::{output, run};
use crate::{paths, vm};

pub(super) fn all(release: &Release, arches: &[&'static Arch], dist: &Path) -> Result<()> {
    run(Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(dist))?;
    let privilege = Privilege::detect();
    if let Privilege::None(reason) = &privilege {
        println!("not installed and tried ({reason})");
        return Ok(());
    }
    let roots = paths::target_dir().join("dist-roots");
    let machines = paths::target_dir().join("dist-machines");
    // What a run that failed has left belongs to root.
    for left in [&roots, &machines] {
        remove(&privilege, left)?;
    }
    fs::create_dir_all(&machines)?;
    for &arch in arches {
        let roots = roots.join(arch.name);
        recreate(&roots)?;
        let packages = Package::of(arch, &release.version, dist, &roots);
        for package in &packages {
            package.install(&privilege)?;
            tried(package, &privilege, release)
                .with_context(|| format!("{}", package.file.display()))?;
        }
        if let Some(reason) = vm::missing() {
            println!("not run on a kernel for {} ({reason})", arch.name);
            continue;
        }
        trial::run(arch, &roots, &packages)?;
        for package in packages
            .iter()
            .filter(|package| package.places().unit.is_some())
        {
            machine::run_in(&machines.join(arch.name), package, &privilege)
                .with_context(|| format!("{}", package.file.display()))?;
        }
    }
    remove(&privilege, &roots)?;
    remove(&privilege, &machines)
}

fn remove(privilege: &Privilege, roots: &Path) -> Result<()> {
    run(privilege.command("rm", &[])?.arg("-rf").arg(roots))
}

/// Tries what needs no kernel of the package's architecture.
fn tried(package: &Package, privilege: &Privilege, release: &Release) -> Result<()> {
    contents::check(package, release.date)?;
    let places = package.places();
    let root = &package.root;
    program::check(&fs::read(root.join(&places.program))?, package.arch)
        .context("the program in it")?;
    if package.arch.is_native() {
        // With nothing else in its root.
        version(&mut package.chroot(privilege, &places.program)?)?;
    }
    man(&root.join(&places.man))?;
    completes(&root.join(&places.completion))?;
    if let Some(unit) = places.unit {
        let unit = fs::read_to_string(root.join(unit))?;
        if !unit.contains("ExecStart=/usr/bin/zombie-trace serve") {
            bail!("the unit does not start what is installed:\n{unit}");
        }
    }
    Ok(())
}

fn version(command: &mut Command) -> Result<()> {
    let text = output(command.arg("--version"))?;
    let expected = concat!("zombie-trace ", env!("CARGO_PKG_VERSION"));
    match text.trim() == expected {
        true => Ok(()),
        false => bail!("{text:?} instead of {expected}"),
    }
}

fn man(page: &Path) -> Result<()> {
    let text = output(
        Command::new("man")
            .arg("--local-file")
            .arg(page)
            .env("MANPAGER", "cat"),
    )?;
    match text.contains("SYNOPSIS") && text.contains("--fail-if") {
        true => Ok(()),
        false => bail!("man shows no manual of {}", page.display()),
    }
}

/// bash completes `zombie-trace doc` to `doctor`.
fn completes(script: &Path) -> Result<()> {
    const TRY: &str = "source \"$0\"; COMP_WORDS=(zombie-trace doc); COMP_CWORD=1; \
                       $(complete -p zombie-trace | sed 's/.*-F \\([^ ]*\\).*/\\1/') zombie-trace doc zombie-trace; \
                       echo \"${COMPREPLY[@]}\"";
    let text = output(Command::new("bash").args(["-c", TRY]).arg(script))
        .with_context(|| format!("completion by {}", script.display()))?;
    match text.trim() == "doctor" {
        true => Ok(()),
        false => bail!("`zombie-trace doc` is completed to {text:?}"),
    }
}
