//! The distribution's packages for an architecture, unpacked below target/vm.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::apt::Apt;
use crate::arch::Arch;
use crate::paths;

/// The suites that have the kernels.
const SUITES: [&str; 4] = ["bullseye", "bookworm", "trixie", "trixie-backports"];

/// The suites with the standard library of the distribution's current compiler for other architectures.
const SECURITY: [&str; 2] = ["bookworm-security", "trixie-security"];

/// The packages of an architecture, and a folder for what is in them.
pub(crate) struct Store {
    pub(crate) arch: &'static Arch,
    pub(crate) directory: PathBuf,
    pub(crate) apt: Apt,
}

impl Store {
    pub(crate) fn open(arch: &'static Arch) -> Result<Self> {
        let directory = paths::target_dir().join("vm").join(arch.name);
        let mut suites = SUITES.to_vec();
        if !arch.is_native() {
            suites.extend(SECURITY);
        }
        let apt = Apt::new(&directory.join("apt"), &suites, arch.name)?;
        Ok(Self {
            arch,
            directory,
            apt,
        })
    }

    /// Finds a file in an unpacked package, at the first of these places.
    pub(crate) fn file(&self, package: &str, places: &[&str]) -> Result<PathBuf> {
        let unpacked = self.directory.join(package);
        if !unpacked.is_dir() {
            let part = self.directory.join(format!("{package}.part"));
            self.apt.unpack(package, &part)?;
            fs::rename(&part, &unpacked).with_context(|| format!("{}", unpacked.display()))?;
        }
        let mut files = places.iter().map(|place| unpacked.join(place));
        files
            .find(|path| path.is_file())
            .with_context(|| format!("package {package} holds no {}", places[0]))
    }

    /// A root with these packages and all that they depend on, as they are before they are configured.
    pub(crate) fn system(&self, packages: &[&str]) -> Result<PathBuf> {
        let root = self.directory.join(packages.join("+"));
        if !root.is_dir() {
            let part = root.with_extension("part");
            self.apt.unpack_with_dependencies(packages, &part)?;
            fs::rename(&part, &root).with_context(|| format!("{}", root.display()))?;
        }
        Ok(root)
    }
}
