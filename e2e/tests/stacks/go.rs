//! A supervisor in Go, compared with what it says that it did.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{Sampled, points, supervised};
use crate::{Outcome, Test, context, ensure, report::number};

const SUPERVISOR: &str = include_str!("shares.go");

/// Its functions, and the mark of the line where two of them block.
const PLACES: [(&str, Option<&str>); 3] = [
    ("main.writeJournal", Some("WRITES")),
    ("main.takeLock", Some("LOCKS")),
    ("main.compute", None),
];

/// What calls them, up to the start of the goroutine.
const CALLERS: [&str; 3] = ["main.runJob", "main.supervise", "runtime.goexit"];

/// The root of another version of Go than the one on PATH.
const OTHER_ROOT: &str = "ZOMBIE_TRACE_GOROOT";

const STRIPPED: &[&str] = &["-ldflags=-s -w"];
const POSITION_INDEPENDENT: &[&str] = &["-ldflags=-s -w", "-buildmode=pie"];

pub(super) fn tests() -> Vec<Test> {
    let builds: [(&str, &'static [&str], &'static str); 4] = [
        ("shares", &[], "locked"),
        ("shares-of-a-stripped-program", STRIPPED, "locked"),
        (
            "shares-of-a-position-independent-program",
            POSITION_INDEPENDENT,
            "locked",
        ),
        (
            "shares-of-a-goroutine-with-its-own-thread",
            STRIPPED,
            "goroutine",
        ),
    ];
    let old_kernel = (!context::kernel_is_at_least(6, 1)).then(|| "before Linux 6.1".to_owned());
    let no_go = context::on_path("go").is_none();
    let no_go = no_go.then(|| "no go on PATH (Debian: golang-go)".to_owned());
    let other_root = env::var_os(OTHER_ROOT).map(PathBuf::from);
    let no_other = format!("no other version of Go (set {OTHER_ROOT})");
    let no_other = other_root.is_none().then_some(no_other);
    let mut tests = Vec::new();
    for (version, root, missing) in [("go", None, no_go), ("other-go", other_root, no_other)] {
        for (name, options, how) in builds {
            let root = root.clone();
            let test = Test::new(format!("stacks::{version}::{name}"), move || {
                shares(root.as_deref(), options, how)
            });
            let test = test.unless(old_kernel.clone()).unless(missing.clone());
            tests.push(test.long("Go's compiler is slow"));
        }
    }
    tests
}

/// A build of the supervisor.
fn build(root: Option<&Path>, options: &[&str]) -> Result<PathBuf, String> {
    let directory = context::fresh_path("supervisor");
    let source = directory.join("shares.go");
    fs::create_dir(&directory)
        .and_then(|()| fs::write(&source, SUPERVISOR))
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let program = directory.join("supervisor");
    let go = root.map_or_else(|| "go".into(), |root| root.join("bin/go"));
    let mut command = Command::new(go);
    command
        .args(["build", "-o"])
        .arg(&program)
        .args(options)
        .arg(&source)
        .env("GO111MODULE", "off")
        .env("GOCACHE", directory.join("cache"))
        .env("CGO_ENABLED", "0");
    if let Some(root) = root {
        command.env("GOROOT", root).env("GOTOOLCHAIN", "local");
    }
    context::succeeds(&mut command)?;
    Ok(program)
}

fn shares(root: Option<&Path>, options: &[&str], how: &str) -> Outcome {
    let program = build(root, options)?;
    let (run, sampled, truth) = supervised(&program, how, "8")?;
    compare(&sampled, &truth)
        .and_then(|()| expect_places(&sampled))
        .or_else(|error| run.fail(error))
}

/// Compares with what the supervisor says, in percent.
fn compare(sampled: &Sampled, truth: &[f64]) -> Outcome {
    let found = sampled.shares(&PLACES.map(|(function, _)| function));
    let near = |what: &str, found: f64, truth: f64| -> Outcome {
        let is_near = (found - truth).abs() < points(sampled);
        ensure!(is_near, "{what}: {found:.1} % for {truth:.1} %");
        Ok(())
    };
    let ([writes, locks], [wrote, locked]) = ([found[0], found[1]], [truth[0], truth[1]]);
    let part = |one: f64, other: f64| 100.0 * one / (one + other);
    near(
        "main.writeJournal, of blocked",
        part(writes, locks),
        part(wrote, locked),
    )?;
    // Where the computation had to wait for a CPU, it depends on when the machine had one for the sampler.
    if truth[2] - truth[3] < 5.0 {
        for (((function, _), found), truth) in PLACES.iter().zip(&found).zip(truth) {
            near(function, *found, *truth)?;
        }
    }
    Ok(())
}

/// Functions have their lines, and stacks go on to the start of the goroutine.
fn expect_places(sampled: &Sampled) -> Outcome {
    let mut whole = 0;
    for one in &sampled.doing {
        let frames = sampled.frames(one);
        let at = |name: &str| frames.iter().position(|frame| frame["function"] == name);
        for (function, mark) in PLACES {
            let Some(place) = at(function).and_then(|index| frames.get(index)) else {
                continue;
            };
            let file = place["file"].as_str().unwrap_or_default();
            ensure!(file.ends_with("/shares.go"), "{place}");
            // It also runs, for a moment, before and after it sleeps.
            if let Some(mark) = mark.filter(|_| one["state"] == "blocked") {
                ensure!(
                    place["line"].as_u64() == line_of(mark),
                    "{function} is not at the line of {mark}: {place}"
                );
            }
        }
        let places = CALLERS.map(at);
        let ends = frames
            .last()
            .is_some_and(|frame| frame["function"] == "runtime.goexit");
        if places.is_sorted() && places[0].is_some() && ends && !sampled.is_truncated(one) {
            whole += number(one, "zombie_ns");
        }
    }
    let covered = number(&sampled.totals, "covered_ns");
    ensure!(
        whole > covered / 10 * 9,
        "{whole} ns of {covered} ns are in whole stacks: {:?}",
        sampled
            .doing
            .iter()
            .map(|one| names(sampled, one))
            .collect::<Vec<_>>()
    );
    Ok(())
}

fn line_of(mark: &str) -> Option<u64> {
    let index = SUPERVISOR.lines().position(|line| line.ends_with(mark))?;
    Some(index as u64 + 1)
}

fn names(sampled: &Sampled, one: &Value) -> Vec<String> {
    let frames = sampled.frames(one).iter();
    frames.map(|frame| frame["function"].to_string()).collect()
}
