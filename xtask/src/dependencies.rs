//! What a dependency may be: deny.toml, by cargo-deny where it is installed, else by what cargo knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::arch::{AMD64, ARM64};
use crate::metadata::{CratePackage, Metadata};
use crate::paths;
use crate::process::{cargo, output, run};

/// The release of cargo-deny that `cargo xtask setup` installs.
const CARGO_DENY: &str = "0.20.2";

/// Crates that the program does without: one use does not justify them.
const NEEDLESS: [&str; 2] = ["opentelemetry_sdk", "rand"];

/// Licences, duplicates, sources and the oldest Rust. Advisories need the network.
pub(crate) fn check() -> Result<Vec<String>> {
    let tree = output(
        in_root(cargo())
            .args(["tree", "--locked", "--package", "zombie-trace"])
            .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]),
    )?;
    let needless = |line: &&str| {
        line.split(' ')
            .next()
            .is_some_and(|it| NEEDLESS.contains(&it))
    };
    if let Some(found) = tree.lines().find(needless) {
        bail!("zombie-trace depends on {found} again");
    }
    let rules = fs::read_to_string(paths::root().join("deny.toml")).context("deny.toml")?;
    let rules: Rules = toml::from_str(&rules).context("deny.toml")?;
    let faults = faults(&packages()?, &rules)?;
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    if is_installed() {
        run(cargo_deny().args(["check", "licenses", "bans", "sources"]))?;
    }
    Ok(Vec::new())
}

/// What the workspace's programs are made of.
fn packages() -> Result<Vec<CratePackage>> {
    let mut metadata = Metadata::of(&[&AMD64, &ARM64])?;
    metadata.drop_dev_dependencies();
    Ok(metadata.packages)
}

/// Installs cargo-deny, unless it is there.
pub(crate) fn find_or_install() -> Result<()> {
    if is_installed() {
        return Ok(());
    }
    println!("installing cargo-deny {CARGO_DENY}");
    run(cargo()
        .args(["install", "cargo-deny", "--version", CARGO_DENY, "--locked"])
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS"))
}

fn is_installed() -> bool {
    let version = cargo_deny().arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

fn cargo_deny() -> Command {
    let mut deny = in_root(cargo());
    deny.args(["deny", "--offline"]);
    deny
}

fn in_root(mut command: Command) -> Command {
    command.current_dir(paths::root());
    command
}

/// The parts of deny.toml that are checked without cargo-deny.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

/// What one crate may have besides.
#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

/// `NAME` or `NAME@VERSION`: a crate that may be there in two versions.
#[derive(Deserialize)]
struct Skip {
    #[serde(rename = "crate")]
    spec: String,
}

impl Skip {
    fn covers(&self, package: &CratePackage) -> bool {
        let (name, version) = self.spec.split_once('@').unwrap_or((&self.spec, ""));
        let rest = package.version.strip_prefix(version);
        let ends = |rest: &str| version.is_empty() || rest.is_empty() || rest.starts_with('.');
        package.name == name && rest.is_some_and(ends)
    }
}

/// A sentence for each fault.
fn faults(packages: &[CratePackage], rules: &Rules) -> Result<Vec<String>> {
    let oldest = packages
        .iter()
        .find(|package| package.name == "zombie-trace")
        .and_then(rust_version)
        .context("zombie-trace has no rust-version")?;
    let mut faults = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut sources = BTreeSet::new();
    for package in packages {
        let title = format!("{} {}", package.name, package.version);
        if !has_allowed_licence(package, &rules.licenses)? {
            let licence = package.license.as_deref().unwrap_or("none");
            faults.push(format!(
                "deny.toml does not allow the licence of {title}: {licence}"
            ));
        }
        if rust_version(package).is_some_and(|needed| needed > oldest) {
            let needed = package.rust_version.as_deref().unwrap_or_default();
            faults.push(format!(
                "{title} needs Rust {needed}, newer than our rust-version"
            ));
        }
        for dependency in &package.dependencies {
            if package.source.is_none() && dependency.req == "*" && dependency.path.is_none() {
                faults.push(format!("{title} takes any version of {}", dependency.name));
            }
        }
        if !rules.bans.skip.iter().any(|skip| skip.covers(package)) {
            versions
                .entry(&package.name)
                .or_default()
                .insert(&package.version);
        }
        sources.extend(package.source.as_deref());
    }
    for (name, versions) in versions {
        if versions.len() > 1 {
            let versions: Vec<_> = versions.into_iter().collect();
            faults.push(format!(
                "{name} is there more than once: {}",
                versions.join(", ")
            ));
        }
    }
    let is_registry = |source: &&&str| source.starts_with("registry+");
    if sources.len() > 1 || sources.iter().any(|source| !is_registry(&source)) {
        let sources: Vec<_> = sources.into_iter().collect();
        faults.push(format!(
            "not all crates are from one registry: {}",
            sources.join(", ")
        ));
    }
    Ok(faults)
}

fn has_allowed_licence(package: &CratePackage, licences: &Licences) -> Result<bool> {
    let exceptions = licences.exceptions.iter();
    let allowed = exceptions
        .filter(|exception| exception.name == package.name)
        .flat_map(|exception| &exception.allow)
        .chain(&licences.allow)
        .map(|licence| Licensee::parse(licence).with_context(|| format!("deny.toml: {licence}")))
        .collect::<Result<Vec<_>>>()?;
    let Some(licence) = &package.license else {
        return Ok(false);
    };
    let expression = Expression::parse_mode(licence, ParseMode::LAX)
        .with_context(|| format!("the licence of {}", package.name))?;
    Ok(expression.evaluate(|required| allowed.iter().any(|licence| licence.satisfies(required))))
}

/// The first two numbers.
fn rust_version(package: &CratePackage) -> Option<(u32, u32)> {
    let mut numbers = package.rust_version.as_deref()?.split('.');
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0 WITH LLVM-exception"]
        exceptions = [{ crate = "zombie-trace", allow = ["GPL-2.0-only"] }]
        [bans]
        skip = [{ crate = "syn@2" }]
    "#;

    /// The faults of a workspace's package and of these crates: name, version, licence and Rust version.
    fn found(crates: &[(&str, &str, &str, &str)]) -> Vec<String> {
        let package =
            |name: &str, version: &str, license: &str, rust: &str, source: Option<&str>| {
                serde_json::from_value(serde_json::json!({
                    "id": format!("{name}@{version}"), "name": name, "version": version,
                    "license": license, "manifest_path": "", "source": source,
                    "rust_version": rust, "targets": [],
                    "dependencies": [{"name": "libc", "req": "^1", "path": null}],
                }))
                .unwrap()
            };
        let mut packages: Vec<CratePackage> = vec![package(
            "zombie-trace",
            "0.1.0",
            "(MIT OR Apache-2.0) AND GPL-2.0-only",
            "1.88",
            None,
        )];
        packages.extend(crates.iter().map(|(name, version, license, rust)| {
            package(name, version, license, rust, Some("registry+one"))
        }));
        faults(&packages, &toml::from_str(RULES).unwrap()).unwrap()
    }

    #[test]
    fn this_repository_passes() {
        let rules = fs::read_to_string(paths::root().join("deny.toml")).unwrap();
        let packages = packages().unwrap();
        assert!(packages.len() > 100, "{} packages", packages.len());
        let faults = faults(&packages, &toml::from_str(&rules).unwrap()).unwrap();
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn what_deny_toml_allows_passes() {
        let allowed = [
            ("a", "1.0.0", "MIT/Apache-2.0", "1.88.0"),
            ("b", "1.0.0", "Apache-2.0 WITH LLVM-exception", "1.60"),
            ("syn", "2.0.1", "MIT", "1.70"),
            ("syn", "3.0.1", "MIT", "1.70"),
        ];
        assert_eq!(found(&allowed), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        for (crates, fault) in [
            (
                &[("a", "1.0.0", "GPL-2.0-only", "1.60")][..],
                "deny.toml does not allow the licence of a 1.0.0: GPL-2.0-only",
            ),
            (
                &[("a", "1.0.0", "MIT AND Apache-2.0", "1.60")],
                "deny.toml does not allow the licence of a 1.0.0: MIT AND Apache-2.0",
            ),
            (
                &[("a", "1.0.0", "MIT", "1.89")],
                "a 1.0.0 needs Rust 1.89, newer than our rust-version",
            ),
            (
                &[("a", "1.0.0", "MIT", "1.60"), ("a", "2.0.0", "MIT", "1.60")],
                "a is there more than once: 1.0.0, 2.0.0",
            ),
            (
                &[
                    ("syn", "1.0.0", "MIT", "1.60"),
                    ("syn", "20.0.0", "MIT", "1.60"),
                ],
                "syn is there more than once: 1.0.0, 20.0.0",
            ),
        ] {
            assert_eq!(found(crates), [fault]);
        }
    }
}
