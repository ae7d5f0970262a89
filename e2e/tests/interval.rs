//! `-i`: the parts of a run make the whole, to the unit.

use std::{collections::BTreeMap, process::Stdio};

use serde_json::Value;

use crate::{
    Outcome, Test,
    catalogue::BUFFER,
    ensure,
    fault::Storm,
    puppet::Puppet,
    report::{Report, flags, number},
    time,
    tracer::{Run, Tracer, json_lines},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("interval::storm", storm),
        Test::new("interval::filtered-storm", filtered_storm),
        Test::new("interval::of-each-kind", of_each_kind),
        Test::new("interval::lossy", lossy),
        Test::new("interval::duration", duration),
        Test::new("interval::text", text),
    ]
}

/// A run in which processes end in at least two intervals, until `holds` is true of what has been written.
fn stormy(
    options: &[&str],
    load: &[&str],
    holds: impl Fn(&[Value]) -> bool,
) -> Result<Report, String> {
    let ourselves = std::process::id().to_string();
    let mut tracer = Tracer::json(["-i", "200ms", "--tree", &ourselves, "--buffer", BUFFER])
        .args(options)
        .start()?;
    let storm = Storm::of(load)?;
    tracer.wait_output("a storm of two intervals", |bytes| {
        let lines = json_lines(bytes);
        let busy = lines
            .iter()
            .filter(|line| line["type"] == "interval" && number(line, "exits") > 0);
        busy.count() >= 2 && holds(&lines)
    })?;
    drop(storm);
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let report = run.report()?;
    add_up(&report).or_else(|problem| run.fail(problem))?;
    Ok(report)
}

/// The sum of a count of the intervals.
fn sum(lines: &[Value], key: &str) -> u64 {
    let intervals = lines.iter().filter(|line| line["type"] == "interval");
    intervals.map(|line| number(line, key)).sum()
}

fn storm() -> Outcome {
    let load = ["serial", "--rate", "2000"];
    let report = stormy(&[], &load, |lines| sum(lines, "reaped") > 200)?;
    ensure!(report.count("reaped") > 200, "{}", report.summary());
    Ok(())
}

fn filtered_storm() -> Outcome {
    let load = ["burst", "--size", "50", "--rate", "2000"];
    // Which of them take longer is up to the machine.
    let report = stormy(&["-m", "300us"], &load, |lines| {
        ["reaped", "filtered"].map(|key| sum(lines, key) > 0) == [true; 2]
    })?;
    let counts = ["reaped", "filtered"].map(|key| report.count(key));
    ensure!(counts.iter().all(|count| *count > 0), "{counts:?}");
    let measured = number(&report.summary()["zombie_ns"], "count") + report.count("inexact");
    ensure!(
        measured == report.count("reaped"),
        "the filter changes the statistics: {}",
        report.summary()
    );
    Ok(())
}

/// One from before, reaped ones, autoreaped ones and one that is left.
fn of_each_kind() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    puppet.obey("zombie early 0")?;
    let mut tracer = Tracer::json(["-i", "100ms", "-P", &puppet.pid().to_string()]).start()?;
    puppet.obey("zombie one 0")?;
    puppet.obey("zombie left 3")?;
    puppet.obey("autoreap auto 2")?;
    let alive = |count: u64| {
        move |line: &Value| line["type"] == "interval" && number(line, "alive") == count
    };
    tracer.wait_line("2 alive", alive(2))?;
    puppet.obey("reap early")?;
    puppet.obey("reap one")?;
    tracer.wait_line("1 alive", alive(1))?;
    let run = tracer.stop()?;
    puppet.obey("reap left")?;
    run.expect_code(0)?;
    let report = run.report()?;
    add_up(&report).or_else(|problem| run.fail(problem))?;
    let alive: Vec<_> = report
        .of_type("interval")
        .map(|line| number(line, "alive"))
        .collect();
    // The one from before is counted apart.
    let rises_and_falls = alive.contains(&2) && alive.last() == Some(&1);
    let counts = ["exits", "reaped", "autoreaped", "alive"].map(|key| report.count(key));
    if !rises_and_falls || counts != [3, 1, 1, 1] {
        return run.fail(format!("{counts:?}, alive {alive:?}"));
    }
    Ok(())
}

fn lossy() -> Outcome {
    let run = Tracer::json(["-i", "100ms", "--max-zombies", "50"])
        .scenario(["burst", "2000"])
        .run()?;
    run.expect_code(0)?;
    let report = run.report()?;
    add_up(&report).or_else(|problem| run.fail(problem))?;
    match number(&report.summary()["lost"], "map_full") {
        0 => run.fail("nothing was lost"),
        _ => Ok(()),
    }
}

/// No interval of some ms at the end, if the whole is a multiple of one.
fn duration() -> Outcome {
    let run = Tracer::json(["-i", "250ms", "-d", "1s", "-s"]).run()?;
    run.expect_code(0)?;
    let report = run.report()?;
    add_up(&report).or_else(|problem| run.fail(problem))?;
    let lengths: Vec<_> = report
        .of_type("interval")
        .map(|line| number(line, "duration_ns") / 1_000_000)
        .collect();
    // A machine that is busy elsewhere may skip one, or be late by any time: that makes no more.
    if lengths.len() > 4 {
        return run.fail(format!("intervals of {lengths:?} ms"));
    }
    Ok(())
}

/// The counts of the intervals are those of the run, one after the other without a gap, and their
/// histograms those of its zombies.
pub(crate) fn add_up(report: &Report) -> Outcome {
    let summary = report.summary();
    let intervals: Vec<&Value> = report.of_type("interval").collect();
    let last = *intervals.last().ok_or("no interval")?;
    let sum = |of: &dyn Fn(&Value) -> u64| intervals.iter().map(|line| of(line)).sum::<u64>();
    for key in ["duration_ns", "exits", "reaped", "autoreaped", "filtered"] {
        let all = sum(&|line| number(line, key));
        ensure!(all == number(summary, key), "{key}: {all}: {summary}");
    }
    for key in ["ring_full", "map_full", "missed"] {
        let all = sum(&|line| number(&line["lost"], key));
        ensure!(
            all == number(&summary["lost"], key),
            "{key}: {all}: {summary}"
        );
    }
    ensure!(
        last["alive"] == summary["alive"],
        "alive: {last}\n{summary}"
    );

    let ends: Vec<_> = intervals
        .iter()
        .map(|line| time::monotonic(line["ts"].as_str().unwrap_or_default()))
        .collect();
    ensure!(ends.is_sorted(), "not in order: {ends:?}");
    histograms(report, &intervals)
}

type Buckets = BTreeMap<u64, (u64, u64)>;

fn histograms(report: &Report, intervals: &[&Value]) -> Outcome {
    let mut merged = Buckets::new();
    for line in intervals {
        let buckets: Vec<[u64; 3]> = serde_json::from_value(line["histogram"].clone())
            .map_err(|error| format!("{error}: {line}"))?;
        let count: u64 = buckets.iter().map(|[.., count]| count).sum();
        ensure!(
            count == number(&line["zombie_ns"], "count"),
            "{count}: {line}"
        );
        ensure!(
            buckets.is_sorted_by(|[_, one, _], [next, ..]| one <= next),
            "not ascending: {line}"
        );
        for [lower, upper, count] in buckets {
            ensure!(
                count > 0 && lower < upper && upper - lower <= (lower / 32).max(1),
                "[{lower}, {upper}, {count}]: {line}"
            );
            let bucket = merged.entry(lower).or_insert((upper, 0));
            ensure!(bucket.0 == upper, "{lower} to {upper} and to {}", bucket.0);
            bucket.1 += count;
        }
    }

    let times = &report.summary()["zombie_ns"];
    let total = number(times, "count");
    let count: u64 = merged.values().map(|(_, count)| count).sum();
    ensure!(
        count == total,
        "{count} zombies in the histograms, {total} in all"
    );
    if total > 0 {
        for (key, permille) in [("p50", 500), ("p90", 900), ("p99", 990), ("p999", 999)] {
            let (lower, upper) = at_rank(&merged, (total * permille).div_ceil(1000));
            let right = number(times, key);
            // The summary's have three digits.
            let slack = right / 500 + 1;
            ensure!(
                lower <= right + slack && right <= upper + slack,
                "{key}: {right} is not in {lower} to {upper}"
            );
        }
    }

    let counts =
        |line: &&Value| line["how"] != "autoreap" && !flags(line).contains(&"pre-existing");
    let mut single: Vec<u64> = report
        .zombies()
        .filter(counts)
        .map(|line| number(line, "zombie_ns"))
        .collect();
    single.sort_unstable();
    // A filter keeps short ones from being listed, and histograms have the exact times only.
    let least = number(&report.start()["filter"], "min_ns");
    let inexact = number(report.summary(), "inexact");
    for (lower, (upper, count)) in merged.iter().filter(|(lower, _)| **lower >= least) {
        let below = |limit: &u64| single.partition_point(|time| time < limit);
        let found = (below(upper) - below(lower)) as u64;
        ensure!(
            // -s lists none.
            (*count..=count + inexact).contains(&found) || single.is_empty(),
            "{found} zombies of {lower} to {upper}, and not {count}"
        );
    }
    Ok(())
}

fn at_rank(buckets: &Buckets, rank: u64) -> (u64, u64) {
    let mut before = 0;
    for (lower, (upper, count)) in buckets {
        before += count;
        if before >= rank {
            return (*lower, *upper);
        }
    }
    unreachable!("the rank is at most the count")
}

/// A header and a line each 200 ms, then the summary, whose exits are theirs.
fn text() -> Outcome {
    let ourselves = std::process::id().to_string();
    let mut tracer = Tracer::new([
        "-i", "200ms", "-a", "--color", "never", "--tree", &ourselves,
    ])
    .into_file("out.txt")
    .start()?;
    let storm = Storm::of(&["serial", "--rate", "2000"])?;
    tracer.wait_output("a header and two lines", |bytes| {
        bytes.iter().filter(|byte| **byte == b'\n').count() >= 3
    })?;
    drop(storm);
    let run = tracer.stop()?;
    run.expect_code(0)?;
    check_text(&run).or_else(|problem| run.fail(problem))
}

fn check_text(run: &Run) -> Outcome {
    let output = String::from_utf8_lossy(&run.output);
    let (table, summary) = output.split_once("\n\n").ok_or("no empty line")?;
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default();
    ensure!(
        header
            .split_whitespace()
            .take(3)
            .eq(["SECONDS", "EXITS/S", "REAPED"]),
        "the header is {header:?}"
    );
    let rows: Vec<Vec<f64>> = lines
        .map(|line| {
            let words = line.split_whitespace().take(3);
            words.map(|word| word.parse().unwrap_or(f64::NAN)).collect()
        })
        .collect();
    ensure!(rows.len() >= 2, "{} lines", rows.len());
    ensure!(rows.is_sorted_by(|one, next| one[0] <= next[0]), "{rows:?}");
    let reaped: f64 = rows.iter().map(|row| row[2]).sum();
    let said = format!("  {reaped} reaped ");
    ensure!(summary.contains(&said), "not {said:?} in\n{summary}");
    Ok(())
}
