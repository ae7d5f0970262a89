//! What does not fit is counted to the unit, told of, and never passed over.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
use zombie_trace_e2e::LoadResult;

use crate::{
    Outcome, Test,
    check::{self, Truths},
    context, ensure,
    pty::until,
    report::{Report, number},
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("loss::tiny-map", tiny_map),
        Test::new("loss::slots-taken", slots_taken),
        Test::new("loss::tiny-ring-buffer", || stopped_reader(4)),
        Test::new("loss::stopped-reader", || stopped_reader(64)),
        Test::new("loss::none-in-a-storm", none_in_a_storm)
            .long("is a storm")
            .alone("is as fast a storm as the machine can make"),
        Test::new("loss::strict-without-loss", strict_without_loss),
        Test::new("loss::strict-and-a-failed-command", strict_and_failed)
            .unless(context::no_program("/bin/sh")),
    ]
}

/// The scenario's processes, all at once.
const BURST: u64 = 2000;

fn tiny_map() -> Outcome {
    for strict in [false, true] {
        let run = Tracer::json(["--max-zombies", "50"])
            .args(strict.then_some("--strict"))
            .scenario(["burst", &BURST.to_string()])
            .run()?;
        run.expect_code(if strict { 4 } else { 0 })?;
        let truths = Truths::parse(&run.stdout)?;
        let expected = truths.many.iter().map(|many| many.pids.len() as u64);
        let expected = expected.sum::<u64>() + truths.processes.len() as u64;
        check(&run, "map_full", "--max-zombies", expected)?;
    }
    Ok(())
}

/// There is room for all, but no slot for each: of 100 there are 64.
fn slots_taken() -> Outcome {
    let run = Tracer::json(["--strict", "--max-zombies", "100"])
        .scenario(["burst", "95"])
        .run()?;
    run.expect_code(0)?;
    check::scenario_run(&run).map(drop)
}

/// As much as fits is kept while nobody reads, and the rest counted.
fn stopped_reader(kib: u64) -> Outcome {
    let ourselves = std::process::id().to_string();
    let buffer = format!("{kib}KiB");
    let options = ["--strict", "--buffer", &buffer, "--tree", &ourselves];
    let mut tracer = Tracer::json(options).start()?;
    tracer.signal(libc::SIGSTOP);
    let stat = format!("/proc/{}/stat", tracer.pid());
    until("the tracer is stopped", || {
        Ok(fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")))
    })?;
    let status = Command::new(context::scenario())
        .args(["fork-loop", "2000"])
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("fork-loop: {error}"))?;
    ensure!(status.success(), "fork-loop: {status}");
    tracer.signal(libc::SIGCONT);
    thread::sleep(Duration::from_millis(300));
    let run = tracer.stop()?;
    run.expect_code(4)?;
    // The children and the scenario itself.
    check(&run, "ring_full", "--buffer", 2001)?;
    let kept = run.report()?.zombies().count() as u64;
    // A record and its header.
    const BYTES: u64 = 232 + 8;
    let room = kib * 1024 / BYTES;
    // The names of cgroups that are made elsewhere on the machine may fill half of it.
    let others = if context::is_emulated() {
        1
    } else {
        room / 2 + 1
    };
    ensure!(
        kept <= room + 1 && kept + others >= room,
        "{kept} records are kept, there is room for {room}"
    );
    Ok(())
}

fn check(run: &Run, lost: &str, advice: &str, exits: u64) -> Outcome {
    let report: Report = run.report()?;
    let summary = report.summary();
    let problems = check::books(&report);
    if !problems.is_empty() {
        return run.fail(format!("{problems:?}"));
    }
    ensure!(report.count("exits") == exits, "{exits} exits: {summary}");
    let count = number(&summary["lost"], lost);
    ensure!(
        count > 0 && summary["complete"] == false,
        "nothing lost: {summary}"
    );
    let told: u64 = report
        .of_type("loss")
        .map(|line: &Value| number(line, lost))
        .sum();
    ensure!(told == count, "{told} of {count} told of at once");
    if !run.stderr.contains("lost ") || !run.stderr.contains(advice) {
        return run.fail(format!("no warning that tells of {advice}"));
    }
    Ok(())
}

/// With the default buffers, every record written to disk as JSON.
fn none_in_a_storm() -> Outcome {
    const SECONDS: u64 = 5;
    const RATE: u64 = 30_000;
    let load = context::load().to_str().expect("UTF-8");
    let (seconds, rate) = (SECONDS.to_string(), RATE.to_string());
    let run = Tracer::json(["--strict"])
        .command([load, "serial", "--spawn", "vfork", "--workers", "2"])
        .args(["--seconds", &seconds, "--rate", &rate])
        .run()?;
    let result = LoadResult::parse(&String::from_utf8_lossy(&run.stdout));
    let result = result.ok_or("load says nothing")?;
    // The load itself is one more.
    let expected = result.processes + 1;
    let report = run.report()?;
    let lost = check::accounting(&report);
    let skips = check::skips_allowed(expected as usize) as u64;
    let zombies = report.zombies().count() as u64;
    if skips == 0 {
        run.expect_code(0)?;
        ensure!(lost.is_empty(), "{lost:?}");
    }
    ensure!(
        zombies.abs_diff(expected) <= skips,
        "{zombies} of {expected} listed"
    );
    Ok(())
}

fn strict_without_loss() -> Outcome {
    let run = Tracer::json(["--strict"]).scenario(["hold"]).run()?;
    check::scenario_run(&run).map(drop)
}

/// Its own status says more.
fn strict_and_failed() -> Outcome {
    let scenario = context::scenario().to_str().expect("UTF-8");
    let run = Tracer::json(["--strict", "--max-zombies", "50"])
        .command([
            "/bin/sh",
            "-c",
            "\"$0\" burst 500 > /dev/null; exit 7",
            scenario,
        ])
        .run()?;
    run.expect_code(7)?;
    ensure!(
        run.report()?.summary()["complete"] == false,
        "nothing was lost"
    );
    Ok(())
}
