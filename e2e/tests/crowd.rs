//! Beside tens of thousands of zombies.

use std::{collections::HashSet, fs, thread, time::Duration};

use crate::{
    Outcome, Test, check, context, ensure,
    report::number,
    serve::Held,
    tracer::{Running, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("crowd::while-traced", || crowd(false))
            .long(CPU_TIME)
            .alone(CPU_TIME),
        Test::new("crowd::from-before", || crowd(true))
            .long(CPU_TIME)
            .alone(CPU_TIME),
    ]
}

const CPU_TIME: &str = "measures CPU time, and makes 20,000 processes";

/// All of them are told of while they live, without a look at them taking much of the time, and again
/// when they are reaped.
fn crowd(from_before: bool) -> Outcome {
    const WATCHED: Duration = Duration::from_secs(3);
    /// A fiftieth is what looks may take. Ten a second, as are asked for here, would take a third.
    const ENOUGH: Duration = Duration::from_millis(240);
    let count = if context::is_emulated() {
        2_000
    } else {
        20_000
    };
    let ourselves = std::process::id().to_string();
    let options = ["--strict", "--alive-after", "100ms", "--tree", &ourselves];
    let tracer = Tracer::json(options);
    let (tracer, held) = if from_before {
        let held = Held::start(count)?;
        (tracer.start()?, held)
    } else {
        (tracer.start()?, Held::start(count)?)
    };
    // Each is diagnosed once.
    thread::sleep(WATCHED);
    let before = cpu_time(&tracer)?;
    thread::sleep(WATCHED);
    let used = cpu_time(&tracer)? - before;
    drop(held);
    let run = tracer.stop()?;
    run.expect_code(0)?;

    let said = format!("looks at {count} zombies took {used:?} in {WATCHED:?}");
    println!("{said}");
    ensure!(used < ENOUGH, "{said}");
    let report = run.report()?;
    ensure!(
        report.count("alive") == 0,
        "{} are left",
        report.count("alive")
    );
    for (what, lines) in [
        ("alive", of_load(report.alive())),
        ("zombie", of_load(report.zombies())),
    ] {
        ensure!(
            lines.len() as u64 == count,
            "{} of {count} have a line of type {what}",
            lines.len()
        );
    }
    let problems = check::accounting(&report);
    ensure!(problems.is_empty(), "{problems:?}");
    Ok(())
}

/// The pids of those whose parent is the load generator.
fn of_load<'a>(lines: impl Iterator<Item = &'a serde_json::Value>) -> HashSet<u64> {
    lines
        .filter(|line| line["parent_comm"] == "load")
        .map(|line| number(line, "pid"))
        .collect()
}

/// CPU time of all its threads, in user space and the kernel.
fn cpu_time(tracer: &Running) -> Result<Duration, String> {
    let tasks = format!("/proc/{}/task", tracer.pid());
    let tasks = fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?;
    let mut total = 0;
    for task in tasks.flatten() {
        let path = task.path().join("schedstat");
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let time = text
            .split(' ')
            .next()
            .and_then(|time| time.parse::<u64>().ok());
        total += time.ok_or_else(|| format!("{}: {text}", path.display()))?;
    }
    Ok(Duration::from_nanos(total))
}
