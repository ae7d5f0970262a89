//! The end of a run: what it waits for, and what it says.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    Outcome, Test,
    catalogue::BUFFER,
    check, context, ensure,
    fault::Storm,
    puppet::Puppet,
    report::{flags, number},
    sealed::STRACE,
    tracer::Tracer,
};

const SHELL: &str = "/bin/sh";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("ending::in-a-storm", || in_a_storm(&[])),
        Test::new("ending::in-a-storm-of-a-tree", || {
            in_a_storm(&["--tree", &std::process::id().to_string()])
        }),
        Test::new("ending::stopped-twice", stopped_twice),
        Test::new("ending::descendants-run-on", descendants_run_on)
            .unless(context::no_program(SHELL)),
        Test::new("ending::takes-in-no-more", takes_in_no_more).unless(context::no_program(STRACE)),
    ]
}

/// Processes come and go until after the end; none is in two places, or in none.
fn in_a_storm(scope: &[&str]) -> Outcome {
    let _storm = Storm::start()?;
    for _ in 0..5 {
        let mut tracer = Tracer::json(["--buffer", BUFFER]).args(scope).start()?;
        tracer.wait_output("a storm", |bytes| {
            bytes.iter().filter(|byte| **byte == b'\n').count() > 300
        })?;
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let report = run.report()?;
        let problems = check::accounting_but_for_the_buffer(&report);
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
            skips > 0 || listed + number(lost, "ring_full") == ended,
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
    // Until then, the child has the shell's name.
    let script = "sleep 1000 > /dev/null 2>&1 & until read comm </proc/$!/comm; [ \"$comm\" = sleep ]; do :; \
                  done; echo $!";
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

/// Processes that start once the run takes stock are not counted, or else it could take stock for ever.
/// Each of its looks at the kernel's tasks is made slow, so that some do start meanwhile.
fn takes_in_no_more() -> Outcome {
    // Whether one starts in time is up to the machine, what becomes of it is not.
    let mut attempts = (0..10).map(|_| see_late_ones());
    let seen = attempts.find(|attempt| !matches!(attempt, Err(error) if error == NONE_LATE));
    seen.unwrap_or_else(|| Err(NONE_LATE.to_owned()))
}

const NONE_LATE: &str = "none came late";

fn see_late_ones() -> Outcome {
    /// Seconds, between our clock and that of strace.
    const TOLERANCE: f64 = 0.005;
    let calls = context::fresh_path("strace");
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let pid = puppet.pid().to_string();
    // No looks but those of the end.
    let mut tracer = Tracer::json(["-P", &pid, "--alive-after", "1h"]).start()?;
    let mut strace = Command::new(STRACE)
        .args(["-f", "-ttt", "-e", "trace=bpf,exit_group"])
        .args(["-e", "inject=bpf:delay_enter=500000", "-o"])
        .arg(&calls)
        .args(["-p", &tracer.pid().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{STRACE}: {error}"))?;
    let status = format!("/proc/{}/status", tracer.pid());
    crate::pty::until("strace", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        Ok(!text.contains("TracerPid:\t0\n"))
    })?;
    puppet.obey("autoreap before 0")?;
    tracer.signal(libc::SIGTERM);
    let mut late = Vec::new();
    while !tracer.has_ended() {
        let asked = SystemTime::now().duration_since(UNIX_EPOCH);
        let asked = asked.map_err(|error| error.to_string())?.as_secs_f64();
        late.push((puppet.obey("autoreap late 0")?, asked));
        // The puppet remembers each.
        thread::sleep(Duration::from_millis(5));
    }
    let run = tracer.finish()?;
    strace
        .wait()
        .map_err(|error| format!("{STRACE}: {error}"))?;
    run.expect_code(0)?;
    let text = fs::read_to_string(&calls).map_err(|error| format!("strace: {error}"))?;
    // `PID SECONDS.MICROSECONDS bpf(BPF_ITER_CREATE, …`
    let looks: Vec<f64> = text
        .lines()
        .filter(|line| line.contains("bpf(BPF_ITER_CREATE"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse().ok())
        .collect();
    // The last one finds the numbers in balance; the one before comes when nothing is taken in any
    // more.
    let [.., first, _] = looks[..] else {
        return run.fail(format!("only {looks:?} looks:\n{text}"));
    };
    let report = run.report()?;
    let taken_in: Vec<u64> = report.zombies().map(|it| number(it, "pid")).collect();
    let too_late: Vec<_> = late
        .iter()
        .filter(|(pid, asked)| *asked > first + TOLERANCE && taken_in.contains(&(*pid).into()))
        .collect();
    println!("{} of {} are counted", taken_in.len(), late.len() + 1);
    ensure!(
        too_late.is_empty(),
        "{} were taken in after {first}: {too_late:?}",
        too_late.len()
    );
    let found = late.iter().filter(|(_, asked)| *asked > first + TOLERANCE);
    let found = found.count();
    ensure!(!taken_in.is_empty(), "not even the first is counted");
    let problems = check::accounting(&report);
    ensure!(problems.is_empty(), "{problems:?}");
    ensure!(found > 0, "{NONE_LATE}");
    Ok(())
}
