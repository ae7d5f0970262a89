//! The end of a run: what it waits for, and what it says.

use std::process::Stdio;

use serde_json::Value;

use crate::{
    Outcome, Test, check, context, ensure, fault::Storm, puppet::Puppet, report::flags,
    tracer::Tracer,
};

const SHELL: &str = "/bin/sh";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("ending::in-a-storm", in_a_storm),
        Test::new("ending::stopped-twice", stopped_twice),
        Test::new("ending::descendants-run-on", descendants_run_on)
            .unless(context::no_program(SHELL)),
    ]
}

/// Processes come and go until after the end; none is in two places, or in none.
fn in_a_storm() -> Outcome {
    let _storm = Storm::start()?;
    for _ in 0..5 {
        let tracer = Tracer::json(["-d", "200ms"]).start()?;
        let run = tracer.finish()?;
        run.expect_code(0)?;
        let report = run.report()?;
        let problems = check::accounting(&report);
        let skips = check::skips_allowed(report.count("exits") as usize);
        if !problems.is_empty() && (skips == 0 || !check::books(&report).is_empty()) {
            return run.fail(format!("{problems:?}"));
        }
        ensure!(
            report.count("exits") > 100,
            "no storm: {}",
            report.summary()
        );
        // The others are not among the exits.
        let is_ours = |line: &&Value| !flags(line).contains(&"pre-existing");
        let listed = report.zombies().filter(is_ours).count() as u64;
        let ended = report.count("reaped") + report.count("autoreaped");
        let lost = &report.summary()["lost"];
        ensure!(
            skips > 0 || listed == ended,
            "{listed} of {ended} are listed; lost {lost}"
        );
    }
    Ok(())
}

/// The second time there is nothing that is waited for, but the summary is written all the same.
fn stopped_twice() -> Outcome {
    let mut puppet = Puppet::start(Stdio::null())?;
    puppet.obey("zombie left 4")?;
    let mut tracer = Tracer::json(["-P", &puppet.pid().to_string()]).start()?;
    tracer.signal(libc::SIGTERM);
    tracer.signal(libc::SIGINT);
    let run = tracer.finish()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let summary = report.summary();
    ensure!(summary["pre_existing"] == 1, "{summary}");
    ensure!(report.alive().count() == 1, "the zombie is not listed");
    puppet.obey("reap left").map(drop)
}

fn descendants_run_on() -> Outcome {
    // The last words of a shell whose child closes its standard output.
    let script = "sleep 1000 > /dev/null 2>&1 & echo $!";
    for text in [true, false] {
        let tracer = if text {
            Tracer::new(["-a"]).into_file("out.txt")
        } else {
            Tracer::json([""; 0])
        };
        let run = tracer.command([SHELL, "-c", script]).run()?;
        let pid: libc::pid_t = String::from_utf8_lossy(&run.stdout)
            .trim()
            .parse()
            .map_err(|error| format!("{error}: {:?}", run.stdout))?;
        // SAFETY: no pointers; it is the child of a shell that has ended, and nobody else's to end.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        run.expect_code(0)?;
        let said = format!("1 descendant still runs: sleep ({pid})");
        let output = String::from_utf8_lossy(&run.output);
        if output.contains(&said) != text {
            return run.fail(format!("{said:?} in text only"));
        }
        if !text {
            run.report()?;
        }
    }
    Ok(())
}
