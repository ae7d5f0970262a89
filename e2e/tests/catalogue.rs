//! The catalogue of cases, each as the command of a tracer.

use std::process::Stdio;

use serde_json::Value;
use zombie_trace_e2e::{Span, Truth};

use crate::{
    Outcome, Test,
    check::{self, Truths},
    context, ensure,
    pty::until,
    puppet::Puppet,
    report::{Report, flags, number},
    scope::remove_cgroups,
    tracer::Tracer,
};

/// What must hold beyond the comparison with the truth.
type Extra = fn(&Report, &Truths) -> Outcome;

const NOTHING: Extra = |_, _| Ok(());

/// Number in the catalogue, arguments of `scenario`, and what else must hold.
const CASES: &[(u32, &[&str], Extra)] = &[
    (1, &["hold"], teardown_is_short),
    (1, &["hold", "500"], held_500_ms),
    (2, &["blocked-waiter"], shortest_below_1_ms),
    (2, &["busy-cpu-waiter"], mostly_in_run_queue),
    (3, &["busy-cpu-handler"], mostly_in_run_queue),
    (3, &["handler-wnohang"], handler_was_seen),
    (4, &["ignore-idle"], NOTHING),
    (4, &["ignore-blocked"], NOTHING),
    (5, &["nocldwait-handler"], NOTHING),
    (5, &["nocldwait-default"], NOTHING),
    (6, &["ignore-after-death"], NOTHING),
    (7, &["clone-exit-signal-0"], NOTHING),
    (7, &["clone-exit-signal-usr1"], NOTHING),
    (8, &["clone-parent"], NOTHING),
    (3, &["poll"], NOTHING),
    (2, &["thread-reaps"], NOTHING),
    (3, &["wait-any"], NOTHING),
    (9, &["leader-exits-first"], NOTHING),
    (9, &["leader-exits-first-group"], NOTHING),
    (10, &["leader-exits-first-ignored"], NOTHING),
    (11, &["exit-group-threads"], NOTHING),
    (12, &["thread-churn", "1000"], NOTHING),
    (13, &["exec"], NOTHING),
    (13, &["exec-thread-leader-live"], NOTHING),
    (13, &["exec-thread-leader-zombie"], NOTHING),
    (13, &["made-before-exec"], NOTHING),
    (13, &["exec-with-zombie"], NOTHING),
    (14, &["reparent"], NOTHING),
    (15, &["reparent-ignored"], NOTHING),
    (15, &["reparent-ignored-grandparent"], NOTHING),
    (16, &["parent-dies-first"], NOTHING),
    (16, &["adopted-by-init"], NOTHING),
    (16, &["adopted-after-exec"], NOTHING),
    (17, &["zombie-leader-parent"], NOTHING),
    (17, &["parent-thread-dies"], NOTHING),
    (18, &["ptrace-seize"], held_by_tracer_first),
    (19, &["ptrace-tracer-dies"], NOTHING),
    (19, &["ptrace-traceme"], NOTHING),
    (19, &["ptrace-thread"], NOTHING),
    (19, &["ptrace-thread-last"], NOTHING),
    (20, &["waitid-wnowait"], NOTHING),
    (21, &["waitid"], NOTHING),
    (21, &["waitid-null"], NOTHING),
    (21, &["waitid-null-many", "12"], NOTHING),
    (21, &["waitid-null-many", "40"], NOTHING),
    (21, &["waitid-pidfd"], NOTHING),
    (21, &["waitid-clone-pidfd"], NOTHING),
    (22, &["io-uring-blocked"], NOTHING),
    (22, &["io-uring-late"], NOTHING),
    (23, &["ns-reap-inside"], NOTHING),
    (23, &["ns-init-dies"], NOTHING),
    (23, &["ns-init-dies-many"], NOTHING),
    (23, &["ns-nested"], NOTHING),
    (23, &["ns-nested-teardown"], NOTHING),
    (23, &["ns-unshare"], NOTHING),
    (23, &["ns-uts-names"], NOTHING),
    (24, &["vfork"], NOTHING),
    (25, &["blocked-sigchld"], NOTHING),
    (26, &["stop-cont-kill"], NOTHING),
    (26, &["killed"], NOTHING),
    (27, &["forged-sigchld"], NOTHING),
    (28, &["int80-wait4"], NOTHING),
    (29, &["parent-stopped"], NOTHING),
    (29, &["parent-frozen"], NOTHING),
    (29, &["parent-waits-other"], NOTHING),
    (30, &["core-dump"], NOTHING),
    (30, &["big-mm"], NOTHING),
    (32, &["ns-pid-reuse"], NOTHING),
    (32, &["pid-reuse"], NOTHING),
    (33, &["burst", "10000"], nearly_all_have_phases),
    (33, &["fork-loop", "20000"], nearly_all_have_phases),
    (34, &["two-threads-exit", "1000"], NOTHING),
];

/// A case that can run here.
pub(crate) struct Case {
    /// The arguments of `scenario`.
    pub(crate) args: Vec<String>,
    extra: Extra,
}

impl Case {
    /// Checks what must hold beyond the comparison with the truth.
    pub(crate) fn check_extra(&self, report: &Report, truths: &Truths) -> Outcome {
        (self.extra)(report, truths)
    }
}

/// Every case that can run here.
pub(crate) fn runnable() -> impl Iterator<Item = Case> {
    CASES
        .iter()
        .filter(|(_, args, _)| context::cannot_run(args[0]).is_none())
        .map(|&(_, args, extra)| Case {
            args: in_time(args),
            extra,
        })
}

/// Room for all records of a storm, however long the tracer gets no CPU.
pub(crate) const BUFFER: &str = "16MiB";

/// Removes the cgroups that scenarios have made, as their output says.
pub(crate) fn remove_cgroups_of(stdout: &[u8]) {
    let truths = Truths::parse(stdout).unwrap_or_default();
    let mount = context::cgroup2_mount().unwrap_or_default();
    for truth in truths.processes {
        if truth.role == "parent"
            && let Some(cgroup) = truth.cgroup
        {
            remove_cgroups(&[&mount.join(cgroup.trim_start_matches('/'))]);
        }
    }
}

/// An emulated machine gets a quarter of a storm: it is some ten times slower.
fn in_time(args: &[&str]) -> Vec<String> {
    const STORM: u64 = 10_000;
    let slow = context::is_emulated();
    args.iter()
        .map(|arg| match arg.parse::<u64>() {
            Ok(count @ STORM..) if slow => (count / 4).to_string(),
            _ => (*arg).to_owned(),
        })
        .collect()
}

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = CASES
        .iter()
        .map(|&(number, args, extra)| {
            let name = format!("catalogue::{number:02}-{}", args.join("-"));
            let run = move || {
                let run = Tracer::json(["--buffer", BUFFER])
                    .scenario(in_time(args))
                    .run()?;
                remove_cgroups_of(&run.stdout);
                let (report, truths) = check::scenario_run(&run)?;
                extra(&report, &truths).or_else(|problem| run.fail(problem))
            };
            let test = Test::new(name, run).unless(context::cannot_run(args[0]));
            match args[0] {
                "busy-cpu-waiter" | "busy-cpu-handler" => test.alone("keeps CPU 0 busy"),
                // It sets the last pid of its namespace.
                "pid-reuse" => test.in_pid_namespace(),
                _ => test,
            }
        })
        .collect();
    for scenario in ["leader-exits-first", "exit-group-threads"] {
        let test = Test::new(format!("catalogue::19-strace-{scenario}"), move || {
            strace(scenario)
        });
        tests.push(test.unless(context::no_program(STRACE)));
    }
    tests.push(Test::new(
        "catalogue::31-zombies-before-the-tracer",
        before_the_tracer,
    ));
    tests
}

/// The record of the only `child`.
fn child<'a>(report: &'a Report, truths: &Truths) -> Result<(&'a Value, Truth), String> {
    let truth = truths.role("child")?.clone();
    let record = report.zombies().find(|record| record["pid"] == truth.pid);
    Ok((record.expect("compared before"), truth))
}

/// A small process is soon a zombie: its end must not be taken for its teardown.
fn teardown_is_short(report: &Report, truths: &Truths) -> Outcome {
    let (record, truth) = child(report, truths)?;
    let limit = truth.born.expect("known").hi - truth.started.expect("known").lo;
    ensure!(
        number(record, "teardown_ns") <= limit,
        "teardown_ns is more than its life: {record}"
    );
    Ok(())
}

/// The acceptance: within 200 µs or error_ns of what the parent itself measured.
fn held_500_ms(report: &Report, truths: &Truths) -> Outcome {
    let (record, truth) = child(report, truths)?;
    let Span { lo, hi } = truth.zombie().expect("measured");
    let zombie_ns = number(record, "zombie_ns");
    let slack = number(record, "error_ns").max(200_000);
    ensure!(lo > 500_000_000, "held for 500 ms: {lo}");
    let slept = phase(record, "parent_not_waiting_ns");
    ensure!(
        slept > 450_000_000,
        "it slept nearly all the time: {record}"
    );
    ensure!(
        zombie_ns + slack >= lo && zombie_ns <= hi + slack,
        "zombie_ns is {zombie_ns} ± {slack} for {lo}..{hi}"
    );
    Ok(())
}

/// The acceptance: the child of a blocked waiter is a zombie for less than 1 ms, but for the
/// time that the waiter got no CPU.
fn shortest_below_1_ms(report: &Report, truths: &Truths) -> Outcome {
    let pids: Vec<u32> = truths.processes.iter().map(|truth| truth.pid).collect();
    let children = report.zombies().filter(|record| record["comm"] == "child");
    let children = children.filter(|record| pids.iter().any(|pid| record["pid"] == *pid));
    let children: Vec<&Value> = children.collect();
    for record in &children {
        let slept = phase(record, "parent_not_waiting_ns");
        ensure!(slept == 0, "the parent waits all the time: {record}");
    }
    let shortest = children
        .iter()
        .map(|record| number(record, "zombie_ns").saturating_sub(phase(record, "runqueue_ns")))
        .min();
    ensure!(
        shortest.is_some_and(|ns| ns < 1_000_000),
        "the shortest is {shortest:?} ns"
    );
    Ok(())
}

/// A time of `phases`, or 0 if it is not known.
fn phase(record: &Value, name: &str) -> u64 {
    record["phases"][name].as_u64().unwrap_or(0)
}

/// The parent would reap at once, if it were not for the CPU.
fn mostly_in_run_queue(report: &Report, truths: &Truths) -> Outcome {
    let (record, _) = child(report, truths)?;
    let delay = phase(record, "runqueue_ns");
    ensure!(
        delay > 100_000 && 2 * delay > number(record, "zombie_ns"),
        "most of its time the parent was in a run queue: {record}"
    );
    Ok(())
}

/// In a storm two threads may share a place for their waits, and newer kernels skip programs.
fn nearly_all_have_phases(report: &Report, _: &Truths) -> Outcome {
    let (with, without): (Vec<_>, Vec<_>) = report
        .zombies()
        .partition(|record| record["phases"].is_object());
    ensure!(
        without.len() * 50 <= with.len(),
        "{} of {} have no phases, such as {:?}",
        without.len(),
        without.len() + with.len(),
        without.first()
    );
    Ok(())
}

fn handler_was_seen(report: &Report, truths: &Truths) -> Outcome {
    let (record, _) = child(report, truths)?;
    ensure!(
        record["phases"]["notify_ns"].is_u64(),
        "the run of the handler was not seen: {record}"
    );
    Ok(())
}

/// The tracer waits 15 ms after the death, the parent 25 ms later.
fn held_by_tracer_first(report: &Report, truths: &Truths) -> Outcome {
    let (record, _) = child(report, truths)?;
    let (tracer, slept) = (
        phase(record, "tracer_ns"),
        phase(record, "parent_not_waiting_ns"),
    );
    ensure!(
        tracer > 14_000_000 && slept > 10_000_000,
        "15 ms by the tracer, 25 ms by the parent: {record}"
    );
    Ok(())
}

const STRACE: &str = "/usr/bin/strace";

/// Every process and thread has a tracer, which reaps everything first.
fn strace(scenario: &str) -> Outcome {
    let path = context::scenario().to_str().expect("UTF-8");
    let run = Tracer::json([""; 0])
        .command([STRACE, "-f", "-qq", "-o", "/dev/null", path, scenario])
        .with(|command| {
            command.env("SCENARIO_TRACED", "1");
        })
        .run()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let mut truths = Truths::parse(&run.stdout)?;
    let strace = truths.role("command")?.ppid.expect("always known");
    for truth in &mut truths.processes {
        truth.flags.push("traced".into());
    }
    // strace itself, and the children by which it tries out what this kernel's ptrace can do.
    let ours: Vec<u32> = truths.processes.iter().map(|truth| truth.pid).collect();
    let of_strace = |record: &Value| {
        let own = record["pid"] == strace || record["ppid"] == strace;
        own && !ours.iter().any(|pid| record["pid"] == *pid)
    };
    let report = report.without(of_strace);
    check::compare_records(&report, &truths, &run)
}

/// Zombies that are there before the tracer: one is reaped while it looks on, one stays.
fn before_the_tracer() -> Outcome {
    let mut puppet = Puppet::start(Stdio::null())?;
    let mut gone = [0; 2];
    for (command, gone) in ["zombie reaped 3", "zombie left 4"].iter().zip(&mut gone) {
        *gone = off_the_cpu(puppet.obey(command)?)?;
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let tracer = Tracer::json(["-P", &puppet.pid().to_string()]).start()?;
    std::thread::sleep(std::time::Duration::from_millis(100));
    puppet.obey("reap reaped")?;
    let run = tracer.stop()?;
    // Not until now is it known when the other one was a zombie for sure.
    puppet.obey("reap left")?;
    run.expect_code(0)?;
    let report = run.report()?;

    let [reaped, left] = ["reaped", "left"].map(|role| puppet.truths.role(role).cloned());
    let (reaped, left) = (reaped?, left?);
    let records: Vec<_> = report.zombies().collect();
    let lines: Vec<_> = report
        .alive()
        .filter(|line| line["pid"] == left.pid)
        .collect();
    let ([record], Some(line)) = (&records[..], lines.last()) else {
        return run.fail("not one record and one alive line");
    };
    let until = Span {
        lo: reaped.reaped.expect("known").hi,
        hi: run.ended,
    };
    let left_age = left.born.expect("known").until(until);
    let reaped_age = reaped.zombie().expect("known");
    for (line, key, truth, age, gone) in [
        (*record, "zombie_ns", &reaped, reaped_age, gone[0]),
        (line, "age_ns", &left, left_age, gone[1]),
    ] {
        let flags = flags(line);
        let named = line["pid"] == truth.pid
            && line["comm"] == truth.role.as_str()
            && line["exit_code"] == Value::from(truth.exit_code)
            && line["ppid"] == puppet.pid();
        if !named || !flags.contains(&"pre-existing") || !flags.contains(&"approximate-start") {
            return run.fail(format!("wrong: {line}\n{truth:?}"));
        }
        // Its date is that of its last run, which is later than its death if it lost its CPU in between.
        let preempted = gone.saturating_sub(truth.born.expect("known").lo);
        let (value, slack) = (number(line, key), number(line, "error_ns") + TOLERANCE_NS);
        if value + slack + preempted < age.lo || value > age.hi + slack {
            return run.fail(format!("{key} is {value} ± {slack} for {age:?}"));
        }
    }
    let summary = ["pre_existing", "exits", "reaped", "alive"].map(|key| report.count(key));
    ensure!(summary == [2, 0, 0, 0], "summary: {}", report.summary());
    Ok(())
}

/// What the date of a last run may be wrong by: the clocks of CPUs differ.
const TOLERANCE_NS: u64 = 10_000_000;

/// Waits until a dead process has left its CPU for ever; gives the time after. Until then the kernel says that
/// it is `running` (proc_pid_syscall(5)).
fn off_the_cpu(pid: u32) -> Result<u64, String> {
    let path = format!("/proc/{pid}/syscall");
    until("a dead process has left its CPU", || {
        Ok(!std::fs::read_to_string(&path).is_ok_and(|text| text.trim() == "running"))
    })?;
    Ok(zombie_trace_e2e::now())
}
