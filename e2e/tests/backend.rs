//! The backends: which one is used and why, what each attaches, and whether they agree.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Outcome, Test,
    catalogue::{self, Case},
    check::{self, Truths},
    context, ensure,
    kernel_objects::{self, ProgramType},
    puppet::Puppet,
    report::{Report, flags, number},
    serve,
    tracer::{Run, Tracer},
};

pub(crate) const BACKENDS: [&str; 3] = ["fentry", "kprobe", "tracepoint"];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("backend::doctor-agrees", doctor_agrees),
        Test::new("backend::auto-says-why", auto_says_why),
    ];
    for backend in BACKENDS {
        let works = problem(backend).map(|problem| format!("{backend} does not load: {problem}"));
        let test = |name: &str, run: fn(&'static str) -> Outcome| {
            Test::new(format!("backend::{name}-{backend}"), move || run(backend))
        };
        tests.push(test("attaches-what-it-should", attached).unless(works.clone()));
        tests.push(test("serves", serve::figures_by).unless(works.clone()));
        if backend != "tracepoint" {
            tests.push(test("forgets-whom-it-notified", forgets).unless(works.clone()));
        }
        tests.push(
            test("forced-and-refused", refused)
                .unless(works.is_none().then(|| format!("{backend} loads here"))),
        );
    }
    let working = BACKENDS.iter().filter(|backend| problem(backend).is_none());
    let alone = (working.count() < 2).then(|| "fewer than two backends load".into());
    tests.push(Test::new("backend::agree", agree).unless(alone));
    tests
        .into_iter()
        .map(|test| test.unless(forced()))
        .collect()
}

/// Why no backend can be chosen, if so.
pub(crate) fn forced() -> Option<String> {
    context::forced_backend().map(|backend| format!("{backend} is forced"))
}

/// What `doctor --json` says.
pub(crate) fn examination() -> &'static Value {
    static EXAMINATION: OnceLock<Value> = OnceLock::new();
    EXAMINATION.get_or_init(|| {
        if let Some(known) = context::known_examination() {
            return serde_json::from_str(&known).expect("what the harness has read");
        }
        let output = Command::new(context::zombie_trace())
            .args(["doctor", "--json"])
            .output()
            .expect("zombie-trace doctor");
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    })
}

/// Why a backend can't be used here, if so.
pub(crate) fn problem(backend: &str) -> Option<String> {
    if context::missing().is_some() {
        return None;
    }
    let backends = examination()["backends"].as_array().expect("an array");
    let check = backends.iter().find(|check| check["name"] == backend);
    let problem = &check.expect("every backend")["problem"];
    problem.as_str().map(Into::into)
}

/// The one that is used unless another is asked for.
pub(crate) fn used() -> Option<&'static str> {
    examination()["would_use"].as_str()
}

/// The first that works is used, and each that is said to work does.
fn doctor_agrees() -> Outcome {
    let first = BACKENDS.iter().find(|backend| problem(backend).is_none());
    ensure!(
        used() == first.copied(),
        "would_use for {first:?}: {}",
        examination()
    );
    for backend in BACKENDS {
        let run = Tracer::json(["--backend", backend, "-d", "1ms"]).run()?;
        match problem(backend) {
            None => {
                run.expect_code(0)?;
                let report = run.report()?;
                ensure!(
                    report.start()["backend"] == backend,
                    "start: {}",
                    report.start()
                );
                let attached = format!("attached (backend {backend}, ±");
                if !run.stderr.contains(&attached) {
                    return run.fail(format!("no {attached:?}"));
                }
            }
            Some(problem) => {
                run.expect_code(1)?;
                if !run.stderr.contains(&problem) {
                    return run.fail(format!("no {problem:?}"));
                }
            }
        }
    }
    Ok(())
}

/// With `-v` one line, with the reason for each better one; none if there is no better one.
fn auto_says_why() -> Outcome {
    // Of a process without children there is nothing else to say.
    let puppet = Puppet::start(Stdio::inherit())?;
    let parent = puppet.pid().to_string();
    let options = ["--backend", "auto", "-d", "1ms", "-P", &parent];
    let run = Tracer::json(options).run()?;
    run.expect_code(0)?;
    if run.stderr.lines().count() != 1 || !run.stderr.starts_with("attached (backend ") {
        return run.fail("one short line");
    }
    let run = Tracer::json(options).args(["-v"]).run()?;
    run.expect_code(0)?;
    let used = run.report()?.start()["backend"].clone();
    let lines: Vec<_> = run
        .stderr
        .lines()
        .filter(|line| line.contains("do not load here"))
        .collect();
    let problems: Vec<_> = BACKENDS
        .iter()
        .take_while(|backend| used != **backend)
        .filter_map(|backend| Some(format!("{backend}: {}", problem(backend)?)))
        .collect();
    match lines[..] {
        [] if problems.is_empty() => Ok(()),
        [line] if problems.iter().all(|problem| line.contains(problem)) => Ok(()),
        _ => run.fail(format!("one line with {problems:?}")),
    }
}

/// The kernel's reason is given, and nothing is traced.
fn refused(backend: &str) -> Outcome {
    let witness = context::fresh_path("witness");
    let run = Tracer::json(["--backend", backend])
        .command(["/bin/touch".as_ref(), witness.as_os_str()])
        .run()?;
    run.expect_code(1)?;
    let problem = problem(backend).expect("it does not load");
    if !run.stderr.contains(&problem) {
        return run.fail(format!("no {problem:?}"));
    }
    ensure!(!witness.exists(), "the command ran all the same");
    Ok(())
}

/// System call tracepoints tax every system call of the machine: only the backend that has nothing
/// better may attach any.
fn attached(backend: &str) -> Outcome {
    let mut tracer = Tracer::json(["--backend", backend]).start()?;
    let programs = kernel_objects::programs_of(tracer.pid());
    let links = kernel_objects::linked_programs_of(tracer.pid());
    tracer.signal(libc::SIGTERM);
    tracer.finish()?.expect_code(0)?;

    let count = |program_type| {
        programs
            .values()
            .filter(|found| **found == program_type)
            .count()
    };
    let expected = match backend {
        // wait4's exit, waitid's entry and exit.
        "tracepoint" => (3, 0),
        "kprobe" => (0, 3),
        _ => (0, 0),
    };
    let found = (count(ProgramType::TRACEPOINT), count(ProgramType::KPROBE));
    ensure!(
        found == expected,
        "tracepoint and kprobe programs: {found:?} for {expected:?} among {programs:?}"
    );
    let tracing = count(ProgramType::TRACING);
    // exit, free, three iterators; and the backend's own.
    ensure!(tracing >= 5, "{tracing} tracing programs: {programs:?}");
    let linked: Vec<_> = links.iter().filter_map(|id| programs.get(id)).collect();
    ensure!(
        backend == "tracepoint" || !linked.contains(&&ProgramType::TRACEPOINT),
        "links to {linked:?}"
    );
    ensure!(
        linked.len() >= 2,
        "links to {linked:?} alone: sched_process_exit and _free at least"
    );
    Ok(())
}

/// What is kept from the start of `do_notify_parent` to its return is gone after it: a return whose
/// start the kernel skipped would take the process of an earlier call for its own.
fn forgets(backend: &str) -> Outcome {
    // `struct Notifying` of the programs: the running thread, the process, and whether it is told anew.
    const SIZE: usize = 16;
    let tracer = Tracer::json(["--backend", backend]).start()?;
    let status = Command::new(context::scenario())
        .arg("ignore-idle")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    ensure!(status.is_ok_and(|status| status.success()), "the scenario");
    let own = kernel_objects::of(tracer.pid());
    // At any moment another process can be ending.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let kept = kernel_objects::first_values::<SIZE>(&own, "NOTIFYING")?;
        ensure!(!kept.is_empty(), "no map has this name");
        ensure!(
            kept.iter().all(|value| value[..8] != [0; 8]),
            "nothing was notified: {kept:?}"
        );
        if kept.iter().all(|value| value[8..12] == [0; 4]) {
            break;
        }
        ensure!(Instant::now() < deadline, "it is kept: {kept:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    tracer.stop()?.expect_code(0)?;
    Ok(())
}

/// One tracer with each backend watches the whole catalogue, storms included. Each has to report the
/// truth, and all of them the same.
fn agree() -> Outcome {
    let ourselves = std::process::id().to_string();
    let mut tracers = Vec::new();
    for backend in BACKENDS.into_iter().filter(|name| problem(name).is_none()) {
        let options = [
            "--backend",
            backend,
            "--buffer",
            catalogue::BUFFER,
            "--tree",
            &ourselves,
        ];
        tracers.push((backend, Tracer::json(options).start()?));
    }
    let pids: Vec<_> = tracers.iter().map(|(_, tracer)| tracer.pid()).collect();
    let (mut cases, mut outputs) = (Vec::new(), Vec::new());
    for case in catalogue::runnable() {
        let output = Command::new(context::scenario())
            .args(&case.args)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{:?}: {error}", case.args))?;
        ensure!(output.status.success(), "{:?}: {output:?}", case.args);
        let truths =
            Truths::parse(&output.stdout).map_err(|error| format!("{:?}: {error}", case.args))?;
        outputs.push(output.stdout);
        cases.push((case, truths));
    }
    // What is released is freed a grace period later.
    std::thread::sleep(Duration::from_millis(200));
    let mut runs = Vec::new();
    for (backend, tracer) in tracers {
        runs.push((backend, tracer.stop()?));
    }
    for output in outputs {
        catalogue::remove_cgroups_of(&output);
    }
    let mut reports = Vec::new();
    for (backend, run) in runs {
        run.expect_code(0)?;
        let report = run.report()?;
        let problems = check::accounting(&report);
        ensure!(problems.is_empty(), "{backend}: {problems:?}");
        // One tracer sees the other one end.
        let of_tracer = |record: &Value| pids.iter().any(|pid| record["pid"] == *pid);
        let report = report.without(of_tracer);
        is_true(&report, &cases, &run).map_err(|problem| format!("{backend}: {problem}"))?;
        reports.push((backend, report));
    }
    for (index, one) in reports.iter().enumerate() {
        for other in &reports[index + 1..] {
            compare(one, other)?;
        }
    }
    Ok(())
}

/// Each process of each case as it was, nothing else, and what else must hold of each case.
fn is_true(report: &Report, cases: &[(Case, Truths)], run: &Run) -> Outcome {
    let named = cases.iter().map(|(case, truths)| {
        let mut truths = truths.clone();
        for truth in &mut truths.processes {
            truth.role = format!("{} of {}", truth.role, case.args.join(" "));
        }
        truths
    });
    let all = Truths::concat(&named.collect::<Vec<_>>());
    check::compare_records(report, &all, run)?;
    for (case, truths) in cases {
        case.check_extra(&report.only(&truths.pids()), truths)
            .map_err(|problem| format!("{}: {problem}", case.args.join(" ")))?;
    }
    Ok(())
}

/// The same processes, parents and reapers; how far the times are apart is printed.
fn compare(one: &(&str, Report), other: &(&str, Report)) -> Outcome {
    let names = format!("{} less {}", one.0, other.0);
    let (one, other) = (by_pid(&one.1), by_pid(&other.1));
    let pids = |records: &BTreeMap<u64, Vec<&Value>>| -> Vec<(u64, usize)> {
        records
            .iter()
            .map(|(pid, records)| (*pid, records.len()))
            .collect()
    };
    let (pids, other_pids) = (pids(&one), pids(&other));
    ensure!(
        pids == other_pids,
        "{names}: not the same processes:\n{pids:?}\n{other_pids:?}"
    );
    let (mut differences, mut within, mut bounded) = (Vec::new(), 0, 0);
    for (one, other) in one.values().flatten().zip(other.values().flatten()) {
        // Only the last of the backends misses anything.
        ensure!(is_exact(one), "{names}: not exact: {one}");
        let mut same = vec!["comm", "ppid", "parent_comm", "uid", "exit_code", "signal"];
        let difference = number(one, "zombie_ns") as i64 - number(other, "zombie_ns") as i64;
        let errors = number(one, "error_ns") + number(other, "error_ns");
        if is_exact(other) {
            same.extend(["how", "reaper_pid", "reaper_tid", "reaper_comm"]);
            if one["how"] != "autoreap" {
                differences.push(difference);
                within += usize::from(difference.unsigned_abs() <= errors);
            }
        } else {
            bounded += 1;
            ensure!(
                difference.unsigned_abs() <= errors + TOLERANCE_NS,
                "{names}: outside of its bound by {difference} ns:\n{one}\n{other}"
            );
        }
        for key in same {
            ensure!(one[key] == other[key], "{names}: {key}:\n{one}\n{other}");
        }
    }
    differences.sort_unstable();
    ensure!(
        differences.len() > 1000,
        "{names}: only {}",
        differences.len()
    );
    let at = |share: f64| {
        let ns = differences[((differences.len() - 1) as f64 * share) as usize];
        format!("{:.1}", ns as f64 / 1000.0)
    };
    println!(
        "cross-check: zombie_ns of {names}, of {} exact lifetimes: min {} p0.1 {} p1 {} p50 {} p99 {} \
         p99.9 {} max {} µs, {:.2} % within the sum of both error_ns; {bounded} bounded intervals hold \
         the other time",
        differences.len(),
        at(0.0),
        at(0.001),
        at(0.01),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        100.0 * within as f64 / differences.len() as f64,
    );
    // The clock of another machine does not stand still for what else runs on it.
    ensure!(
        !context::is_emulated() || within * 100 >= differences.len() * 99,
        "{names}: only {within} of {} within the sum of both error_ns",
        differences.len()
    );
    Ok(())
}

/// A bounded interval may miss by what the exact ends themselves can be wrong.
const TOLERANCE_NS: u64 = 200_000;

fn is_exact(record: &Value) -> bool {
    let flags = flags(record);
    !flags.contains(&"bounded-end") && !flags.contains(&"approximate-start")
}

/// In the order of the reaps.
fn by_pid(report: &Report) -> BTreeMap<u64, Vec<&Value>> {
    let mut records: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for record in report.zombies() {
        records
            .entry(number(record, "pid"))
            .or_default()
            .push(record);
    }
    records
}
