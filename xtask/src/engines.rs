//! The monitoring systems that the tests ask, from the distribution's packages, and a checker of
//! Kubernetes' files, from Python's. Another version of Go than the distribution's.
//!
//! They are unpacked into the target directory: installing them would start services.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::{self, Apt};
use crate::paths;
use crate::process::run;

/// The suite whose VictoriaMetrics takes OTLP, which is from 1.92 on. Debian's Prometheus is built
/// without.
const TAKES_OTLP: &str = "trixie";

/// Where programs lie in a package.
const PROGRAMS: &str = "usr/bin";

/// Directories of programs.
pub(crate) struct Engines {
    /// Prometheus, with promtool.
    pub(crate) prometheus: PathBuf,
    /// VictoriaMetrics, which answers the same queries.
    pub(crate) victoria_metrics: PathBuf,
}

impl Engines {
    /// Finds them, or fetches them for good.
    pub(crate) fn find_or_fetch() -> Result<Self> {
        if let Some(reason) = apt::missing() {
            bail!(reason);
        }
        let suite = suite().context("/etc/os-release names no VERSION_CODENAME")?;
        Ok(Self {
            prometheus: find_or_fetch("prometheus", &suite)?,
            victoria_metrics: find_or_fetch("victoria-metrics", TAKES_OTLP)?,
        })
    }
}

/// Finds kubernetes-validate, which has the schemas of Kubernetes' API, or fetches it for good.
pub(crate) fn kubernetes_validate() -> Result<PathBuf> {
    const PACKAGE: &str = "kubernetes-validate==1.37.0";
    let directory = paths::target_dir().join("engines/kubernetes-validate");
    let program = directory.join("bin/kubernetes-validate");
    if !program.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&directory))
            .context("Debian has it in python3-venv")?;
        run(Command::new(directory.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(PACKAGE))?;
    }
    Ok(program)
}

/// Finds a Go whose tables of functions are written as Go 1.20 and later do, or fetches it for good. Gives
/// its root.
pub(crate) fn go() -> Result<PathBuf> {
    const VERSION: &str = "1.24";
    const SUITE: &str = "trixie";
    if let Some(reason) = apt::missing() {
        bail!(reason);
    }
    let directory = paths::target_dir().join("engines");
    let unpacked = directory.join(format!("golang-{VERSION}-{SUITE}"));
    let root = unpacked.join(format!("usr/lib/go-{VERSION}"));
    if !root.join("bin/go").is_file() {
        let apt = Apt::new(&directory.join(format!("apt-{SUITE}")), &[SUITE], "amd64")?;
        let part = unpacked.with_extension("part");
        let source = unpacked.with_extension("source");
        apt.unpack(&format!("golang-{VERSION}-go"), &part)?;
        apt.unpack(&format!("golang-{VERSION}-src"), &source)?;
        // The package of the programs has links to the other one's files.
        let copy = |from: PathBuf| run(Command::new("cp").arg("-a").arg(from).arg(&part));
        copy(source.join("usr"))?;
        let _ = fs::remove_dir_all(&source);
        let _ = fs::remove_dir_all(&unpacked);
        fs::rename(&part, &unpacked).with_context(|| format!("{}", part.display()))?;
    }
    Ok(root)
}

/// Gives the directory of a package's program, which has the package's name.
fn find_or_fetch(package: &str, suite: &str) -> Result<PathBuf> {
    Ok(unpacked(package, suite)?.join(PROGRAMS))
}

/// Gives the directory of an unpacked package, fetched for good.
pub(crate) fn unpacked(package: &str, suite: &str) -> Result<PathBuf> {
    let directory = paths::target_dir().join("engines");
    let unpacked = directory.join(format!("{package}-{suite}"));
    if !unpacked.is_dir() {
        let apt = Apt::new(&directory.join(format!("apt-{suite}")), &[suite], "amd64")?;
        let part = unpacked.with_extension("part");
        apt.unpack(package, &part)?;
        fs::rename(&part, &unpacked).with_context(|| format!("{}", part.display()))?;
    }
    Ok(unpacked)
}

/// This distribution's suite.
pub(crate) fn suite() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    codename(&text).map(Into::into)
}

fn codename(os_release: &str) -> Option<&str> {
    let mut lines = os_release.lines();
    let name = lines.find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let name = name.trim_matches('"');
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codename_is_the_suite() {
        assert_eq!(
            codename("ID=debian\nVERSION_CODENAME=bookworm\n"),
            Some("bookworm")
        );
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"\n"), Some("trixie"));
        assert_eq!(codename("ID=arch\n"), None);
    }
}
