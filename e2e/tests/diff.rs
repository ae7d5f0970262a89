//! Recorded runs against each other: the same load, and a reaper that is 20 % slower.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{Outcome, Test, context, ensure, puppet::Puppet, schema, tracer::Tracer};

pub(crate) fn tests() -> Vec<Test> {
    let emulated = context::is_emulated().then(|| "emulation makes all times noise".to_owned());
    vec![
        Test::new("diff::same-load-and-slower-reaper", same_and_slower)
            .unless(emulated)
            .long("takes six recordings")
            .alone("compares times of two runs"),
        Test::new("diff::damaged-and-foreign-files", damaged_and_foreign),
        Test::new("diff::filter-changes-no-figure", filtered),
        Test::new("diff::other-scope", other_scope),
        Test::new("diff::new-leak", new_leak),
    ]
}

/// So many zombies must do to find a reaper that is 20 % slower.
const COUNT: u64 = 5000;
/// Long beside the time from an exit to the parent's spinning: tens of microseconds, which differ from
/// run to run.
const DELAY_US: u64 = 500;
/// Recordings of the same load; each is compared with the one before.
const RUNS: usize = 5;

/// By hand the first part of this is repeated twenty times: see docs/diff.md.
fn same_and_slower() -> Outcome {
    let same: Vec<PathBuf> = (0..RUNS)
        .map(|_| record(DELAY_US))
        .collect::<Result<_, _>>()?;
    let slower = record(DELAY_US * 6 / 5)?;

    let mut wrong = Vec::new();
    for pair in same.windows(2) {
        let found = json(&pair[0], &pair[1])?;
        if found["verdict"] != "no-difference" {
            wrong.push(found.to_string());
        }
    }
    // Of twenty one may be wrong, of four as well.
    ensure!(
        wrong.len() <= 1,
        "the same load differs:\n{}",
        wrong.join("\n")
    );

    // A recording that other work on the machine has disturbed shows less.
    let mut found = Vec::new();
    for base in &same {
        found.push((base, json(base, &slower)?));
    }
    let is_worse = |value: &Value| value["overall"]["changes"]["p50"]["verdict"] == "worse";
    let worse: Vec<_> = found.iter().filter(|(_, value)| is_worse(value)).collect();
    ensure!(worse.len() > RUNS / 2, "20 % slower, but {found:#?}");
    let (base, found) = worse[0];
    let p50 = &found["overall"]["changes"]["p50"];
    let relative = p50["relative"].as_f64().unwrap_or_default();
    ensure!((0.1..0.3).contains(&relative), "20 % slower, but {p50}");
    let load = &found["by_parent"][0];
    ensure!(
        load["comm"] == "load",
        "not the parent that is slower: {load}"
    );

    let gate = |condition| diff(base, &slower, &["--fail-if", condition]);
    let output = gate("p50>+10%")?;
    ensure!(output.status.code() == Some(3), "status: {output:?}");
    let output = gate("p50>+60%")?;
    ensure!(output.status.code() == Some(0), "status: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.starts_with("worse: p50 of all ×1."), "{text}");
    let widest = text.lines().map(|line| line.chars().count()).max();
    ensure!(widest <= Some(80), "{widest:?} columns:\n{text}");
    let warning = String::from_utf8_lossy(&output.stderr);
    ensure!(warning.contains("the command differs: "), "{warning}");
    Ok(())
}

fn damaged_and_foreign() -> Outcome {
    let whole = record(0)?;
    let bytes = fs::read(&whole).map_err(|error| error.to_string())?;
    let cut = context::fresh_path("cut.jsonl");
    fs::write(&cut, &bytes[..bytes.len() / 2]).map_err(|error| error.to_string())?;
    let output = diff(&whole, &cut, &[])?;
    let warning = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{output:?}");
    ensure!(
        warning.contains("cut: its last line is not whole"),
        "{warning}"
    );

    let foreign = context::fresh_path("foreign.jsonl");
    fs::write(&foreign, "no recording\n").map_err(|error| error.to_string())?;
    let output = diff(&foreign, &whole, &[])?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(error.contains("not a recording"), "{error}");
    Ok(())
}

/// A filter that lists nothing leaves percentiles, gates and verdicts as they are.
fn filtered() -> Outcome {
    let (all, none) = (record(0)?, record_with(&["-m", "1h"], 0)?);
    let text = fs::read_to_string(&none).map_err(|error| error.to_string())?;
    ensure!(!text.contains(r#"{"type":"zombie""#), "listed despite -m");
    let summary = text.lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(summary).map_err(|error| error.to_string())?;
    for found in [json(&all, &none)?, json(&none, &all)?] {
        // What the noise of this machine lets be told is its matter.
        let parents = found["by_parent"].as_array().map(Vec::as_slice);
        let has_load = |parent: &Value| {
            let count = |run: &str| parent[run]["zombie_ns"]["count"].as_u64();
            parent["comm"] == "load" && count("base") == Some(COUNT) && count("new") == Some(COUNT)
        };
        ensure!(parents.unwrap_or_default().iter().any(has_load), "{found}");
        let warnings = found["warnings"].to_string();
        ensure!(!warnings.contains("in no line"), "{warnings}");
    }
    // The figures of the run itself, as its own summary has them.
    let found = json(&all, &none)?["overall"]["new"]["zombie_ns"].clone();
    ensure!(
        found["count"] == summary["zombie_ns"]["count"],
        "{found} of {summary}"
    );
    for percentile in ["p50", "p90", "p99"] {
        let [found, exact] = [&found, &summary["zombie_ns"]]
            .map(|times| times[percentile].as_f64().unwrap_or_default());
        let is_near = (found - exact).abs() <= exact * 0.01 + 1.0;
        ensure!(is_near, "{percentile}: {found} instead of {exact}");
    }
    let p95 = diff(
        &all,
        &none,
        &["--fail-if", "p95<1ns", "--fail-if", "count<2"],
    )?;
    let gates = String::from_utf8_lossy(&p95.stderr);
    ensure!(
        p95.status.success() && gates.contains("PASS p95 = ") && gates.contains("PASS count = "),
        "{p95:?}"
    );
    let report = Command::new(context::zombie_trace())
        .arg("report")
        .arg(&none)
        .args(["--fail-if", "p95<1ns"])
        .output()
        .map_err(|error| error.to_string())?;
    let gates = String::from_utf8_lossy(&report.stderr);
    ensure!(
        report.status.success() && gates.contains("PASS p95 = "),
        "{report:?}"
    );
    Ok(())
}

fn other_scope() -> Outcome {
    let of_command = record(0)?;
    let of_parent = context::fresh_path("parent.jsonl");
    let parent = std::process::id().to_string();
    let run = Tracer::new(["--json", "-q", "-d", "200ms", "-P", &parent, "-o"])
        .args([&of_parent])
        .run()?;
    run.expect_code(0)?;
    let output = diff(&of_command, &of_parent, &[])?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{output:?}");
    for part in [
        "BASE was recorded with COMMAND",
        "NEW was recorded with --ppid",
    ] {
        ensure!(error.contains(part), "{error}");
    }
    Ok(())
}

/// What is never reaped is in no percentile, but makes the run worse.
fn new_leak() -> Outcome {
    let parent = |reaps: bool| -> Result<PathBuf, String> {
        let path = context::fresh_path("leak.jsonl");
        let mut puppet = Puppet::start(Stdio::inherit())?;
        let pid = puppet.pid().to_string();
        let mut running = Tracer::new(["--json", "-P", &pid, "-o"])
            .args([&path])
            .start()?;
        for zombie in ["one", "two", "three"] {
            puppet.obey(&format!("zombie {zombie} 0"))?;
            if reaps {
                puppet.obey(&format!("reap {zombie}"))?;
            }
        }
        // A younger zombie may be about to be reaped.
        thread::sleep(Duration::from_millis(1500));
        running.signal(libc::SIGINT);
        running.finish()?.expect_code(0)?;
        for zombie in ["one", "two", "three"].iter().filter(|_| !reaps) {
            puppet.obey(&format!("reap {zombie}"))?;
        }
        Ok(path)
    };
    let (clean, leaks) = (parent(true)?, parent(false)?);
    let found = json(&clean, &leaks)?;
    ensure!(found["verdict"] == "worse", "{found}");
    ensure!(found["lingering"][0]["new"]["alive"] == 3, "{found}");
    let output = diff(&clean, &leaks, &["--fail-if", "alive>+0%"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        text.starts_with("worse: ") && text.replace('\n', " ").contains("leaves 3 zombies"),
        "{text}"
    );
    ensure!(output.status.code() == Some(3), "{output:?}");
    ensure!(json(&leaks, &clean)?["verdict"] == "better", "not better");
    Ok(())
}

fn record(delay_us: u64) -> Result<PathBuf, String> {
    record_with(&[], delay_us)
}

fn record_with(options: &[&str], delay_us: u64) -> Result<PathBuf, String> {
    let path = context::fresh_path("run.jsonl");
    let run = Tracer::new(["--json", "-q"])
        .args(options)
        .args(["-o"])
        .args([&path])
        .command([context::load()])
        .args(["serial", "--count", &COUNT.to_string()])
        .args(["--delay-us", &delay_us.to_string()])
        .run()?;
    run.expect_code(0)?;
    Ok(path)
}

fn json(base: &Path, new: &Path) -> Result<Value, String> {
    let output = diff(base, new, &["--json"])?;
    ensure!(output.status.success(), "{output:?}");
    let value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let problems: Vec<_> = schema::of_diff()?
        .iter_errors(&value)
        .map(|error| error.to_string())
        .collect();
    ensure!(problems.is_empty(), "{problems:?}\n{value}");
    Ok(value)
}

fn diff(base: &Path, new: &Path, options: &[&str]) -> Result<Output, String> {
    Command::new(context::zombie_trace())
        .arg("diff")
        .args([base, new])
        .args(options)
        .output()
        .map_err(|error| format!("diff: {error}"))
}
