//! What the kernels boot into: the tests and what they run, and no more.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::arch::Arch;
use super::cross;
use crate::apt::Apt;
use crate::e2e::Programs;
use crate::process::{find_program, probe, run};

/// Runs as the first process.
const INIT: &str = include_str!("init.sh");

/// Builds the programs and packs them; returns the archive's path.
pub(super) fn make(arch: &Arch, apt: &Apt, directory: &Path) -> Result<PathBuf> {
    let target = match arch.is_native() {
        true => None,
        false => Some(cross::target(arch, apt, directory)?),
    };
    let programs = Programs::build(target.as_ref(), &[])?;

    let root = directory.join("root");
    let _ = fs::remove_dir_all(&root);
    for part in ["bin", "dev", "etc", "proc", "sys", "tmp", "usr/bin"] {
        create_dir(&root.join(part))?;
    }
    for (from, to) in [
        (&programs.binary, "bin/zombie-trace"),
        (&programs.scenario, "bin/scenario"),
        (&programs.load, "bin/load"),
        (&programs.tests, "bin/e2e"),
    ] {
        copy_with_libraries(from, to, &root)?;
    }
    if arch.is_native() {
        install("busybox", "bin", &root)?;
        install("strace", "usr/bin", &root)?;
    } else {
        fetch(
            apt,
            "busybox-static",
            &["bin/busybox", "usr/bin/busybox"],
            directory,
            &root,
        )?;
    }
    symlink("busybox", root.join("bin/sh")).context("bin/sh")?;
    write(&root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    )?;
    write(&root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;

    let archive = directory.join("initramfs.gz");
    run(Command::new("sh")
        .arg("-ec")
        .arg("find . | cpio --create --format=newc --owner=+0:+0 --quiet | gzip -1 > \"$1\"")
        .arg("sh")
        .arg(&archive)
        .current_dir(&root))?;
    Ok(archive)
}

/// Copies a static program of another architecture out of its package, in which it is in one of these
/// places.
fn fetch(apt: &Apt, package: &str, places: &[&str], directory: &Path, root: &Path) -> Result<()> {
    let unpacked = directory.join(package);
    if !unpacked.is_dir() {
        let part = directory.join(format!("{package}.part"));
        apt.unpack(package, &part)?;
        fs::rename(&part, &unpacked).with_context(|| format!("{}", unpacked.display()))?;
    }
    let program = places
        .iter()
        .map(|place| unpacked.join(place))
        .find(|path| path.is_file())
        .with_context(|| format!("package {package} holds no {}", places[0]))?;
    copy(&program, &root.join(places[0]))
}

/// Copies a program of this machine.
fn install(name: &str, directory: &str, root: &Path) -> Result<()> {
    let path = find_program(name).with_context(|| format!("no {name}"))?;
    copy_with_libraries(&path, &format!("{directory}/{name}"), root)
}

/// Copies a program and the shared libraries that it names.
fn copy_with_libraries(from: &Path, to: &str, root: &Path) -> Result<()> {
    copy(from, &root.join(to))?;
    // It fails on a program that needs none.
    let libraries = probe(Command::new("ldd").arg(from)).unwrap_or_default();
    for library in libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        copy(Path::new(library), &root.join(&library[1..]))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        create_dir(parent)?;
    }
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
