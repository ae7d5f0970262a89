//! The program of an architecture, and what its packages have besides.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::release::Release;
use super::{build, licences};
use crate::arch::{self, Arch};
use crate::process::output;

/// The shells that a package has a script for.
const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "elvish"];

pub(super) struct Product<'a> {
    pub(super) release: &'a Release,
    pub(super) arch: &'static Arch,
    /// The program.
    pub(super) binary: PathBuf,
    /// The licences of all that is in it.
    pub(super) copyright: String,
    completions: &'a [Completion],
}

/// A shell and its script.
type Completion = (&'static str, String);

/// Has the program write its completion scripts, which are the same for each architecture.
pub(super) fn completions(target_dir: &Path) -> Result<Vec<Completion>> {
    let native = build::static_binary(&arch::AMD64, target_dir)?;
    let script = |shell| output(Command::new(&native).args(["completions", shell]));
    SHELLS
        .into_iter()
        .map(|shell| Ok((shell, script(shell)?)))
        .collect()
}

impl<'a> Product<'a> {
    /// Builds the program below `target_dir`.
    pub(super) fn build(
        release: &'a Release,
        arch: &'static Arch,
        completions: &'a [Completion],
        target_dir: &Path,
    ) -> Result<Self> {
        Ok(Self {
            release,
            arch,
            completions,
            copyright: licences::copyright(arch)?,
            binary: build::static_binary(arch, target_dir)?,
        })
    }

    /// A shell's completion script.
    pub(super) fn completion(&self, shell: &str) -> Result<&[u8]> {
        let mut completions = self.completions.iter();
        completions
            .find(|(name, _)| *name == shell)
            .map(|(_, script)| script.as_bytes())
            .with_context(|| format!("no completion for {shell}"))
    }
}
