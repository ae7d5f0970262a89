//! Which kernels the distribution has, and their images.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::process::probe;

/// A kernel that the distribution packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// As `uname -r` will tell it.
    pub(super) release: String,
    /// The package with its image.
    package: String,
}

/// The series that `--all` means, beside the newest kernel of all.
const SERIES: [&str; 3] = ["5.10", "6.1", "6.12"];

/// The small kernels for virtual machines: they need no modules to boot.
const FLAVOUR: &str = "-cloud-amd64";

/// Newer packages keep the image apart from the boot loader's hooks; the unsigned ones are the
/// same.
const PREFIXES: [&str; 2] = ["linux-binary-", "linux-image-"];

impl Kernel {
    pub(super) fn from_package(name: &str) -> Option<Self> {
        let rest = PREFIXES
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))?;
        let release = rest.strip_suffix(FLAVOUR)?;
        // Not a metapackage, which names no release.
        release
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| Self {
                release: format!("{release}{FLAVOUR}"),
                package: name.to_owned(),
            })
    }

    /// Such as `6.12`.
    pub(super) fn series(&self) -> String {
        let mut parts = self.release.split(['.', '-', '+']);
        let (major, minor) = (parts.next(), parts.next());
        format!(
            "{}.{}",
            major.unwrap_or_default(),
            minor.unwrap_or_default()
        )
    }

    /// The path of its image, from the package if it is not here yet.
    pub(super) fn image(&self, apt: &Apt, directory: &Path) -> Result<PathBuf> {
        let image = directory.join(format!("vmlinuz-{}", self.release));
        if image.is_file() {
            return Ok(image);
        }
        let unpacked = directory.join(format!("{}.part", self.release));
        apt.unpack(&self.package, &unpacked)?;
        let candidates = [
            unpacked.join(format!("boot/vmlinuz-{}", self.release)),
            unpacked.join(format!("usr/lib/modules/{}/vmlinuz", self.release)),
        ];
        let Some(found) = candidates.iter().find(|path| path.is_file()) else {
            bail!("package {} holds no kernel image", self.package);
        };
        fs::rename(found, &image).with_context(|| format!("{}", image.display()))?;
        fs::remove_dir_all(&unpacked).with_context(|| format!("{}", unpacked.display()))?;
        Ok(image)
    }
}

/// The newest kernel of each series that apt knows, the oldest first.
pub(super) fn newest_of_each_series(packages: &[String]) -> Vec<Kernel> {
    let mut newest: Vec<Kernel> = Vec::new();
    for kernel in packages
        .iter()
        .filter_map(|name| Kernel::from_package(name))
    {
        match newest
            .iter_mut()
            .find(|other| other.series() == kernel.series())
        {
            Some(other) => {
                if is_better(&kernel, other) {
                    *other = kernel;
                }
            }
            None => newest.push(kernel),
        }
    }
    newest.sort_by(|one, other| compare(&one.release, &other.release));
    newest
}

/// Newer, or the same in the package that holds the image itself.
fn is_better(kernel: &Kernel, other: &Kernel) -> bool {
    match compare(&kernel.release, &other.release) {
        Ordering::Greater => true,
        Ordering::Equal => kernel.package < other.package,
        Ordering::Less => false,
    }
}

/// By the distribution's own rules.
fn compare(one: &str, other: &str) -> Ordering {
    let holds = |relation: &str| {
        probe(Command::new("dpkg").args(["--compare-versions", one, relation, other])).is_some()
    };
    if holds("lt") {
        Ordering::Less
    } else if holds("gt") {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

/// Those of the asked series; every one of [`SERIES`] and the newest with `all`; the oldest and the
/// newest of these if nothing is asked for.
pub(super) fn choose(known: &[Kernel], series: &[String], all: bool) -> Result<Vec<Kernel>> {
    let of_series = |wanted: &str| {
        known
            .iter()
            .find(|kernel| kernel.series() == wanted)
            .cloned()
            .with_context(|| {
                let there: Vec<_> = known.iter().map(Kernel::series).collect();
                format!("no kernel {wanted}: there are {}", there.join(", "))
            })
    };
    if !series.is_empty() {
        return series.iter().map(|wanted| of_series(wanted)).collect();
    }
    let mut chosen = SERIES
        .iter()
        .map(|wanted| of_series(wanted))
        .collect::<Result<Vec<_>>>()?;
    if !all {
        chosen.truncate(1);
    }
    chosen.extend(known.last().cloned());
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Kernel> {
        let packages = [
            "linux-image-cloud-amd64",
            "linux-image-5.10.0-9-cloud-amd64",
            "linux-image-5.10.0-32-cloud-amd64",
            "linux-image-5.10.0-32-cloud-amd64-unsigned",
            "linux-image-6.1.0-51-cloud-amd64",
            "linux-image-6.12.94+deb13-cloud-amd64",
            "linux-image-6.12.94+deb13-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-binary-7.2.12+deb13-cloud-amd64",
        ];
        newest_of_each_series(&packages.map(String::from))
    }

    #[test]
    fn the_newest_of_each_series_the_oldest_first() {
        let found: Vec<_> = known().into_iter().map(|kernel| kernel.package).collect();
        assert_eq!(
            found,
            [
                "linux-image-5.10.0-32-cloud-amd64",
                "linux-image-6.1.0-51-cloud-amd64",
                "linux-image-6.12.94+deb13-cloud-amd64",
                "linux-binary-7.2.12+deb13-cloud-amd64",
                "linux-binary-7.3.4+deb13-cloud-amd64",
            ]
        );
    }

    #[test]
    fn what_is_asked_for_is_chosen() {
        let series =
            |kernels: Vec<Kernel>| -> Vec<String> { kernels.iter().map(Kernel::series).collect() };
        let known = known();
        assert_eq!(series(choose(&known, &[], false).unwrap()), ["5.10", "7.3"]);
        assert_eq!(
            series(choose(&known, &[], true).unwrap()),
            ["5.10", "6.1", "6.12", "7.3"]
        );
        assert_eq!(
            series(choose(&known, &["7.2".into()], false).unwrap()),
            ["7.2"]
        );
        let error = choose(&known, &["4.19".into()], false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no kernel 4.19: there are 5.10, 6.1, 6.12, 7.2, 7.3"
        );
    }
}
