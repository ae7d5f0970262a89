//! bpf-linker, and the LLVM that it was built with.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

use crate::packages;
use crate::paths::cargo_home;
use crate::process::{cargo, find_program, is_program, path_dirs, probe, run};

/// The release of bpf-linker that makes the committed object.
pub(crate) const VERSION: &str = "0.13.0";

/// The LLVM major versions that this release has a feature for.
const LLVM_FEATURES: std::ops::RangeInclusive<u32> = 21..=23;

/// An installed bpf-linker.
#[derive(Clone, Debug)]
pub(crate) struct Linker {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
    /// The version of the LLVM library that it loads; none if LLVM is linked into it.
    pub(crate) llvm: Option<String>,
}

impl Linker {
    /// Whether it is the release we want and can read what a compiler with this LLVM writes.
    pub(crate) fn fits(&self, llvm_major: u32) -> bool {
        let same_llvm = match &self.llvm {
            Some(version) => version.split('.').next() == Some(&llvm_major.to_string()),
            // Linking tells.
            None => true,
        };
        self.version == VERSION && same_llvm
    }
}

impl fmt::Display for Linker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let llvm = self.llvm.as_deref().unwrap_or("linked in");
        let path = self.path.display();
        write!(f, "{}, LLVM {llvm}: {path}", self.version)
    }
}

/// Every bpf-linker on `PATH` and where `cargo install` puts it.
pub(crate) fn detect() -> Vec<Linker> {
    let mut paths: Vec<PathBuf> = path_dirs()
        .into_iter()
        .chain([cargo_home().join("bin")])
        .map(|dir| dir.join("bpf-linker"))
        .filter(|path| is_program(path))
        .collect();
    paths.dedup();
    paths.iter().filter_map(|path| inspect(path)).collect()
}

fn inspect(path: &Path) -> Option<Linker> {
    let answer = probe(Command::new(path).arg("--version"))?;
    let version = answer.trim().strip_prefix("bpf-linker ")?.to_owned();
    let llvm = fs::read(path).ok().and_then(|elf| loaded_llvm(&elf));
    Some(Linker {
        path: path.to_owned(),
        version,
        llvm: llvm.map(exact_version),
    })
}

/// The version in the name of the LLVM library that a program loads: `22.1` of `libLLVM.so.22.1`.
fn loaded_llvm(elf: &[u8]) -> Option<String> {
    let file = object::File::parse(elf).ok()?;
    let names = file.section_by_name(".dynstr")?.data().ok()?;
    names
        .split(|byte| *byte == 0)
        .filter_map(|name| std::str::from_utf8(name).ok())
        .find_map(llvm_of_library)
}

fn llvm_of_library(name: &str) -> Option<String> {
    let rest = name.strip_prefix("libLLVM")?;
    let rest = rest
        .trim_start_matches(".so")
        .trim_start_matches(['-', '.']);
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let version: Vec<_> = rest.split(['.', '-']).take_while(digits).collect();
    (!version.is_empty()).then(|| version.join("."))
}

/// The full version where the library's name has only its first parts.
fn exact_version(of_library: String) -> String {
    let major = of_library
        .split('.')
        .next()
        .and_then(|text| text.parse().ok());
    major
        .and_then(llvm_prefix)
        .and_then(|prefix| probe(Command::new(prefix.join("bin/llvm-config")).arg("--version")))
        .map(|version| version.trim().to_owned())
        .filter(|version| version.starts_with(&of_library))
        .unwrap_or(of_library)
}

/// Installs our release of bpf-linker for this LLVM, under `root` or where cargo wants it.
pub(crate) fn install(llvm_major: u32, root: Option<&Path>) -> Result<()> {
    if !LLVM_FEATURES.contains(&llvm_major) {
        bail!(
            "bpf-linker {VERSION} works with LLVM {} to {}, not with the {llvm_major} of this \
             rustc",
            LLVM_FEATURES.start(),
            LLVM_FEATURES.end()
        );
    }
    if find_program("cc").is_none() {
        packages::install(&["gcc", "libc6-dev"])?;
    }
    if !has_development_files(llvm_major) {
        packages::install(&[&format!("llvm-{llvm_major}-dev")])?;
    }
    let prefix = llvm_prefix(llvm_major)
        .with_context(|| format!("found no LLVM {llvm_major} (llvm-config)"))?;
    println!("installing bpf-linker {VERSION} with {}", prefix.display());
    let mut command = cargo();
    command
        .args(["install", "bpf-linker", "--version", VERSION])
        .args(["--locked", "--force", "--no-default-features", "--features"])
        .arg(format!("llvm-{llvm_major}"))
        .env("LLVM_PREFIX", prefix)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS");
    if let Some(root) = root {
        command.arg("--root").arg(root);
    }
    run(&mut command)
}

/// Where an LLVM of that major version is installed.
fn llvm_prefix(major: u32) -> Option<PathBuf> {
    let of_environment = env::var_os("LLVM_PREFIX").map(PathBuf::from);
    [
        of_environment,
        Some(format!("/usr/lib/llvm-{major}").into()),
    ]
    .into_iter()
    .flatten()
    .find(|prefix| {
        probe(Command::new(prefix.join("bin/llvm-config")).arg("--version"))
            .is_some_and(|version| version.starts_with(&format!("{major}.")))
    })
}

fn has_development_files(major: u32) -> bool {
    llvm_prefix(major).is_some_and(|prefix| prefix.join("include/llvm-c/Core.h").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_tells_its_llvm() {
        let version = |name| llvm_of_library(name);
        assert_eq!(version("libLLVM.so.22.1").as_deref(), Some("22.1"));
        assert_eq!(version("libLLVM-14.so.1").as_deref(), Some("14"));
        assert_eq!(
            version("libLLVM.so.22.1-rust-1.95.0-stable").as_deref(),
            Some("22.1")
        );
        assert_eq!(version("libc.so.6"), None);
    }

    #[test]
    fn release_and_llvm_must_both_fit() {
        let linker = |version: &str, llvm: Option<&str>| Linker {
            path: PathBuf::from("bpf-linker"),
            version: version.into(),
            llvm: llvm.map(str::to_owned),
        };
        assert!(linker(VERSION, Some("22.1.8")).fits(22));
        assert!(linker(VERSION, None).fits(22));
        assert!(!linker(VERSION, Some("2.1")).fits(22));
        assert!(!linker("0.10.3", Some("22.1.8")).fits(22));
    }

    #[test]
    fn an_llvm_too_new_is_named() {
        let error = install(40, None).unwrap_err();
        assert!(error.to_string().contains("not with the 40"), "{error}");
    }
}
