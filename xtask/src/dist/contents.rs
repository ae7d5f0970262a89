//! Checks a package's fields, and the files that it installs with their owners, modes and dates.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::folder::{files, name};
use super::install::{Kind, Package};
use super::{archive, tree};
use crate::paths;
use crate::process::output;

/// Modes by path.
type Modes = BTreeMap<String, u32>;

/// Where dpkg and rpm keep their own records.
const RECORDS: &str = "var";

pub(super) fn check(package: &Package, date: u64) -> Result<()> {
    fields(package, date)?;
    let mut found = Modes::new();
    walk(&package.root, &package.root, date, &mut found)?;
    let expected = expected(package)?;
    if found != expected {
        bail!(
            "{} has other files: {}",
            package.file.display(),
            differences(&found, &expected)
        );
    }
    Ok(())
}

/// Checks name, version, architecture and dependencies.
fn fields(package: &Package, date: u64) -> Result<()> {
    let (found, expected) = match package.kind {
        Kind::Archive => return Ok(()),
        Kind::Deb => (
            output(
                Command::new("dpkg-deb")
                    .args(["--show", "--showformat"])
                    .arg("${Package} ${Version} ${Architecture} [${Depends}] ${Section}")
                    .arg(&package.file),
            )?,
            format!(
                "zombie-trace {} {} [] utils",
                package.version, package.arch.name
            ),
        ),
        Kind::Rpm => (
            output(
                Command::new("rpm")
                    .args(["--query", "--queryformat"])
                    .arg(
                        "%{NAME} %{VERSION}-%{RELEASE} %{ARCH} %{OS} [%{REQUIRENAME} ]\
                         %{BUILDHOST} %{BUILDTIME}",
                    )
                    .arg("--package")
                    .arg(&package.file),
            )?
            .split(' ')
            // What rpm itself must know, in no order.
            .filter(|word| !word.starts_with("rpmlib("))
            .collect::<Vec<_>>()
            .join(" "),
            format!(
                "zombie-trace {}-1 {} linux localhost {date}",
                package.version, package.arch.rpm
            ),
        ),
    };
    match found == expected {
        true => Ok(()),
        false => bail!(
            "{} says {found:?}, not {expected:?}",
            package.file.display()
        ),
    }
}

/// Collects files and their modes. Everything must belong to root and have the commit's date.
fn walk(root: &Path, dir: &Path, date: u64, found: &mut Modes) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        let below = path.strip_prefix(root)?.to_string_lossy().into_owned();
        if below == RECORDS {
            continue;
        }
        let meta = path.symlink_metadata()?;
        let mode = meta.mode() & 0o7777;
        if (meta.uid(), meta.gid()) != (0, 0) {
            bail!("{below} belongs to {}:{}", meta.uid(), meta.gid());
        }
        if meta.is_dir() {
            if mode != 0o755 {
                bail!("the folder {below} has the mode {mode:o}");
            }
            walk(root, &path, date, found)?;
        } else {
            if u64::try_from(meta.mtime()) != Ok(date) {
                bail!("{below} is of {}, not of the commit's {date}", meta.mtime());
            }
            found.insert(below, mode);
        }
    }
    Ok(())
}

/// What is to be installed.
fn expected(package: &Package) -> Result<Modes> {
    let mut paths: Vec<String> = Vec::new();
    let places = package.places();
    let documents = match package.kind {
        Kind::Archive => {
            let top = archive::stem(&package.version, package.arch);
            for (page, _) in tree::man_pages()? {
                paths.push(format!("{top}/man/{page}"));
            }
            for script in [
                "zombie-trace.bash",
                "zombie-trace.fish",
                "zombie-trace.elv",
                "_zombie-trace",
            ] {
                paths.push(format!("{top}/completions/{script}"));
            }
            top
        }
        Kind::Deb | Kind::Rpm => {
            for (page, _) in tree::man_pages()? {
                paths.push(format!("usr/share/man/man1/{page}.gz"));
            }
            let zsh = match package.kind {
                Kind::Deb => "vendor-completions",
                _ => "site-functions",
            };
            paths.extend([
                "usr/share/bash-completion/completions/zombie-trace".into(),
                "usr/share/fish/vendor_completions.d/zombie-trace.fish".into(),
                format!("usr/share/zsh/{zsh}/_zombie-trace"),
                "usr/lib/systemd/system/zombie-trace.service".into(),
            ]);
            "usr/share/doc/zombie-trace".into()
        }
    };
    for document in ["README.md", "CHANGELOG.md", "SECURITY.md", "copyright"] {
        paths.push(format!("{documents}/{document}"));
    }
    for schema in files(&paths::root().join("docs/schema"))? {
        paths.push(format!("{documents}/schema/{}", name(&schema)));
    }
    let mut modes: Modes = paths.into_iter().map(|path| (path, 0o644)).collect();
    modes.insert(places.program, 0o755);
    Ok(modes)
}

/// Marks missing files with `-`, unexpected ones with `+`.
fn differences(found: &Modes, expected: &Modes) -> String {
    let only = |sign: char, one: &Modes, other: &Modes| -> Vec<String> {
        one.iter()
            .filter(|(path, mode)| other.get(*path) != Some(*mode))
            .map(|(path, mode)| format!("{sign}{path} ({mode:o})"))
            .collect()
    };
    let mut lines = only('-', expected, found);
    lines.extend(only('+', found, expected));
    lines.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_files_and_modes_are_named() {
        let modes = |list: &[(&str, u32)]| -> Modes {
            list.iter()
                .map(|(path, mode)| ((*path).to_owned(), *mode))
                .collect()
        };
        let found = modes(&[("a", 0o644), ("b", 0o600), ("d", 0o644)]);
        let expected = modes(&[("a", 0o644), ("b", 0o644), ("c", 0o755)]);
        assert_eq!(
            differences(&found, &expected),
            "-b (644), -c (755), +b (600), +d (644)"
        );
    }
}
