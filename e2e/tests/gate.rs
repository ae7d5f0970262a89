//! `--fail-if`: the status, and what CI is told.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test, context, ensure,
    puppet::Puppet,
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("gate::status", status),
        Test::new("gate::goes-before-strict", before_strict),
        Test::new("gate::failed-command", failed_command).unless(context::no_program("/bin/sh")),
        Test::new("gate::no-data", no_data),
        Test::new("gate::refused-before-anything-runs", refused),
        Test::new("gate::github", github),
        Test::new("gate::junit", junit),
        Test::new("gate::junit-unwritable", junit_unwritable),
        Test::new("gate::broken-pipe", broken_pipe).in_pid_namespace(),
        Test::new("gate::ps", ps),
        Test::new("gate::pre-existing", pre_existing),
    ]
}

/// A command with 20 children, which end in less than an hour.
fn judged(options: &[&str]) -> Result<Run, String> {
    Tracer::json(["-q"])
        .args(options)
        .scenario(["fork-loop", "20"])
        .run()
}

fn status() -> Outcome {
    let run = judged(&["--fail-if", "max>1h", "--fail-if", "count>100"])?;
    run.expect_code(0)?;
    said(&run, &["PASS max = ", "PASS count = "])?;
    for (condition, begin) in [
        ("max<1h", "FAIL max = "),
        ("p50>1ns", "FAIL p50 = "),
        ("p95>1ns", "FAIL p95 = "),
        ("p99.95>1ns", "FAIL p99.95 = "),
        ("mean>1ns", "FAIL mean = "),
        ("count>19", "FAIL count = "),
        ("rate>0.1/s", "FAIL rate = "),
        ("alive<1", "FAIL alive = 0 (at least 1)"),
        ("oldest<1s", "FAIL oldest = 0 ns (at least 1 s)"),
        ("zombie_time>1ns", "FAIL zombie_time = "),
    ] {
        let run = judged(&["--fail-if", "max>1h", "--fail-if", condition])?;
        run.expect_code(3)?;
        said(&run, &["PASS max = ", begin])?;
    }
    // With the figure of the summary.
    let run = judged(&["--fail-if", "count>0"])?;
    let report = run.report()?;
    let count = &report.summary()["zombie_ns"]["count"];
    said(&run, &[&format!("FAIL count = {count} (limit 0)")])?;
    left_alive()
}

/// Nobody reaps it, so it is in no percentile, but it has an age and zombie time.
fn left_alive() -> Outcome {
    let conditions = ["alive>0", "oldest>1ns", "zombie_time>1ns", "oldest>1h"];
    let options = conditions
        .iter()
        .flat_map(|condition| ["--fail-if", condition]);
    let run = Tracer::json(["-q"])
        .args(options)
        .scenario(["leave-alive"])
        .run()?;
    run.expect_code(3)?;
    let begins = [
        "FAIL alive = ",
        "FAIL oldest = ",
        "FAIL zombie_time = ",
        "PASS oldest = ",
    ];
    said(&run, &begins)
}

/// One line per gate on standard error, and no more; each begins with this.
fn said(run: &Run, begins: &[&str]) -> Outcome {
    let lines: Vec<_> = run.stderr.lines().collect();
    let is_right = lines.len() == begins.len()
        && lines.iter().zip(begins).all(|(line, begin)| {
            let line = line.strip_prefix("zombie-trace: ").unwrap_or(line);
            line.starts_with(begin)
        });
    match is_right {
        true => Ok(()),
        false => run.fail(format!("not {begins:?}")),
    }
}

fn before_strict() -> Outcome {
    for (condition, code) in [("count>0", 3), ("max>1h", 4)] {
        let run = Tracer::json(["--strict", "--max-zombies", "50", "--fail-if", condition])
            .scenario(["burst", "500"])
            .run()?;
        run.expect_code(code)?;
    }
    Ok(())
}

/// Its own status says more, but the gate is reported all the same.
fn failed_command() -> Outcome {
    let run = Tracer::json(["--fail-if", "count>0"])
        .command(["/bin/sh", "-c", "exit 7"])
        .run()?;
    run.expect_code(7)?;
    match run.stderr.contains("FAIL count = 1 (limit 0)") {
        true => Ok(()),
        false => run.fail("not reported"),
    }
}

fn no_data() -> Outcome {
    let puppet = Puppet::start(Stdio::inherit())?;
    let parent = puppet.pid().to_string();
    let run = Tracer::json(["-P", &parent, "-d", "100ms", "--fail-if", "p99<1h"]).run()?;
    run.expect_code(0)?;
    match run
        .stderr
        .contains("PASS p99: no zombie was reaped (at least 1 h)")
    {
        true => Ok(()),
        false => run.fail("not reported"),
    }
}

fn refused() -> Outcome {
    let witness = context::fresh_path("witness");
    let run = Tracer::json(["--fail-if", "p99>=1s"])
        .command([Path::new("/bin/touch"), &witness])
        .run()?;
    run.expect_code(2)?;
    ensure!(!witness.exists(), "the command ran all the same");
    match run.stderr.contains("--fail-if") && run.stderr.contains("at character 5: ") {
        true => Ok(()),
        false => run.fail("not told where"),
    }
}

fn github() -> Outcome {
    let options = [
        "--fail-if",
        "count>0",
        "--fail-if",
        "max>1h",
        "--format",
        "github",
    ];
    let run = judged(&options)?;
    run.expect_code(3)?;
    said(
        &run,
        &[
            "::error title=zombie-trace --fail-if::FAIL count = ",
            "PASS max = ",
        ],
    )?;
    let stdout = String::from_utf8_lossy(&run.stdout);
    ensure!(
        !stdout.contains("::error"),
        "on the command's own output: {stdout}"
    );
    Ok(())
}

fn junit() -> Outcome {
    let path = context::fresh_path("junit.xml");
    let format = format!("junit={}", path.display());
    let options = [
        "--fail-if",
        "count>0",
        "--fail-if",
        "max>1h",
        "--format",
        &format,
    ];
    let run = judged(&options)?;
    run.expect_code(3)?;
    ensure!(
        run.stderr.contains("FAIL count = ") && run.stderr.contains("PASS max = "),
        "no text: {}",
        run.stderr
    );
    let xml = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let document = roxmltree::Document::parse(&xml).map_err(|error| format!("{error}: {xml}"))?;
    let cases = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    let found: Vec<_> = cases
        .map(|case| {
            let failed = case.children().any(|node| node.has_tag_name("failure"));
            (case.attribute("name").unwrap_or_default(), failed)
        })
        .collect();
    ensure!(found == [("count>0", true), ("max>1h", false)], "{xml}");
    let failures = document.root_element().attribute("failures");
    ensure!(failures == Some("1"), "{xml}");
    Ok(())
}

/// Told before the command runs.
fn junit_unwritable() -> Outcome {
    let witness = context::fresh_path("witness");
    let format = "junit=/nonexistent/directory/junit.xml";
    let run = Tracer::json(["--fail-if", "count>0", "--format", format])
        .command([Path::new("/bin/touch"), &witness])
        .run()?;
    run.expect_code(1)?;
    ensure!(!witness.exists(), "the command ran all the same");
    match run.stderr.contains(&format!("--format {format}")) {
        true => Ok(()),
        false => run.fail("not named"),
    }
}

/// A gate that could not be judged has not passed.
fn broken_pipe() -> Outcome {
    let mut tracer = Command::new(context::zombie_trace())
        .args(["--json", "-q", "--fail-if", "max>1h"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    drop(tracer.stdout.take());
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = tracer.try_wait().expect("our child") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = tracer.kill();
        }
        thread::sleep(Duration::from_millis(5));
    };
    let mut stderr = String::new();
    let pipe = tracer.stderr.as_mut().expect("piped");
    pipe.read_to_string(&mut stderr)
        .map_err(|error| error.to_string())?;
    ensure!(status.code() == Some(1), "{status}: {stderr}");
    ensure!(stderr.contains("standard output"), "{stderr}");
    Ok(())
}

fn ps() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    puppet.obey("zombie one 0")?;
    puppet.obey("zombie two 0")?;
    thread::sleep(Duration::from_millis(50));
    let parent = puppet.pid().to_string();
    let ps = |condition: &str, format: &str| {
        Command::new(context::zombie_trace())
            .args([
                "ps",
                "-P",
                &parent,
                "--fail-if",
                condition,
                "--format",
                format,
            ])
            .output()
            .map_err(|error| error.to_string())
    };
    for (condition, code, said) in [
        ("alive>1", 3, "FAIL alive = 2 (limit 1)"),
        ("alive>2", 0, "PASS alive = 2 (limit 2)"),
        ("oldest>1ms", 3, "FAIL oldest = "),
        ("oldest>1h", 0, "PASS oldest = "),
        ("age>1h", 0, "PASS oldest = "),
        ("oldest>1", 2, "at character 8: '1': needs a unit"),
        ("max>1s", 2, "'max' is not known: it can be alive, oldest"),
    ] {
        for format in ["text", "github"] {
            let output = ps(condition, format)?;
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(
                output.status.code() == Some(code) && stderr.contains(said),
                "{condition}: {output:?}"
            );
            let is_command = stderr.starts_with("::error ");
            ensure!(is_command == (code == 3 && format == "github"), "{stderr}");
        }
    }
    puppet.obey("reap one")?;
    puppet.obey("reap two").map(drop)
}

/// Zombies from before the run live at its end: in a run, in its recording, and for `ps`.
fn pre_existing() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    puppet.obey("zombie one 0")?;
    puppet.obey("zombie two 0")?;
    let parent = puppet.pid().to_string();
    let gates = ["--fail-if", "alive>1", "--fail-if", "oldest>1h"];
    let said = ["FAIL alive = 2 (limit 1)", "PASS oldest = "];
    let run = Tracer::json(["-q", "-P", &parent, "-d", "200ms"])
        .args(gates)
        .run()?;
    run.expect_code(3)?;
    self::said(&run, &said)?;
    let summary = run.report()?;
    let summary = summary.summary();
    // The run did not see them exit.
    ensure!(
        summary["alive"] == 0 && summary["pre_existing"] == 2,
        "{summary}"
    );
    let recording = context::fresh_path("gate.jsonl");
    fs::write(&recording, &run.output).map_err(|error| error.to_string())?;
    let report = Command::new(context::zombie_trace())
        .arg("report")
        .arg(&recording)
        .args(gates)
        .output()
        .map_err(|error| error.to_string())?;
    let stderr = String::from_utf8_lossy(&report.stderr).into_owned();
    ensure!(
        report.status.code() == Some(3) && stderr.starts_with(said[0]),
        "{stderr}"
    );
    puppet.obey("reap one")?;
    puppet.obey("reap two").map(drop)
}
