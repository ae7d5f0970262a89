//! The Debian package.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{product::Product, tree};
use crate::arch::Arch;
use crate::process;

/// In both packages.
pub(super) const SUMMARY: &str = "Show how long child processes stay zombies, and why";
pub(super) const DESCRIPTION: [&str; 3] = [
    "zombie-trace shows how long each child process stayed a zombie, who reaped it,",
    "and why that took so long. It reads the kernel's own events by eBPF, so it sees",
    "every zombie. It needs Linux 5.10 or later with BTF.",
];

pub(super) fn file_name(version: &str, arch: &Arch) -> String {
    format!("zombie-trace_{version}_{}.deb", arch.name)
}

pub(super) fn make(product: &Product<'_>, work: &Path, dist: &Path) -> Result<()> {
    let release = product.release;
    let root = work.join("deb");
    tree::system(
        product,
        &root,
        "usr/share/zsh/vendor-completions/_zombie-trace",
    )?;
    let size = process::output(
        Command::new("du")
            .args(["--summarize", "--apparent-size", "--block-size=1K"])
            .arg(&root),
    )?;
    let size = size.split_whitespace().next().unwrap_or("0");
    let control = format!(
        "Package: zombie-trace\n\
         Version: {}\n\
         Architecture: {}\n\
         Maintainer: The zombie-trace authors\n\
         Installed-Size: {size}\n\
         Suggests: bash-completion\n\
         Section: utils\n\
         Priority: optional\n\
         Description: {SUMMARY}\n {}\n",
        release.version,
        product.arch.name,
        DESCRIPTION.join("\n ")
    );
    tree::put(&root, "DEBIAN/control", control.as_bytes(), 0o644)?;
    let package = dist.join(file_name(&release.version, product.arch));
    process::run(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zxz", "--build"])
            .arg(&root)
            .arg(package)
            .env("SOURCE_DATE_EPOCH", release.date.to_string()),
    )
}
