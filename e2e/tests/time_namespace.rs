//! A tracer in a time namespace, whose clocks are not those of the kernel's own times.

use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
use zombie_trace_e2e::now;

use crate::{
    Outcome, Test, context, ensure, fault::children, puppet::Puppet, time, tracer::Tracer,
};

const UNSHARE: &str = "/usr/bin/unshare";
/// The clocks are so far apart.
const SHIFT: &str = "50000";
/// As precise as need be to tell them apart.
const NEARLY_NS: u64 = 1_000_000_000_000;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("time-namespace::records", records).unless(cannot_unshare()),
        Test::new("time-namespace::ps", ps).unless(cannot_unshare()),
    ]
}

pub(crate) fn cannot_unshare() -> Option<String> {
    context::no_program(UNSHARE).or_else(|| {
        let tried = Command::new(UNSHARE)
            .args(["-T", "--monotonic", SHIFT, "-f", "--", "/bin/true"])
            .stderr(Stdio::null())
            .status();
        (!tried.is_ok_and(|status| status.success())).then(|| "no time namespaces".into())
    })
}

pub(crate) fn wrapper() -> [&'static str; 8] {
    let shift = SHIFT;
    [
        UNSHARE,
        "-T",
        "--monotonic",
        shift,
        "--boottime",
        shift,
        "-f",
        "--kill-child=SIGTERM",
    ]
}

fn near(line: &Value, begun: u64) -> Outcome {
    let ts = line["ts"]
        .as_str()
        .and_then(time::monotonic)
        .ok_or("no ts")?;
    ensure!(
        ts.abs_diff(begun) < NEARLY_NS,
        "{ts} is far from {begun}: {line}"
    );
    for key in ["zombie_ns", "age_ns", "run_ns", "duration_ns"] {
        ensure!(
            line[key].as_u64().is_none_or(|ns| ns < NEARLY_NS),
            "{key}: {line}"
        );
    }
    Ok(())
}

fn records() -> Outcome {
    let begun = now();
    let mut puppet = Puppet::start(Stdio::null())?;
    puppet.obey("zombie left 4")?;
    let options = ["--alive-after", "100ms", "-P", &puppet.pid().to_string()];
    let mut tracer = Tracer::json(options).wrapped(wrapper()).start()?;
    puppet.obey("zombie reaped 3")?;
    thread::sleep(Duration::from_millis(50));
    puppet.obey("reap reaped")?;
    tracer.wait_line("the one that is left", |line| line["type"] == "alive")?;
    // unshare(1) ignores it, and waits for its child.
    let child = children(tracer.pid());
    let [child] = child[..] else {
        return Err(format!("not one tracer: {child:?}"));
    };
    // SAFETY: no pointers; nobody but unshare reaps it, once it has ended.
    unsafe { libc::kill(child.cast_signed(), libc::SIGTERM) };
    let run = tracer.finish()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let (reaped, alive) = (report.zombies().count(), report.alive().count());
    ensure!(reaped == 1 && alive >= 2, "{reaped} reaped, {alive} alive");
    for line in report.zombies() {
        near(line, begun)?;
        ensure!(!line["run_ns"].is_null(), "no run time: {line}");
    }
    for line in report.alive() {
        near(line, begun)?;
    }
    near(report.summary(), begun)?;
    puppet.obey("reap left").map(drop)
}

fn ps() -> Outcome {
    let begun = now();
    let mut puppet = Puppet::start(Stdio::null())?;
    let pid = puppet.obey("zombie left 4")?;
    let [unshare, options @ ..] = wrapper();
    let output = Command::new(unshare)
        .args(options)
        .arg(context::zombie_trace())
        .args(["ps", "--json", "-P", &puppet.pid().to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    puppet.obey("reap left")?;
    let line: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    ensure!(line["pid"] == pid, "{line}");
    near(&line, begun)
}
