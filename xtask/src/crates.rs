//! The crates as a registry would get them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::paths;
use crate::process::{cargo, output, run};

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

/// Packages the crates, without building them again.
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
    Ok(Vec::new())
}

/// Builds the crates from their packages, as a registry would get them, and runs the tests that are in them.
pub(crate) fn publish() -> Result<Vec<String>> {
    package()?;
    if changes()? {
        return Ok(vec![
            "not built: there are changes that are not committed".into(),
        ]);
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
    Ok(Vec::new())
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
