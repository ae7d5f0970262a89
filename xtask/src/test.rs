//! `cargo xtask check` and `cargo xtask test`: the checks and tests, in order, and how long each took.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use crate::ebpf::{self, Verdict};
use crate::process::{cargo, run as run_command};
use crate::setup::{self, Need};
use crate::{crates, dependencies, e2e, library, paths, vm};

/// How much is tested.
#[derive(Args, Default)]
pub(crate) struct TestArgs {
    /// Also storms, recipes, monitoring systems, images, fuzzing, every kernel and every backend
    #[arg(long)]
    all: bool,
}

/// A part of a run, which gives the reasons for what it had to leave out.
struct Step {
    name: &'static str,
    run: fn() -> Result<Vec<String>>,
}

const fn step(name: &'static str, run: fn() -> Result<Vec<String>>) -> Step {
    Step { name, run }
}

const FORMAT: Step = step("format", format);
const CLIPPY: Step = step("clippy", clippy);
const DEPENDENCIES: Step = step("dependencies", dependencies::check);
const DOCUMENTATION: Step = step("documentation", documentation);
const UNIT: Step = step("unit and command-line tests", plain_tests);
const LIBRARY: Step = step("library features", library::check);
const OBJECT: Step = step("eBPF object", ebpf_object);
const CRATES: Step = step("crates", crates::package);

/// Needs no root and installs nothing.
const CHECK: [Step; 5] = [FORMAT, CLIPPY, DOCUMENTATION, UNIT, LIBRARY];

/// What every change must pass.
const TEST: [Step; 11] = [
    step("setup", || Ok(setup::missing_after_install(Need::Test))),
    FORMAT,
    CLIPPY,
    DEPENDENCIES,
    DOCUMENTATION,
    UNIT,
    LIBRARY,
    CRATES,
    step("end-to-end tests", || end_to_end(false)),
    OBJECT,
    step("test kernels", || test_kernels(false)),
];

const ALL: [Step; 12] = [
    step("setup", || Ok(setup::missing_after_install(Need::All))),
    FORMAT,
    CLIPPY,
    DEPENDENCIES,
    DOCUMENTATION,
    UNIT,
    LIBRARY,
    step("crates, built from their packages", crates::publish),
    step("fuzzing", fuzzing),
    step("end-to-end tests", || end_to_end(true)),
    OBJECT,
    step("test kernels", || test_kernels(true)),
];

/// The steps of `cargo xtask test --all`.
#[cfg(test)]
pub(crate) fn step_names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|step| step.name)
}

/// `cargo xtask check`.
pub(crate) fn check() -> Result<()> {
    run_steps(&CHECK)?;
    println!(
        "left to `cargo xtask test`: the end-to-end tests, the rebuilt eBPF object, the test kernels"
    );
    Ok(())
}

/// `cargo xtask test`.
pub(crate) fn run(args: &TestArgs) -> Result<()> {
    if args.all {
        return run_steps(&ALL);
    }
    run_steps(&TEST)?;
    println!(
        "left to `cargo xtask test --all`: storms, recipes, monitoring systems, images, long \
         fuzzing, and the other kernels and backends"
    );
    Ok(())
}

/// Runs the steps up to the first that fails. In the end it prints what each took.
fn run_steps(steps: &[Step]) -> Result<()> {
    let (mut times, mut skipped) = (Vec::new(), Vec::new());
    let mut outcome = Ok(());
    for (index, Step { name, run }) in steps.iter().enumerate() {
        println!("==> [{}/{}] {name}", index + 1, steps.len());
        let start = Instant::now();
        let result = run().with_context(|| format!("step \"{name}\" failed"));
        times.push((*name, start.elapsed()));
        match result {
            Ok(reasons) => skipped.extend(
                reasons
                    .into_iter()
                    .map(|reason| format!("skipped: {name}: {reason}")),
            ),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    print_times(&times);
    for reason in skipped {
        println!("{reason}");
    }
    outcome
}

fn print_times(times: &[(&str, Duration)]) {
    println!("==> seconds by step");
    for (name, time) in times {
        println!("{:>8.1}  {name}", time.as_secs_f64());
    }
    let total: Duration = times.iter().map(|(_, time)| time).sum();
    println!("{:>8.1}  in all", total.as_secs_f64());
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

fn clippy() -> Result<Vec<String>> {
    run_command(
        in_root(cargo())
            .args(["clippy", "--workspace", "--all-targets", "--locked"])
            .args(["--", "-D", "warnings"]),
    )?;
    clippy_of_ebpf()?;
    Ok(Vec::new())
}

/// For the host, so that it needs no eBPF toolchain.
fn clippy_of_ebpf() -> Result<()> {
    run_command(
        cargo()
            .args(["clippy", "--locked", "--target-dir"])
            .arg(paths::target_dir().join("ebpf-clippy"))
            .args(["--", "-D", "warnings"])
            .current_dir(paths::ebpf_crate()),
    )
}

/// No link in it leads nowhere.
fn documentation() -> Result<Vec<String>> {
    let doc = |mut command: Command| {
        command
            .args(["doc", "--no-deps", "--locked", "--quiet"])
            // `<DATE>` in the description of an option is what its help shows.
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::invalid_html_tags");
        command
    };
    run_command(in_root(doc(cargo())).arg("--workspace"))?;
    run_command(
        doc(cargo())
            .arg("--target-dir")
            .arg(paths::target_dir().join("ebpf-clippy"))
            .current_dir(paths::ebpf_crate()),
    )?;
    Ok(Vec::new())
}

/// Everything but the tests that need root.
fn plain_tests() -> Result<Vec<String>> {
    run_command(
        in_root(cargo())
            .args(["test", "--workspace", "--locked", "--exclude", e2e::PACKAGE])
            .arg("--quiet"),
    )?;
    run_command(
        in_root(cargo())
            .args(["test", "--locked", "--package", e2e::PACKAGE])
            .args(["--lib", "--bins", "--quiet"]),
    )?;
    Ok(Vec::new())
}

/// As many mutated recordings and BTF files as take some minutes. A failure prints its seed.
fn fuzzing() -> Result<Vec<String>> {
    for (count, target) in [
        ("10000", &["--test", "fuzz"][..]),
        ("1000", &["--lib", "corrupt_btf"]),
    ] {
        run_command(
            in_root(cargo())
                .args(["test", "--locked", "--package", "zombie-trace"])
                .args(target)
                .env("ZOMBIE_TRACE_FUZZ", count),
        )?;
    }
    Ok(Vec::new())
}

fn end_to_end(long: bool) -> Result<Vec<String>> {
    Ok(match e2e::outcome(&[], &[], long)? {
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

/// The oldest kernel and the newest; all of them, of each architecture, with both speeds of the clock.
fn test_kernels(all: bool) -> Result<Vec<String>> {
    if let Some(reason) = vm::missing() {
        return Ok(vec![reason]);
    }
    if !all {
        vm::run(&vm::VmArgs::default())?;
        return Ok(Vec::new());
    }
    for args in vm::VmArgs::all() {
        vm::run(&args)?;
    }
    Ok(Vec::new())
}

fn in_root(mut command: Command) -> Command {
    command.current_dir(paths::root());
    command
}
