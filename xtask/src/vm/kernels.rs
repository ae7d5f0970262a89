//! Which kernels the distribution has, and their images.

use std::cmp::Ordering;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::{Arch, Flavour};
use crate::process::probe;
use crate::series::Series;
use crate::store::Store;

/// A kernel that the distribution packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// As `uname -r` will tell it.
    pub(super) release: String,
    /// The package with its image.
    package: String,
    /// What its processor is.
    pub(super) arch: &'static Arch,
    /// How it is built.
    pub(super) flavour: &'static Flavour,
}

/// The series that `--all` means, beside the newest kernel of all.
const SERIES: [&str; 3] = ["5.10", "6.1", "6.12"];

/// Newer packages keep the image apart from the boot loader's hooks; the unsigned ones are the
/// same.
const PREFIXES: [&str; 2] = ["linux-binary-", "linux-image-"];

impl Kernel {
    pub(super) fn from_package(name: &str, arch: &'static Arch) -> Option<Self> {
        let rest = PREFIXES
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))?;
        let mut flavours = arch.flavours.iter();
        let flavour = flavours.find(|flavour| rest.ends_with(flavour.suffix))?;
        // Not a metapackage, which names no release.
        rest.starts_with(|c: char| c.is_ascii_digit())
            .then(|| Self {
                release: rest.to_owned(),
                package: name.to_owned(),
                arch,
                flavour,
            })
    }

    /// Such as `6.12`, or `6.12-16k` with larger pages.
    pub(super) fn name(&self) -> String {
        format!("{}{}", self.series(), self.flavour.variant)
    }

    /// Its release's first two numbers.
    pub(super) fn series(&self) -> Series {
        let mut numbers = self.release.split(['.', '-', '+']);
        let mut next = || numbers.next().and_then(|number| number.parse().ok());
        Series(next().unwrap_or(0), next().unwrap_or(0))
    }

    /// The path of its image, from the package if it is not here yet.
    pub(super) fn image(&self, store: &Store) -> Result<PathBuf> {
        let directory = store.directory.join("kernels");
        fs::create_dir_all(&directory).with_context(|| format!("{}", directory.display()))?;
        let image = directory.join(format!("vmlinuz-{}", self.release));
        if image.is_file() {
            return Ok(image);
        }
        let unpacked = directory.join(format!("{}.part", self.release));
        store.apt.unpack(&self.package, &unpacked)?;
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
pub(super) fn newest_of_each_series(packages: &[String], arch: &'static Arch) -> Vec<Kernel> {
    let mut newest: Vec<Kernel> = Vec::new();
    for kernel in packages
        .iter()
        .filter_map(|name| Kernel::from_package(name, arch))
    {
        match newest
            .iter_mut()
            .find(|other| other.name() == kernel.name())
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
            .find(|kernel| kernel.name() == wanted)
            .cloned()
            .with_context(|| {
                let there: Vec<_> = known.iter().map(Kernel::name).collect();
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
    if all {
        let variants = SERIES.iter().flat_map(|series| {
            let of_series = |kernel: &&Kernel| kernel.series().to_string() == *series;
            known.iter().filter(of_series)
        });
        chosen.extend(
            variants
                .filter(|kernel| !kernel.flavour.variant.is_empty())
                .cloned(),
        );
    }
    // The usual one of the newest is the last of all.
    let newest = known.iter().map(Kernel::series).max();
    let mut newest: Vec<_> = known
        .iter()
        .filter(|kernel| Some(kernel.series()) == newest)
        .filter(|kernel| all || kernel.flavour.variant.is_empty())
        .cloned()
        .collect();
    newest.sort_by_key(|kernel| kernel.flavour.variant.is_empty());
    chosen.extend(newest);
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Name;

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
        newest_of_each_series(&packages.map(String::from), Name::Amd64.arch())
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
            |kernels: Vec<Kernel>| -> Vec<String> { kernels.iter().map(Kernel::name).collect() };
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
        assert_eq!(known[0].series(), Series(5, 10));
        let error = choose(&known, &["4.19".into()], false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no kernel 4.19: there are 5.10, 6.1, 6.12, 7.2, 7.3"
        );
    }

    #[test]
    fn pages_of_another_size_are_kernels_of_their_own() {
        let packages = [
            "linux-image-5.10.0-32-cloud-arm64",
            "linux-image-6.1.0-51-cloud-arm64",
            "linux-image-6.12.94+deb13-cloud-arm64",
            "linux-image-6.12.94+deb13-arm64-16k",
            "linux-image-6.12.94+deb13-arm64-16k-dbg",
            "linux-image-6.12.94+deb13-rt-arm64",
            "linux-image-7.3.4+deb13-arm64-16k",
            "linux-image-7.3.4+deb13-cloud-arm64",
        ];
        let known = newest_of_each_series(&packages.map(String::from), Name::Arm64.arch());
        let chosen = |series: &[&str], all| -> Vec<String> {
            let series: Vec<_> = series.iter().map(|name| (*name).to_owned()).collect();
            let kernels = choose(&known, &series, all).unwrap();
            kernels.iter().map(Kernel::name).collect()
        };
        assert_eq!(chosen(&["6.12-16k"], false), ["6.12-16k"]);
        assert_eq!(chosen(&["6.12"], false), ["6.12"]);
        assert_eq!(chosen(&[], false), ["5.10", "7.3"]);
        assert_eq!(
            chosen(&[], true),
            ["5.10", "6.1", "6.12", "6.12-16k", "7.3-16k", "7.3"]
        );
    }
}
