//! The crates as a registry would get them.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cargo, output, run};
use crate::{engines, paths};

/// What is published, dependencies first.
const CRATES: [&str; 2] = ["zombie-trace-common", "zombie-trace"];

/// What each must have, besides its sources.
const FILES: [&[&str]; 2] = [
    &["Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE"],
    &[
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "LICENSE-GPL-2.0",
        "bpf/zombie-trace.bpf.o",
        "bpf/stacks.bpf.o",
        "bpf/provenance.toml",
    ],
];

/// The largest package that the registry takes.
const MAX_SIZE: u64 = 10 << 20;

/// Debian's suite with the oldest cargo that knows our edition, 1.85, the package that it is in, and those with
/// its libraries.
const OLDEST_CARGO: (&str, &str, [&str; 3]) = (
    "bookworm",
    "cargo-web",
    ["libcurl4", "libhttp-parser2.9", "libssh2-1"],
);

/// Packages the crates without building them again, and has the oldest cargo read all manifests.
pub(crate) fn package() -> Result<Vec<String>> {
    let mut command = in_root(cargo());
    command.args(["package", "--locked", "--no-verify", "--quiet"]);
    for name in CRATES {
        command.args(["--package", name]);
    }
    let changes = changes()?;
    if changes {
        // As in the midst of work. What is committed has to do without.
        println!("with changes that are not committed");
        command.arg("--allow-dirty");
    }
    run(&mut command)?;
    for (name, files) in CRATES.iter().zip(FILES) {
        contents(name, files)?;
    }
    oldest_cargo_reads()
}

/// Has the oldest cargo at hand read the lock file and the manifests of the workspace and of all dependencies.
fn oldest_cargo_reads() -> Result<Vec<String>> {
    let (suite, package, libraries) = OLDEST_CARGO;
    // Its libraries are those of that release.
    if cfg!(not(target_arch = "x86_64")) || engines::suite().as_deref() != Some(suite) {
        return Ok(vec![format!(
            "no old cargo: it is from Debian {suite} on x86-64"
        )]);
    }
    let directory = engines::unpacked(package, suite)?;
    let libraries = libraries.map(|library| engines::unpacked(library, suite));
    let libraries = libraries.into_iter().collect::<Result<Vec<_>>>()?;
    let libraries = libraries
        .iter()
        .map(|root| root.join("usr/lib/x86_64-linux-gnu"));
    let libraries = env::join_paths(libraries)?;
    let old_cargo = |args: &[&str]| {
        let mut cargo = in_root(Command::new(directory.join("usr/bin/cargo")));
        output(cargo.args(args).env("LD_LIBRARY_PATH", &libraries))
    };
    old_cargo(&["metadata", "--locked", "--offline", "--format-version=1"])?;
    print!("read by {}", old_cargo(&["--version"])?);
    Ok(Vec::new())
}

/// Builds the crates from their packages, as a registry would get them, and runs the tests that are in them.
pub(crate) fn publish() -> Result<Vec<String>> {
    let mut skipped = package()?;
    if changes()? {
        skipped.push("not built: there are changes that are not committed".into());
        return Ok(skipped);
    }
    run(in_root(cargo()).args(["publish", "--dry-run", "--workspace", "--locked"]))?;
    let unpacked = paths::target_dir().join("package/tests");
    let _ = fs::remove_dir_all(&unpacked);
    fs::create_dir_all(&unpacked).with_context(|| format!("{}", unpacked.display()))?;
    for name in CRATES {
        run(Command::new("tar")
            .arg("-xzf")
            .arg(archive(name))
            .arg("-C")
            .arg(&unpacked))?;
    }
    let directory = |name| unpacked.join(stem(name));
    // It is in no registry yet.
    let common = format!(
        "patch.crates-io.zombie-trace-common.path={:?}",
        directory(CRATES[0])
    );
    for name in CRATES {
        // Not a part of our workspace, in whose target directory it lies.
        let manifest = directory(name).join("Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        fs::write(&manifest, format!("{text}\n[workspace]\n"))?;
        run(cargo()
            .args([
                "test",
                "--offline",
                "--quiet",
                "--config",
                &common,
                "--target-dir",
            ])
            .arg(paths::target_dir().join("package/target"))
            .current_dir(directory(name)))?;
    }
    Ok(skipped)
}

/// Whether something is not committed.
fn changes() -> Result<bool> {
    let status = output(in_root(Command::new("git")).args(["status", "--porcelain"]))?;
    Ok(!status.is_empty())
}

/// Checks what is in a package.
fn contents(name: &str, files: &[&str]) -> Result<()> {
    let archive = archive(name);
    let size = fs::metadata(&archive)
        .with_context(|| format!("{}", archive.display()))?
        .len();
    ensure!(
        size < MAX_SIZE,
        "{name} has {size} bytes, more than a registry takes"
    );
    let list = output(Command::new("tar").arg("-tzf").arg(&archive))?;
    let prefix = format!("{}/", stem(name));
    let listed: Vec<_> = list
        .lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .collect();
    if let Some(missing) = files.iter().find(|file| !listed.contains(file)) {
        bail!("the package of {name} lacks {missing}");
    }
    println!(
        "{:<26}{} files, {} KiB",
        stem(name),
        listed.len(),
        size >> 10
    );
    Ok(())
}

fn stem(name: &str) -> String {
    format!("{name}-{}", env!("CARGO_PKG_VERSION"))
}

fn archive(name: &str) -> PathBuf {
    let file = format!("{}.crate", stem(name));
    paths::target_dir().join("package").join(file)
}

fn in_root(mut command: Command) -> Command {
    command.current_dir(paths::root());
    command
}
