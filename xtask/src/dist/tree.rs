//! What every package installs, as files below a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::folder::{files, name};
use super::product::Product;
use crate::{paths, process};

/// A file of the tree, with its mode. The umask has no part in it.
pub(super) fn put(root: &Path, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let file = root.join(path);
    let dir = file.parent().context("a file below the root")?;
    fs::create_dir_all(dir)?;
    for dir in dir.ancestors().take_while(|dir| dir.starts_with(root)) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// The tree of a distribution's package. zsh's folder has another name in each family.
pub(super) fn system(product: &Product<'_>, root: &Path, zsh: &str) -> Result<()> {
    let binary = fs::read(&product.binary)?;
    put(root, "usr/bin/zombie-trace", &binary, 0o755)?;
    for (page, text) in man_pages()? {
        let path = format!("usr/share/man/man1/{page}.gz");
        put(root, &path, &gzip(&text)?, 0o644)?;
    }
    for (shell, path) in [
        ("bash", "usr/share/bash-completion/completions/zombie-trace"),
        ("zsh", zsh),
        (
            "fish",
            "usr/share/fish/vendor_completions.d/zombie-trace.fish",
        ),
    ] {
        put(root, path, product.completion(shell)?, 0o644)?;
    }
    let unit = fs::read_to_string(paths::root().join("deploy/zombie-trace.service"))?;
    let unit = unit
        .replace("/usr/local/bin/", "/usr/bin/")
        .replace(" Copy it to /etc/systemd/system.", "");
    let path = "usr/lib/systemd/system/zombie-trace.service";
    put(root, path, unit.as_bytes(), 0o644)?;
    documents(product, root, "usr/share/doc/zombie-trace/")
}

/// What there is to read, licences included.
pub(super) fn documents(product: &Product<'_>, root: &Path, prefix: &str) -> Result<()> {
    for file in ["README.md", "CHANGELOG.md", "SECURITY.md"] {
        let content = fs::read(paths::root().join(file))?;
        put(root, &format!("{prefix}{file}"), &content, 0o644)?;
    }
    for schema in files(&paths::root().join("docs/schema"))? {
        let path = format!("{prefix}schema/{}", name(&schema));
        put(root, &path, &fs::read(&schema)?, 0o644)?;
    }
    let copyright = product.copyright.as_bytes();
    put(root, &format!("{prefix}copyright"), copyright, 0o644)
}

/// The man pages by file name.
pub(super) fn man_pages() -> Result<Vec<(String, Vec<u8>)>> {
    files(&paths::root().join("docs"))?
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "1"))
        .map(|file| Ok((name(&file), fs::read(&file)?)))
        .collect()
}

/// Compressed without a name and a date.
pub(super) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    process::filter(Command::new("gzip").args(["--no-name", "--best"]), content)
}
