//! `cargo xtask test`: every check and every test, in order.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::ebpf::{self, Verdict};
use crate::process::{cargo, output, run as run_command};
use crate::{e2e, paths, setup, vm};

/// A step gives the reasons for what it had to leave out.
type Step = (&'static str, fn() -> Result<Vec<String>>);

const STEPS: [Step; 9] = [
    ("setup", || Ok(setup::missing_after_install())),
    ("format", format),
    ("clippy", clippy),
    ("dependencies", dependencies),
    ("unit and command-line tests", plain_tests),
    ("release build", release_build),
    ("end-to-end tests", end_to_end),
    ("eBPF object", ebpf_object),
    ("test kernels", test_kernels),
];

/// Runs the steps up to the first that fails.
pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    let mut skipped = Vec::new();
    for (index, (name, step)) in STEPS.iter().enumerate() {
        println!("==> [{}/{}] {name}", index + 1, STEPS.len());
        let step_start = Instant::now();
        let left_out = step().with_context(|| format!("step \"{name}\" failed"))?;
        println!("    {name}: {:.1} s", step_start.elapsed().as_secs_f64());
        skipped.extend(
            left_out
                .into_iter()
                .map(|reason| format!("{name}: {reason}")),
        );
    }
    println!("==> all passed in {:.0} s", start.elapsed().as_secs_f64());
    for reason in skipped {
        println!("skipped: {reason}");
    }
    Ok(())
}

fn format() -> Result<Vec<String>> {
    run_command(in_root(cargo()).args(["fmt", "--all", "--check"]))?;
    run_command(
        cargo()
            .args(["fmt", "--check"])
            .current_dir(paths::ebpf_crate()),
    )?;
    Ok(Vec::new())
}

/// Licences, duplicates and sources, as deny.toml has them. Advisories need the network.
fn dependencies() -> Result<Vec<String>> {
    let deny = || {
        let mut deny = in_root(cargo());
        deny.args(["deny", "--offline"]);
        deny
    };
    let installed = deny().arg("--version").output();
    if !installed.is_ok_and(|output| output.status.success()) {
        let reason = "no cargo-deny (cargo install cargo-deny --locked)";
        return Ok(vec![reason.to_owned()]);
    }
    run_command(deny().args(["check", "licenses", "bans", "sources"]))?;
    Ok(Vec::new())
}

fn clippy() -> Result<Vec<String>> {
    run_command(
        in_root(cargo())
            .args(["clippy", "--workspace", "--all-targets", "--locked"])
            .args(["--", "-D", "warnings"]),
    )?;
    Ok(Vec::new())
}

/// Everything but the tests that need root.
fn plain_tests() -> Result<Vec<String>> {
    run_command(
        in_root(cargo())
            .args(["test", "--workspace", "--locked"])
            .args(["--exclude", e2e::PACKAGE]),
    )?;
    let mut command = in_root(cargo());
    command
        .args(["test", "--locked", "--package", e2e::PACKAGE])
        .args(["--lib", "--bins"]);
    for target in test_targets()? {
        if target != e2e::TARGET {
            command.args(["--test", &target]);
        }
    }
    run_command(&mut command)?;
    Ok(Vec::new())
}

fn release_build() -> Result<Vec<String>> {
    run_command(in_root(cargo()).args([
        "build",
        "--release",
        "--locked",
        "--package",
        "zombie-trace",
    ]))?;
    Ok(Vec::new())
}

fn end_to_end() -> Result<Vec<String>> {
    Ok(match e2e::outcome(&[], &[])? {
        e2e::Outcome::Passed => Vec::new(),
        e2e::Outcome::Skipped(reason) => vec![reason],
    })
}

fn ebpf_object() -> Result<Vec<String>> {
    Ok(match ebpf::verdict()? {
        Verdict::Same | Verdict::OtherToolsPassed => Vec::new(),
        Verdict::OtherToolsUntested(reason) => vec![reason],
        Verdict::NotRebuilt(reason) => vec![format!("not rebuilt: {reason}")],
    })
}

/// The oldest kernel and the newest.
fn test_kernels() -> Result<Vec<String>> {
    if let Some(reason) = vm::missing() {
        return Ok(vec![reason]);
    }
    vm::run(&vm::VmArgs::default())?;
    Ok(Vec::new())
}

fn in_root(mut command: Command) -> Command {
    command.current_dir(paths::root());
    command
}

/// What `cargo metadata` says about packages.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The names of the test targets beside the package's library.
fn test_targets() -> Result<Vec<String>> {
    let text =
        output(in_root(cargo()).args(["metadata", "--no-deps", "--locked", "--format-version=1"]))?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cannot read what `cargo metadata` says")?;
    Ok(metadata
        .packages
        .into_iter()
        .filter(|package| package.name == e2e::PACKAGE)
        .flat_map(|package| package.targets)
        .filter(|target| target.kind.iter().any(|kind| kind == "test"))
        .map(|target| target.name)
        .collect())
}
