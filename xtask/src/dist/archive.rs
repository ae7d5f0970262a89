//! The archive for every other distribution: `tar -xf`, and run.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{product::Product, tree};
use crate::arch::Arch;
use crate::process;

/// The name of the folder in it.
pub(super) fn stem(version: &str, arch: &Arch) -> String {
    format!("zombie-trace-{version}-{}-linux", arch.rpm)
}

pub(super) fn file_name(version: &str, arch: &Arch) -> String {
    format!("{}.tar.gz", stem(version, arch))
}

pub(super) fn make(product: &Product<'_>, work: &Path, dist: &Path) -> Result<()> {
    let stem = stem(&product.release.version, product.arch);
    let root = work.join(&stem);
    tree::put(&root, "zombie-trace", &fs::read(&product.binary)?, 0o755)?;
    for (page, text) in tree::man_pages()? {
        tree::put(&root, &format!("man/{page}"), &text, 0o644)?;
    }
    for (shell, file) in [
        ("bash", "zombie-trace.bash"),
        ("zsh", "_zombie-trace"),
        ("fish", "zombie-trace.fish"),
        ("elvish", "zombie-trace.elv"),
    ] {
        let script = product.completion(shell)?;
        tree::put(&root, &format!("completions/{file}"), script, 0o644)?;
    }
    tree::documents(product, &root, "")?;
    let tar = process::output_bytes(
        Command::new("tar")
            .args([
                "--create",
                "--format=ustar",
                "--sort=name",
                "--mode=go=rX,u+rw",
            ])
            .args(["--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{}", product.release.date))
            .arg("--directory")
            .arg(work)
            .arg(&stem),
    )?;
    let file = file_name(&product.release.version, product.arch);
    fs::write(dist.join(file), tree::gzip(&tar)?)?;
    Ok(())
}
