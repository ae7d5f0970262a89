//! The comparison of what was reported with what was true.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use zombie_trace_e2e::{Expect, Line, Many, Span, Truth};

use crate::{
    context, ensure,
    report::{Report, flags, number},
    time,
    tracer::Run,
};

/// What an exact time may be wrong by beyond its own error bound: what passes between a hook and the
/// look at the clock that the truth is from. On a machine with other work that is 200 µs or 2 %; where
/// the clock counts instructions it is much less.
fn tolerance(longest_ns: u64) -> u64 {
    if context::is_emulated() {
        20_000
    } else {
        (longest_ns / 50).max(200_000)
    }
}

/// A record that claims to be exact must not hide behind a large error bound.
const MAX_EXACT_ERROR_NS: u64 = 1_000_000;
/// Nor may a bounded one be useless.
const MAX_BOUNDED_ERROR_NS: u64 = 200_000_000;

/// What a scenario said about its processes.
#[derive(Clone, Default)]
pub(crate) struct Truths {
    /// One by one.
    pub(crate) processes: Vec<Truth>,
    /// By the thousand.
    pub(crate) many: Vec<Many>,
}

impl Truths {
    /// From the standard output of a scenario.
    pub(crate) fn parse(stdout: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(stdout);
        let mut truths = Self::default();
        for line in text.lines() {
            let parsed = serde_json::from_str(line);
            truths.add(parsed.map_err(|error| format!("no truth: {error}: {line}"))?);
        }
        Ok(truths)
    }

    /// One line more.
    pub(crate) fn add(&mut self, line: Line) {
        match line {
            Line::Process(truth) => self.processes.push(*truth),
            Line::Many(many) => self.many.push(many),
            Line::Done { .. } => {}
        }
    }

    /// All of several scenarios that ran one after the other.
    pub(crate) fn concat<'a>(scenarios: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for truths in scenarios {
            all.processes.extend(truths.processes.iter().cloned());
            all.many.extend(truths.many.iter().cloned());
        }
        all
    }

    /// The pids of all of them.
    pub(crate) fn pids(&self) -> HashSet<u32> {
        let many = self.many.iter().flat_map(|many| &many.pids);
        let one_by_one = self.processes.iter().map(|truth| &truth.pid);
        one_by_one.chain(many).copied().collect()
    }

    /// The process of this role.
    pub(crate) fn role(&self, role: &str) -> Result<&Truth, String> {
        let found = self.processes.iter().find(|truth| truth.role == role);
        found.ok_or_else(|| format!("the scenario has no {role}"))
    }
}

/// A traced scenario that ended well: its report must be the truth, the whole truth, and nothing
/// but the truth.
pub(crate) fn scenario_run(run: &Run) -> Result<(Report, Truths), String> {
    run.expect_code(0)?;
    let truths = Truths::parse(&run.stdout).or_else(|error| run.fail(error))?;
    let report = run.report()?;
    let tracer = &report.start()["tracer_pid"];
    let command = truths.role("command").or_else(|error| run.fail(error))?;
    if *tracer != command.ppid.expect("always known") {
        return run.fail(format!(
            "tracer_pid is {tracer}, but {:?} ran the command",
            command.ppid
        ));
    }
    compare(&report, &truths, run)?;
    Ok((report, truths))
}

/// Fails unless the report says just what the truths say, and its summary adds up.
pub(crate) fn compare(report: &Report, truths: &Truths, run: &Run) -> Result<(), String> {
    compare_records(report, truths, run)?;
    let problems = accounting(report);
    if problems.is_empty() {
        Ok(())
    } else {
        run.fail(problems.join("\n"))
    }
}

/// Fails unless there is just one right record for each of the truths.
pub(crate) fn compare_records(report: &Report, truths: &Truths, run: &Run) -> Result<(), String> {
    let mut problems = Vec::new();
    let mut records: HashMap<u32, Vec<&Value>> = HashMap::new();
    let backend = report.start()["backend"].as_str().unwrap_or_default();
    for record in report.zombies() {
        records
            .entry(number(record, "pid") as u32)
            .or_default()
            .push(record);
    }
    for truth in &truths.processes {
        let truth = &as_seen_by(backend, truth);
        let mut wrong = match truth.expect {
            Expect::Zombie | Expect::Autoreaped => match take_of(&mut records, truth) {
                Some(record) => zombie(truth, record, run.ended),
                None => vec!["no record".into()],
            },
            Expect::Alive => alive(truth, report, run.ended),
            Expect::Nothing => vec![],
        };
        if !wrong.is_empty() {
            wrong.insert(0, format!("{} {}:", truth.role, truth.pid));
            let truth_json = serde_json::to_string(truth).expect("valid JSON");
            wrong.push(format!("truth: {truth_json}"));
            wrong.push(format!("reported:\n{}", report.about(truth.pid)));
            problems.push(wrong.join("\n  "));
        }
    }
    for many in &truths.many {
        problems.extend(check_many(many, backend, &mut records));
    }
    for record in records.values().flatten() {
        problems.push(format!("unexpected record: {record}"));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let (count, some) = (
        problems.len(),
        problems.iter().take(5).cloned().collect::<Vec<_>>(),
    );
    run.fail(format!("{count} problems:\n{}", some.join("\n")))
}

/// What a backend has to report. Those that see every zombie begin and end: nothing approximate, and
/// the kind of every wait.
fn as_seen_by(backend: &str, truth: &Truth) -> Truth {
    const INEXACT: [&str; 2] = ["approximate-start", "bounded-end"];
    const UNTOLD: [&str; 2] = ["wait", "unknown"];
    let mut truth = truth.clone();
    if backend != "tracepoint" {
        for flags in [&mut truth.flags, &mut truth.flags_maybe] {
            flags.retain(|flag| !INEXACT.contains(&flag.as_str()));
        }
        truth.how.retain(|how| !UNTOLD.contains(&how.as_str()));
    }
    if late_reaps_allowed(backend, 1) > 0 {
        truth.flags_maybe.push("bounded-end".into());
        truth.how.push("wait".into());
    }
    truth
}

/// The first record of a process's pid and parent that is not yet accounted for. A pid can be another
/// process's again, of another parent as a rule.
fn take_of<'a>(records: &mut HashMap<u32, Vec<&'a Value>>, truth: &Truth) -> Option<&'a Value> {
    let of_pid = records.get_mut(&truth.pid)?;
    let is_its = |record: &&Value| truth.ppid.is_some_and(|ppid| record["ppid"] == ppid);
    let at = of_pid.iter().position(is_its).unwrap_or(0);
    of_pid[..=at].rotate_right(1);
    take_first(records, truth.pid)
}

/// The first record of a pid that is not yet accounted for: they come in the order of the reaps.
fn take_first<'a>(records: &mut HashMap<u32, Vec<&'a Value>>, pid: u32) -> Option<&'a Value> {
    let of_pid = records.get_mut(&pid)?;
    let first = of_pid.remove(0);
    if of_pid.is_empty() {
        records.remove(&pid);
    }
    Some(first)
}

fn zombie(truth: &Truth, record: &Value, ended: u64) -> Vec<String> {
    let mut wrong = common(truth, record);
    let mut expect = |key: &str, expected: Option<Value>| {
        if let Some(expected) = expected.filter(|expected| record[key] != *expected) {
            wrong.push(format!("{key} is {} for {expected}", record[key]));
        }
    };
    expect("core_dumped", Some(truth.core_dumped.into()));
    // Only where that is among what can be told (see below).
    if record["how"] != "unknown" {
        expect("reaper_pid", truth.reaper_pid.map(Into::into));
        expect("reaper_comm", truth.reaper_comm.clone().map(Into::into));
        // A wait that no hook saw may have been any thread's.
        let unseen = record["how"] == "wait" || flags(record).contains(&"bounded-end");
        if !(unseen && record["reaper_tid"].is_null()) {
            expect("reaper_tid", truth.reaper_tid.map(Into::into));
        }
    }
    if truth.expect == Expect::Autoreaped {
        expect("zombie_ns", Some(0.into()));
    }
    if !truth.how.iter().any(|how| record["how"] == how.as_str()) {
        wrong.push(format!("how is {} for {:?}", record["how"], truth.how));
    }
    if let (Some(span), Some(born)) = (truth.zombie(), truth.born) {
        wrong.extend(duration(record, "zombie_ns", span, ended.saturating_sub(born.lo)).err());
    }
    wrong.extend(
        truth
            .reaped
            .and_then(|span| reap_instant(record, span).err()),
    );
    wrong.extend(run_time(truth, record).err());
    if let Some(span) = truth.teardown {
        wrong.extend(teardown(record, span).err());
    }
    wrong
}

fn alive(truth: &Truth, report: &Report, ended: u64) -> Vec<String> {
    let Some(line) = report
        .alive()
        .filter(|line| line["pid"] == truth.pid)
        .last()
    else {
        return vec!["no alive line".into()];
    };
    let mut wrong = common(truth, line);
    let until = truth.reaped.map(|known| Span {
        lo: known.lo,
        hi: ended,
    });
    if let (Some(born), Some(until)) = (truth.born, until) {
        let longest = ended.saturating_sub(born.lo);
        wrong.extend(duration(line, "age_ns", born.until(until), longest).err());
    }
    wrong
}

/// What zombie and alive lines have in common.
fn common(truth: &Truth, line: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |key: &str, expected: Option<Value>| {
        if let Some(expected) = expected.filter(|expected| line[key] != *expected) {
            wrong.push(format!("{key} is {} for {expected}", line[key]));
        }
    };
    expect("ns_pid", truth.ns_pid.map(Into::into));
    expect("comm", truth.comm.clone().map(Into::into));
    expect("uid", truth.uid.map(Into::into));
    expect("ppid", truth.ppid.map(Into::into));
    expect("parent_comm", truth.parent_comm.clone().map(Into::into));
    expect("exit_code", Some(truth.exit_code.into()));
    expect("signal", Some(truth.signal.into()));
    expect("cgroup", truth.cgroup.clone().map(Into::into));
    let foreign = line["foreign"].as_bool();
    if !truth.foreign.is_empty() && !truth.foreign.contains(&foreign) {
        wrong.push(format!("foreign is {foreign:?} for {:?}", truth.foreign));
    }
    let host_name = &line["container"]["hostname"];
    if truth.host_name.is_some() && *host_name != json!(truth.host_name) {
        wrong.push(format!("hostname is {host_name} for {:?}", truth.host_name));
    }
    let found = flags(line);
    for missing in truth
        .flags
        .iter()
        .filter(|flag| !found.contains(&flag.as_str()))
    {
        wrong.push(format!("flag {missing} is missing"));
    }
    let allowed: HashSet<_> = truth
        .flags
        .iter()
        .chain(&truth.flags_maybe)
        .map(String::as_str)
        .collect();
    for extra in found.iter().filter(|flag| !allowed.contains(**flag)) {
        wrong.push(format!("flag {extra} must not be there"));
    }
    wrong
}

/// A reported duration must be in the interval of the truth: exact ones up to a tolerance and
/// their error, bounded ones so that the truth is within their own bound. `longest` is from its
/// begin to the end of the run.
fn duration(line: &Value, key: &str, truth: Span, longest: u64) -> Result<(), String> {
    let (value, error) = (number(line, key), number(line, "error_ns"));
    let found = flags(line);
    let exact = !found.contains(&"bounded-end") && !found.contains(&"approximate-start");
    // A reap that no hook saw can have been at any time until the process was gone, and if the kernel
    // had not freed it by the end of the run, until then. How long that takes is the machine's matter,
    // unless its clock is ours.
    let limit = match exact {
        true => MAX_EXACT_ERROR_NS,
        false if line["how"] != "unknown" && context::is_emulated() => {
            MAX_BOUNDED_ERROR_NS.max(truth.hi)
        }
        false => longest.max(MAX_BOUNDED_ERROR_NS),
    };
    ensure!(error <= limit, "error_ns {error} is beyond {limit}");
    let slack = error + if exact { tolerance(truth.hi) } else { 0 };
    ensure!(
        value + slack >= truth.lo && value <= truth.hi + slack,
        "{key} is {value} ± {slack} for {}..{}",
        truth.lo,
        truth.hi
    );
    Ok(())
}

/// `ts` is the time of the reap.
fn reap_instant(record: &Value, reaped: Span) -> Result<(), String> {
    let ts = time::monotonic(record["ts"].as_str().expect("checked")).expect("checked");
    // The wall clock may be slewed, and the conversion takes place some seconds later.
    let slack = number(record, "error_ns") + 5_000_000;
    ensure!(
        ts + slack >= reaped.lo && ts <= reaped.hi + slack,
        "ts is {ts} (monotonic) ± {slack} for {}..{}",
        reaped.lo,
        reaped.hi
    );
    Ok(())
}

/// From its start to its being a zombie; where one of the two changes hands depends on the kernel.
fn run_time(truth: &Truth, record: &Value) -> Result<(), String> {
    let (Some(started), Some(born)) = (truth.started, truth.born) else {
        return Ok(());
    };
    let (run, teardown) = (record["run_ns"].as_u64(), record["teardown_ns"].as_u64());
    let mut span = started.until(born);
    let value = match (run, teardown) {
        (Some(run), Some(teardown)) => run + teardown,
        // Where the start of the zombie is not exact, its teardown is in neither of the two.
        (Some(run), None) if flags(record).contains(&"approximate-start") => {
            span.lo = 0;
            run
        }
        // Since Linux 7.2 the program that sees exits can be skipped.
        (None, None) if context::kernel_is_at_least(7, 2) => return Ok(()),
        _ => return Err("run_ns or teardown_ns is not known".into()),
    };
    let slack = number(record, "error_ns") + tolerance(span.hi);
    ensure!(
        value + slack >= span.lo && value <= span.hi + slack,
        "run_ns + teardown_ns is {value} ± {slack} for {}..{}",
        span.lo,
        span.hi
    );
    Ok(())
}

/// Since Linux 6.16 `sched_process_exit` comes before the memory is given back, so that this shows
/// as teardown; before, it comes after.
fn teardown(record: &Value, truth: Span) -> Result<(), String> {
    let teardown = number(record, "teardown_ns");
    ensure!(
        teardown <= truth.hi + tolerance(truth.hi),
        "teardown_ns is {teardown} for ≤ {}",
        truth.hi
    );
    if kernel_version() >= (6, 16) {
        ensure!(
            teardown + tolerance(truth.lo) >= truth.lo,
            "teardown_ns is {teardown} for ≥ {}",
            truth.lo
        );
    }
    Ok(())
}

fn kernel_version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn check_many(many: &Many, backend: &str, records: &mut HashMap<u32, Vec<&Value>>) -> Vec<String> {
    let (mut problems, mut unseen) = (Vec::new(), 0);
    for pid in &many.pids {
        let Some(record) = take_first(records, *pid) else {
            problems.push(format!("no record of {pid}"));
            continue;
        };
        let zombie_ns = number(record, "zombie_ns");
        let right = record["ppid"] == many.ppid
            && record["reaper_pid"] == many.ppid
            && record["comm"] == many.comm.as_str()
            && record["exit_code"] == many.exit_code
            && record["how"] == "wait4"
            && flags(record).is_empty()
            && zombie_ns <= many.max_zombie_ns + tolerance(many.max_zombie_ns);
        // Its reap was seen too late, so it lies in an interval.
        let bounded = record["ppid"] == many.ppid
            && record["comm"] == many.comm.as_str()
            && record["exit_code"] == many.exit_code
            && record["how"] == "wait"
            && flags(record).contains(&"bounded-end")
            && zombie_ns.saturating_sub(number(record, "error_ns")) <= many.max_zombie_ns;
        unseen += usize::from(bounded);
        if !right && !bounded {
            problems.push(format!("wrong (limit {} ns): {record}", many.max_zombie_ns));
        }
    }
    if unseen > late_reaps_allowed(backend, many.pids.len()) {
        problems.push(format!("the reaps of {unseen} were seen too late"));
    }
    problems
}

/// How many of these processes may have been freed before the tracepoint backend saw their reaps: it
/// sees them at the end of the system call, which kernels 7.x can put off for longer than a grace
/// period (docs/kernels.md). The kernel decides how many: 0 to 3 of 1,000 were seen. Each of them still
/// has to be an interval that holds the truth.
pub(crate) fn late_reaps_allowed(backend: &str, processes: usize) -> usize {
    if backend == "tracepoint" && context::kernel_is_at_least(7, 0) {
        1 + processes / 100
    } else {
        0
    }
}

/// How many of these processes' exits the kernel may have skipped: since Linux 7.2 it does that while
/// another task is preempted in the same program (docs/kernels.md).
pub(crate) fn skips_allowed(processes: usize) -> usize {
    if context::kernel_is_at_least(7, 2) {
        1 + processes / 500
    } else {
        0
    }
}

/// Design, section 1: everything that ended is accounted for, and the summary agrees with the
/// lines. Nothing may be lost.
pub(crate) fn accounting(report: &Report) -> Vec<String> {
    let mut problems = books(report);
    let summary = report.summary();
    let lost = |key| number(&summary["lost"], key);
    if summary["complete"] != true || ["ring_full", "map_full", "missed"].map(lost) != [0; 3] {
        problems.push(format!("something was lost: {summary}"));
    }
    problems
}

/// The same where a tracer that got no CPU may have found the ring buffer full: that is counted, and nothing
/// else is lost.
pub(crate) fn accounting_but_for_the_buffer(report: &Report) -> Vec<String> {
    let mut problems = books(report);
    let summary = report.summary();
    let lost = |key| number(&summary["lost"], key);
    if ["map_full", "missed"].map(lost) != [0; 2] {
        problems.push(format!("something was lost: {summary}"));
    }
    problems
}

/// The same where something was lost, as the summary says.
pub(crate) fn books(report: &Report) -> Vec<String> {
    let summary = report.summary();
    let count = |key| number(summary, key);
    let lost = |key| number(&summary["lost"], key);
    let mut problems = Vec::new();
    let mut expect_equal = |what: &str, left: u64, right: u64| {
        if left != right {
            problems.push(format!("{what}: {left} for {right}: {summary}"));
        }
    };

    let ended = count("reaped") + count("autoreaped");
    let of_the_run = |line: &&Value| !flags(line).contains(&"pre-existing");
    let delivered = report.zombies().filter(of_the_run).count() as u64;
    let accounted = ended + count("alive") + lost("map_full") + lost("missed");
    expect_equal("exits", count("exits"), accounted);
    // -s lists none.
    let listed = report.zombies().next().is_some() || ended == count("filtered");
    if listed {
        let all = delivered + count("filtered") + lost("ring_full");
        expect_equal("delivered + filtered + lost", all, ended);
    }

    let gone: HashSet<_> = report.zombies().map(|line| line["pid"].as_u64()).collect();
    let still: HashSet<_> = report
        .alive()
        .filter(of_the_run)
        .map(|line| line["pid"].as_u64())
        .filter(|pid| !gone.contains(pid))
        .collect();
    if listed {
        expect_equal("alive", count("alive"), still.len() as u64);
    }

    let lines = report.zombies().count() as u64;
    if lines > 0 {
        // The output may have lacked room for some of them.
        let possible = count("listed").clamp(lines, lines + lost("ring_full"));
        expect_equal("listed", count("listed"), possible);
    }

    // The tracer's own child, COMMAND, is in no parent's row. A filter may keep it from being listed.
    let tracer = &report.start()["tracer_pid"];
    let own = report
        .zombies()
        .filter(of_the_run)
        .filter(|line| line["ppid"] == *tracer)
        .count() as u64;
    let own_at_most = own.max(u64::from(!report.start()["command"].is_null()));
    let rows = |table: &str| summary[table].as_array().into_iter().flatten();
    let sum = |table: &str, key| rows(table).map(|row| number(row, key)).sum::<u64>();
    let by_parent = sum("by_parent", "reaped") + sum("by_parent", "autoreaped");
    let least = ended.saturating_sub(lost("ring_full") + own_at_most);
    let most = ended.saturating_sub(own);
    expect_equal("by_parent", by_parent, by_parent.clamp(least, most));
    if lost("ring_full") == 0 {
        let autoreaped = sum("by_parent", "autoreaped");
        expect_equal("autoreaped by parent", autoreaped, count("autoreaped"));
        for table in ["by_comm", "by_cause"] {
            expect_equal(table, sum(table, "reaped"), count("reaped"));
        }
    }
    for table in ["by_comm", "by_cause"] {
        let time = sum(table, "zombie_time_ns");
        expect_equal(table, time, count("zombie_time_ns"));
    }
    for table in ["by_parent", "by_comm", "by_container", "by_cause"] {
        let mut times = rows(table).map(|row| number(row, "zombie_time_ns"));
        if !times.by_ref().is_sorted_by(|left, right| left >= right) {
            problems.push(format!("{table} is not worst first: {summary}"));
        }
    }
    problems.extend(statistics(report).err());
    problems
}

/// The statistics are those of everything in scope, listed or not, whose zombie time is exact; up to the
/// histogram's precision.
fn statistics(report: &Report) -> Result<(), String> {
    let summary = report.summary();
    let statistics = &summary["zombie_ns"];
    let keys = ["min", "p50", "p90", "p99", "p999", "max"];
    let (exact, inexact) = (number(statistics, "count"), number(summary, "inexact"));
    let (reaped, lost) = (
        number(summary, "reaped"),
        number(&summary["lost"], "ring_full"),
    );
    ensure!(
        (reaped.saturating_sub(lost)..=reaped).contains(&(exact + inexact)),
        "{exact} exact and {inexact} inexact zombie times of {reaped} reaped: {summary}"
    );
    if exact == 0 {
        ensure!(
            keys.iter().all(|key| statistics[*key].is_null()),
            "of none: {statistics}"
        );
        return Ok(());
    }
    let values: Vec<u64> = keys.iter().map(|key| number(statistics, key)).collect();
    ensure!(values.is_sorted(), "statistics out of order: {statistics}");
    let measured =
        |line: &&Value| line["how"] != "autoreap" && !flags(line).contains(&"pre-existing");
    let reaped = report.zombies().filter(measured);
    let longest = reaped.map(|line| number(line, "zombie_ns")).max();
    if number(summary, "filtered") == 0
        && inexact == 0
        && lost == 0
        && let Some(longest) = longest
    {
        let max = number(statistics, "max");
        ensure!(
            max.abs_diff(longest) <= longest / 50,
            "max {max} for {longest}"
        );
    }
    Ok(())
}
