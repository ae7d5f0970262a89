//! Rust compilers that can build for the eBPF target.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::TARGET;
use crate::paths::rustup_home;
use crate::process::{cargo_path, is_program, path_dirs, probe};

/// Where the eBPF target's `core` library comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CoreLibrary {
    /// It comes compiled with the compiler, as Debian packages it.
    Prebuilt,
    /// Cargo compiles it from the rust-src component: nightly only.
    BuildStd,
}

/// What `rustc -vV` says, as far as it decides which code comes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RustcVersion {
    /// Such as `1.96.0`.
    pub(crate) release: String,
    /// The commit of rust-lang/rust.
    pub(crate) commit_hash: String,
    /// The version of the LLVM that it uses.
    pub(crate) llvm: String,
}

impl RustcVersion {
    fn parse(verbose: &str) -> Option<Self> {
        let field = |name: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
        };
        Some(Self {
            release: field("release")?,
            commit_hash: field("commit-hash")?,
            llvm: field("LLVM version")?,
        })
    }

    /// LLVM's major version.
    pub(crate) fn llvm_major(&self) -> Option<u32> {
        self.llvm.split('.').next()?.parse().ok()
    }

    /// Whether it is at least 1.`minor`.
    fn is_at_least(&self, minor: u32) -> bool {
        let mut parts = self.release.split(['.', '-']);
        parts.next() == Some("1")
            && parts
                .next()
                .and_then(|text| text.parse::<u32>().ok())
                .is_some_and(|have| have >= minor)
    }
}

impl fmt::Display for RustcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commit = self.commit_hash.get(..9).unwrap_or(&self.commit_hash);
        write!(f, "{} ({commit}), LLVM {}", self.release, self.llvm)
    }
}

/// A compiler that can build for the eBPF target.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    pub(crate) rustc: PathBuf,
    pub(crate) cargo: OsString,
    pub(crate) sysroot: PathBuf,
    pub(crate) version: RustcVersion,
    pub(crate) core: CoreLibrary,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = match self.core {
            CoreLibrary::Prebuilt => "prebuilt core",
            CoreLibrary::BuildStd => "core from rust-src",
        };
        write!(f, "{}, {core}: {}", self.version, self.rustc.display())
    }
}

/// The compilers of this machine that can build for the eBPF target, the best first: rustup's
/// nightlies with rust-src, then those with a prebuilt core.
pub(crate) fn detect() -> Vec<Toolchain> {
    let mut found: Vec<Toolchain> = Vec::new();
    let candidates = nightlies(&rustup_home().join("toolchains"))
        .into_iter()
        .chain(system_compilers());
    for rustc in candidates {
        if let Some(toolchain) = inspect(&rustc)
            && !found.iter().any(|known| known.sysroot == toolchain.sysroot)
        {
            found.push(toolchain);
        }
    }
    found
}

/// The compilers of rustup's nightly toolchains, the undated one first. The folder is read instead
/// of asking rustup, which might install what is missing.
fn nightlies(toolchains: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(toolchains)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("nightly-"))
        .collect();
    names.sort_by_key(|name| {
        let dated = name["nightly-".len()..].starts_with(|first: char| first.is_ascii_digit());
        (dated, name.clone())
    });
    names
        .iter()
        .map(|name| toolchains.join(name).join("bin/rustc"))
        .collect()
}

/// The distribution's compiler, which rustup's shim hides on `PATH`, and all that are on `PATH`.
fn system_compilers() -> Vec<PathBuf> {
    let on_path = path_dirs().into_iter().map(|dir| dir.join("rustc"));
    [PathBuf::from("/usr/bin/rustc")]
        .into_iter()
        .chain(on_path)
        .filter(|path| is_program(path))
        .collect()
}

fn inspect(rustc: &Path) -> Option<Toolchain> {
    let sysroot = PathBuf::from(probe(Command::new(rustc).args(["--print", "sysroot"]))?.trim());
    let version = RustcVersion::parse(&probe(Command::new(rustc).arg("-vV"))?)?;
    let nightly = version.release.ends_with("-nightly");
    let core = core_library(&sysroot, nightly)?;
    // The workspace's rust-version; zombie-trace-common inherits it.
    let minimum = env!("CARGO_PKG_RUST_VERSION").split('.').nth(1)?;
    if !version.is_at_least(minimum.parse().ok()?) {
        return None;
    }
    let own_cargo = sysroot.join("bin/cargo");
    let cargo = match core {
        // -Z build-std wants the cargo of the same nightly.
        CoreLibrary::BuildStd if is_program(&own_cargo) => own_cargo.into(),
        CoreLibrary::BuildStd | CoreLibrary::Prebuilt => cargo_path(),
    };
    Some(Toolchain {
        rustc: rustc.to_owned(),
        cargo,
        sysroot,
        version,
        core,
    })
}

fn core_library(sysroot: &Path, nightly: bool) -> Option<CoreLibrary> {
    let rustlib = sysroot.join("lib/rustlib");
    if nightly && rustlib.join("src/rust/library/core/Cargo.toml").is_file() {
        return Some(CoreLibrary::BuildStd);
    }
    let has_prebuilt = fs::read_dir(rustlib.join(TARGET).join("lib"))
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            name.starts_with(b"libcore-") && name.ends_with(b".rlib")
        });
    has_prebuilt.then_some(CoreLibrary::Prebuilt)
}

/// What stands in debug information instead of where rust-src is installed. A prebuilt core names
/// its builder's folder, which rustc translates to rust-src where that is installed: translate back.
pub(crate) fn source_prefix(toolchain: &Toolchain) -> String {
    match toolchain.core {
        CoreLibrary::Prebuilt => format!("/usr/src/rustc-{}", toolchain.version.release),
        CoreLibrary::BuildStd => "rust".into(),
    }
}

/// `PATH` with `dir` in front.
pub(crate) fn path_with(dir: &Path) -> OsString {
    let dirs = [dir.to_owned()].into_iter().chain(path_dirs());
    env::join_paths(dirs).unwrap_or_else(|_| env::var_os("PATH").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBOSE: &str = "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\n\
        commit-hash: ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96\nhost: x86_64-unknown-linux-gnu\n\
        release: 1.96.0\nLLVM version: 22.1.8\n";

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_version_is_read() {
        let version = RustcVersion::parse(VERBOSE).unwrap();
        assert_eq!(version.to_string(), "1.96.0 (ac68faa20), LLVM 22.1.8");
        assert_eq!(version.llvm_major(), Some(22));
        assert!(version.is_at_least(96));
        assert!(!version.is_at_least(97));
        assert_eq!(RustcVersion::parse("rustc 1.96.0"), None);
    }

    #[test]
    fn a_nightly_release_has_a_minor_version() {
        let version = RustcVersion {
            release: "1.97.0-nightly".into(),
            commit_hash: String::new(),
            llvm: "22.1.4".into(),
        };
        assert!(version.is_at_least(97));
    }

    #[test]
    fn core_is_found_prebuilt_or_as_source() {
        let sysroot = folder("sysroot");
        assert_eq!(core_library(&sysroot, true), None);

        let prebuilt = sysroot.join("lib/rustlib").join(TARGET).join("lib");
        fs::create_dir_all(&prebuilt).unwrap();
        assert_eq!(core_library(&sysroot, true), None);
        fs::write(prebuilt.join("libcore-8056e5e5b270ef4d.rlib"), "").unwrap();
        assert_eq!(core_library(&sysroot, true), Some(CoreLibrary::Prebuilt));

        let source = sysroot.join("lib/rustlib/src/rust/library/core");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("Cargo.toml"), "").unwrap();
        assert_eq!(core_library(&sysroot, true), Some(CoreLibrary::BuildStd));
        assert_eq!(core_library(&sysroot, false), Some(CoreLibrary::Prebuilt));
        fs::remove_dir_all(sysroot).unwrap();
    }

    #[test]
    fn the_undated_nightly_comes_first() {
        let toolchains = folder("toolchains");
        for name in ["nightly-2026-05-19-x", "nightly-x", "stable-x"] {
            fs::create_dir_all(toolchains.join(name)).unwrap();
        }
        let found = nightlies(&toolchains);
        assert_eq!(
            found,
            [
                toolchains.join("nightly-x/bin/rustc"),
                toolchains.join("nightly-2026-05-19-x/bin/rustc"),
            ]
        );
        fs::remove_dir_all(toolchains).unwrap();
    }
}
