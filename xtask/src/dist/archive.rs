//! The archive for every other distribution: `tar -xf`, and run.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{release::Release, tree};
use crate::process;

pub(super) fn make(release: &Release, binary: &Path, work: &Path, dist: &Path) -> Result<()> {
    let stem = format!("zombie-trace-{}-x86_64-linux", release.version);
    let root = work.join(&stem);
    tree::put(&root, "zombie-trace", &fs::read(binary)?, 0o755)?;
    for (page, text) in tree::man_pages()? {
        tree::put(&root, &format!("man/{page}"), &text, 0o644)?;
    }
    for (shell, file) in [
        ("bash", "zombie-trace.bash"),
        ("zsh", "_zombie-trace"),
        ("fish", "zombie-trace.fish"),
        ("elvish", "zombie-trace.elv"),
    ] {
        let script = tree::completion(binary, shell)?;
        tree::put(&root, &format!("completions/{file}"), &script, 0o644)?;
    }
    tree::documents(&root, "")?;
    let tar = process::output_bytes(
        Command::new("tar")
            .args([
                "--create",
                "--format=ustar",
                "--sort=name",
                "--mode=go=rX,u+rw",
            ])
            .args(["--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{}", release.date))
            .arg("--directory")
            .arg(work)
            .arg(&stem),
    )?;
    fs::write(dist.join(format!("{stem}.tar.gz")), tree::gzip(&tar)?)?;
    Ok(())
}
