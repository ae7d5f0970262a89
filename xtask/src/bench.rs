//! `cargo xtask bench`: what tracing costs, ours and other tracers side by side.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::e2e::{self, PACKAGE};
use crate::privilege::Privilege;
use crate::process::{find_program, run as run_command};
use crate::{packages, paths};

/// Tracers to compare with, and the Debian packages that they come in.
const OTHERS: [(&str, &str); 2] = [("exitsnoop", "libbpf-tools"), ("bpftrace", "bpftrace")];

/// Builds and runs the benchmark as root; writes to `docs/benchmarks` unless told otherwise.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    for (program, package) in OTHERS {
        if find_program(program).is_none()
            && let Err(error) = packages::install(&[package])
        {
            println!("going on without {program}: {error:#}");
        }
    }
    let mut command = command()?;
    if args.is_empty() {
        let directory = paths::root().join("docs/benchmarks");
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        command.arg("--output").arg(directory.join("cost"));
    }
    run_command(command.args(args))
}

/// Hours of storms: nothing may be lost, and nothing may grow.
pub(crate) fn soak(minutes: u64) -> Result<()> {
    run_command(command()?.args(["--soak", &minutes.to_string()]))
}

fn command() -> Result<Command> {
    let tracer = e2e::build_release("zombie-trace", "zombie-trace")?;
    let load = e2e::build_release(PACKAGE, "load")?;
    let bench = e2e::build_release("zombie-trace-bench", "bench")?;
    let mut command = Privilege::detect()
        .command(&bench, &[])
        .with_context(|| format!("as root, run {}", bench.display()))?;
    command.arg("--tracer").arg(tracer).arg("--load").arg(load);
    Ok(command)
}
