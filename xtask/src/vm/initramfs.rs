//! What the kernels boot into: a shell, what is tried, and no more.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cross;
use crate::e2e::Programs;
use crate::process::{find_program, probe, run};
use crate::store::Store;

/// Runs as the first process.
const INIT: &str = include_str!("init.sh");

/// Builds the tests and what they run, packs them, and returns the archive's path.
pub(super) fn of_tests(store: &Store) -> Result<PathBuf> {
    let target = match store.arch.is_native() {
        true => None,
        false => Some(cross::target(store.arch)?),
    };
    let programs = Programs::build(target.as_ref(), &[])?;

    let root = store.directory.join("root");
    minimal(store, INIT, &root)?;
    for (from, to) in [
        (&programs.binary, "bin/zombie-trace"),
        (&programs.scenario, "bin/scenario"),
        (&programs.load, "bin/load"),
        (&programs.tests, "bin/e2e"),
    ] {
        copy_with_libraries(from, to, &root)?;
    }
    if store.arch.is_native() {
        install("strace", "usr/bin", &root)?;
    }
    pack(&root, &store.directory.join("initramfs.gz"))
}

/// Packs what is in a folder as `/packages`, with an `init` of its own.
pub(super) fn of_folders(store: &Store, folders: &Path, init: &str) -> Result<PathBuf> {
    let root = store.directory.join("packages-root");
    minimal(store, init, &root)?;
    run(Command::new("cp")
        .arg("--archive")
        .arg(folders)
        .arg(root.join("packages")))?;
    let archive = pack(&root, &store.directory.join("packages.gz"))?;
    fs::remove_dir_all(&root).with_context(|| format!("{}", root.display()))?;
    Ok(archive)
}

/// A root with a shell, two users and the first process.
fn minimal(store: &Store, init: &str, root: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(root);
    for part in ["bin", "dev", "etc", "proc", "sys", "tmp", "usr/bin"] {
        create_dir(&root.join(part))?;
    }
    if store.arch.is_native() {
        install("busybox", "bin", root)?;
    } else {
        let places = ["bin/busybox", "usr/bin/busybox"];
        copy(
            &store.file("busybox-static", &places)?,
            &root.join("bin/busybox"),
        )?;
    }
    symlink("busybox", root.join("bin/sh")).context("bin/sh")?;
    write(&root.join("init"), init)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    )?;
    write(&root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")
}

fn pack(root: &Path, archive: &Path) -> Result<PathBuf> {
    run(Command::new("sh")
        .arg("-ec")
        .arg("find . | cpio --create --format=newc --owner=+0:+0 --quiet | gzip -1 > \"$1\"")
        .arg("sh")
        .arg(archive)
        .current_dir(root))?;
    Ok(archive.to_owned())
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
