//! The Prometheus that the tests ask, from the distribution's packages.
//!
//! They are unpacked into the target directory: installing them would start a service.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt::{self, Apt};
use crate::paths;

/// The suite with one that takes OTLP: 2.47 and later do.
const NEW: &str = "forky";

/// Where a program of the package lies.
const PROGRAMS: &str = "usr/bin";

/// Directories of programs.
pub(crate) struct Prometheus {
    /// This distribution's, with promtool.
    pub(crate) ours: PathBuf,
    /// One that takes OTLP.
    pub(crate) new: PathBuf,
}

impl Prometheus {
    /// Finds them, or fetches them for good.
    pub(crate) fn find_or_fetch() -> Result<Self> {
        if let Some(reason) = apt::missing() {
            bail!(reason);
        }
        let suite = suite().context("/etc/os-release names no VERSION_CODENAME")?;
        let directory = paths::target_dir().join("prometheus");
        let find_or_fetch = |suite: &str| -> Result<PathBuf> {
            let unpacked = directory.join(suite);
            if !unpacked.join(PROGRAMS).join("prometheus").is_file() {
                // apt's own directory of lists is for one choice of suites.
                let apt = Apt::new(&directory.join(format!("apt-{suite}")), &[suite])?;
                let part = directory.join(format!("{suite}.part"));
                apt.unpack("prometheus", &part)?;
                let _ = fs::remove_dir_all(&unpacked);
                fs::rename(&part, &unpacked).with_context(|| format!("{}", part.display()))?;
            }
            Ok(unpacked.join(PROGRAMS))
        };
        Ok(Self {
            ours: find_or_fetch(&suite)?,
            new: find_or_fetch(NEW)?,
        })
    }
}

/// This distribution's suite.
fn suite() -> Option<String> {
    let text = fs::read_to_string(Path::new("/etc/os-release")).ok()?;
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
