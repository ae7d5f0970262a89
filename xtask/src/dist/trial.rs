//! Runs the packages of an architecture on a kernel of that architecture, each in a root of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::install::Package;
use crate::arch::Arch;
use crate::vm;

/// Tries the packages in the machine.
const INIT: &str = include_str!("trial.sh");

/// How long the zombie lasts, in ns: its parent sleeps for a second.
const LIFETIME: std::ops::Range<u64> = 900_000_000..10_000_000_000;

/// Boots a machine with the installed packages and runs each.
pub(super) fn run(arch: &'static Arch, roots: &Path, packages: &[Package]) -> Result<()> {
    let list: Vec<_> = packages
        .iter()
        .map(|package| {
            let places = package.places();
            format!(
                "{} {} {}\n",
                package.name, places.program, places.completion
            )
        })
        .collect();
    fs::write(roots.join("list"), list.concat())?;
    let lines = vm::boot(arch, roots, INIT)?;
    let console = || format!("the console:\n{}", lines.join("\n"));
    let attempts = attempts(&lines).with_context(console)?;
    for package in packages {
        let file = package.file.display();
        let found = passed(&attempts, package.name, &package.version)
            .with_context(|| format!("{file}, run on {}", arch.name))
            .with_context(console)?;
        println!("{file}: {found}");
    }
    Ok(())
}

/// A command that the machine has run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attempt<'a> {
    /// The package and what was tried.
    pub(super) what: &'a str,
    pub(super) output: &'a [String],
    pub(super) status: &'a str,
}

pub(super) fn attempts(lines: &[String]) -> Result<Vec<Attempt<'_>>> {
    let mut attempts = Vec::new();
    let mut rest = lines;
    let starts = |line: &String| line.contains("zt.attempt=");
    while let Some(start) = rest.iter().position(starts) {
        let (_, what) = rest[start].split_once('=').context("a name")?;
        let body = &rest[start + 1..];
        let end = body.iter().position(|line| line.starts_with("zt.status="));
        let end = end.with_context(|| format!("{what} did not end"))?;
        attempts.push(Attempt {
            what,
            output: &body[..end],
            status: body[end].trim_start_matches("zt.status="),
        });
        rest = &body[end + 1..];
    }
    Ok(attempts)
}

/// What a line of the run's JSON must have.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record {
    r#type: String,
    comm: String,
    zombie_ns: serde_json::Value,
    age_ns: u64,
    kernel: String,
    backend: String,
    complete: bool,
}

/// Checks what a package's program printed, and describes the zombie that it found.
fn passed(attempts: &[Attempt<'_>], package: &str, version: &str) -> Result<String> {
    let output = |name: &str| {
        let what = format!("{package} {name}");
        let attempt = attempts.iter().find(|attempt| attempt.what == what);
        let attempt = attempt.with_context(|| format!("{name} was not run"))?;
        ensure!(
            attempt.status == "0",
            "{name} failed: status {}",
            attempt.status
        );
        Ok(attempt.output)
    };
    let printed = output("version")?;
    ensure!(
        printed == [format!("zombie-trace {version}")],
        "--version printed {printed:?}"
    );
    let backend = output("doctor")?
        .iter()
        .find_map(|line| line.strip_prefix("would use"))
        .context("doctor names no backend")?
        .trim();
    output("completion")?;
    let records: Vec<Record> = output("trace")?
        .iter()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).with_context(|| line.clone()))
        .collect::<Result<_>>()?;
    let of = |r#type: &str| {
        let mut records = records.iter();
        let found = records.find(|record| record.r#type == r#type);
        found.with_context(|| format!("no {type} line"))
    };
    let start = of("start")?;
    ensure!(
        start.backend == backend,
        "doctor would use {backend}, the run used {}",
        start.backend
    );
    ensure!(of("summary")?.complete, "the run lost something");
    // init reaps it before the run ends, or after.
    let mut lifetimes = records
        .iter()
        .filter(|record| record.comm == "true")
        .filter_map(|record| match record.r#type.as_str() {
            "zombie" => record.zombie_ns.as_u64(),
            "alive" => Some(record.age_ns),
            _ => None,
        });
    let lifetime = lifetimes.next().context("the zombie was not found")?;
    if !LIFETIME.contains(&lifetime) {
        bail!("the zombie of one second lasted {lifetime} ns");
    }
    let ms = lifetime / 1_000_000;
    let kernel = &start.kernel;
    Ok(format!(
        "found a zombie of {ms} ms by {backend} on {kernel}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = r#"[clear]zt.attempt=deb version
zombie-trace 1.2.3
zt.status=0
zt.attempt=deb doctor
kernel        6.12
would use     fentry
zt.status=0
zt.attempt=deb completion
zt.status=0
zt.attempt=deb trace
attached (backend fentry)
{"type":"start","kernel":"6.12","backend":"fentry"}
{"type":"zombie","comm":"sleep","zombie_ns":5}
{"type":"alive","comm":"true","age_ns":1000999999}
{"type":"summary","complete":true,"zombie_ns":{"count":1}}
zt.status=0"#;

    fn outcome(console: &str) -> Result<String> {
        let lines: Vec<_> = console.lines().map(Into::into).collect();
        passed(&attempts(&lines)?, "deb", "1.2.3")
    }

    #[test]
    fn a_package_passes_by_what_it_printed() {
        assert_eq!(
            outcome(CONSOLE).unwrap(),
            "found a zombie of 1000 ms by fentry on 6.12"
        );
    }

    #[test]
    fn whatever_is_missing_or_wrong_fails() {
        for (from, to, error) in [
            ("trace 1.2.3", "trace 1.2.4", "--version printed"),
            (
                "would use     fentry",
                "would use     kprobe",
                "doctor would use kprobe",
            ),
            ("would use", "uses", "doctor names no backend"),
            (
                "completion\nzt.status=0",
                "completion\nzt.status=1",
                "completion failed: status 1",
            ),
            ("deb completion", "rpm completion", "completion was not run"),
            (
                r#""comm":"true""#,
                r#""comm":"other""#,
                "the zombie was not found",
            ),
            ("1000999999", "1000", "lasted 1000 ns"),
            (
                r#""complete":true"#,
                r#""complete":false"#,
                "lost something",
            ),
            (r#"1}}"#, "", "EOF"),
            ("}}\nzt.status=0", "}}", "deb trace did not end"),
        ] {
            assert!(CONSOLE.contains(from), "{from}");
            let found = outcome(&CONSOLE.replace(from, to));
            let found = format!("{:#}", found.unwrap_err());
            assert!(found.contains(error), "{from} → {to}: {found}");
        }
    }
}
