//! Code without unwind information: of a program that has frame pointers, and compiled at run time.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{FUNCTIONS, Sampled, build, no_program, points, supervised};
use crate::{Outcome, Test, context, ensure, report::number};

const SCRIPT: &str = include_str!("perf_map.js");

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("stacks::frame-pointers-without-tables", program).unless(no_program("cc")),
        Test::new("stacks::functions-of-node-by-its-perf-map", node)
            .unless(no_program("node"))
            .long("only the full setup installs node"),
    ]
}

/// Neither tables nor debugging information: only its frame pointers lead to its callers.
fn program() -> Outcome {
    let program = build(&[
        "-O2",
        "-g0",
        "-fno-asynchronous-unwind-tables",
        "-fno-omit-frame-pointer",
    ])?;
    let (run, sampled, truth) = supervised(&program, "alone", "8")?;
    blocked_shares(&sampled, &truth, ["write_journal", "take_lock"])
        .and_then(|()| callers(&sampled, &FUNCTIONS, &["run_job", "supervise", "main"]))
        .or_else(|error| run.fail(error))
}

fn node() -> Outcome {
    let directory = context::fresh_path("script");
    let failed = |error| format!("{}: {error}", directory.display());
    fs::create_dir(&directory).map_err(failed)?;
    let script = directory.join("perf_map.js");
    fs::write(&script, SCRIPT).map_err(failed)?;
    let program = executable(&script).map_err(failed)?;
    let (run, sampled, truth) = supervised(&program, "alone", "8")?;
    let places = ["writeJournal", "compute"];
    let outcome = callers(&sampled, &places, &["runJob", "supervise"])
        .and_then(|()| lines(&sampled, &script))
        .and_then(|()| {
            // Where the computation had to wait for a CPU, it depends on when the sampler had one.
            let (is_idle, found) = (truth[2] - truth[3] < 5.0, sampled.shares(&places));
            let off = (found[0] - truth[0]).abs();
            ensure!(
                !is_idle || off < points(&sampled),
                "writeJournal: {:.1} % for {:.1} %",
                found[0],
                truth[0]
            );
            Ok(())
        });
    let start = run.report()?;
    if let Some(ppid) = start.of_type("doing").next().map(|one| number(one, "ppid")) {
        let _ = fs::remove_file(format!("/tmp/perf-{ppid}.map"));
    }
    outcome.or_else(|error| run.fail(error))
}

/// Runs the script, with names for its functions.
fn executable(script: &Path) -> std::io::Result<PathBuf> {
    let program = script.with_file_name("supervisor");
    let node = "node --perf-basic-prof --interpreted-frames-native-stack";
    // Node leaves a log where it starts.
    let text = format!(
        "#!/bin/sh\ncd {} && exec {node} {} \"$@\"\n",
        script.parent().unwrap_or(Path::new("/")).display(),
        script.display()
    );
    fs::write(&program, text)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

/// How long each was blocked, compared with what the supervisor says.
fn blocked_shares(sampled: &Sampled, truth: &[f64], functions: [&str; 2]) -> Outcome {
    let found = sampled.shares(&functions);
    let part = |all: &[f64]| 100.0 * all[0] / (all[0] + all[1]);
    let (found, truth) = (part(&found), part(truth));
    let is_near = (found - truth).abs() < points(sampled);
    ensure!(is_near, "{}: {found:.1} % for {truth:.1} %", functions[0]);
    Ok(())
}

/// Nine tenths of the time in these functions have all of the callers, and say how those were found.
fn callers(sampled: &Sampled, functions: &[&str], callers: &[&str]) -> Outcome {
    let (mut all, mut whole) = (0, 0);
    for one in &sampled.doing {
        let frames = sampled.frames(one);
        let at = |name: &&str| frames.iter().position(|frame| frame["function"] == **name);
        if !functions.iter().any(|name| at(name).is_some()) {
            continue;
        }
        let zombie_ns = number(one, "zombie_ns");
        all += zombie_ns;
        let order: Vec<_> = callers.iter().map(at).collect();
        let stack = &sampled.stacks[&number(one, "stack")];
        if order.is_sorted() && order[0].is_some() && stack["frame_pointers"] == true {
            whole += zombie_ns;
        }
    }
    let covered = number(&sampled.totals, "covered_ns");
    ensure!(
        all > covered / 10 * 8 && whole > all / 10 * 9,
        "of {covered} ns, {all} ns are in {functions:?}, and {whole} ns have callers: {:?}",
        sampled.stacks
    );
    Ok(())
}

/// Functions are where the script has them.
fn lines(sampled: &Sampled, script: &Path) -> Outcome {
    for function in ["writeJournal", "compute", "runJob", "supervise"] {
        let start = format!("function {function}(");
        let index = SCRIPT.lines().position(|line| line.starts_with(&start));
        let line = index.map(|index| index as u64 + 1);
        let frames = sampled.doing.iter().flat_map(|one| sampled.frames(one));
        let named: Vec<&Value> = frames
            .filter(|frame| frame["function"] == function)
            .collect();
        ensure!(!named.is_empty(), "{function} was never seen");
        for frame in named {
            let is_right = frame["file"].as_str() == script.to_str()
                && frame["line"].as_u64() == line
                && frame["module"].is_null();
            ensure!(is_right, "{function} is not at line {line:?}: {frame}");
        }
    }
    Ok(())
}
