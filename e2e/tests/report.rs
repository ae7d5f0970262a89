//! The tracer's JSON lines, checked for the shape that the contract gives them.

use std::collections::HashSet;

use serde_json::Value;

use crate::{ensure, time};

const START: &[&str] = &[
    "schema",
    "version",
    "kernel",
    "backend",
    "tracer_pid",
    "host",
    "boot_id",
    "cpus",
    "pid_max",
    "args",
    "command",
    "scope",
    "filter",
];
const ZOMBIE: &[&str] = &[
    "pid",
    "ns_pid",
    "comm",
    "uid",
    "ppid",
    "parent_comm",
    "foreign",
    "exit_code",
    "signal",
    "core_dumped",
    "zombie_ns",
    "error_ns",
    "teardown_ns",
    "run_ns",
    "how",
    "reaper_pid",
    "reaper_tid",
    "reaper_comm",
    "cgroup",
    "flags",
    "phases",
    "cause",
    "cause_text",
];
const ALIVE: &[&str] = &[
    "pid",
    "ns_pid",
    "comm",
    "uid",
    "ppid",
    "parent_comm",
    "foreign",
    "exit_code",
    "signal",
    "age_ns",
    "error_ns",
    "cause",
    "cause_text",
    "advice",
    "runtime",
    "watched_ns",
    "cgroup",
    "flags",
];
const UNLISTED: &[&str] = &["parents", "zombies"];
const STACK: &[&str] = &["id", "truncated", "frames"];
const DOING: &[&str] = &[
    "ppid",
    "parent_comm",
    "tid",
    "state",
    "stack",
    "zombie_ns",
    "samples",
];
const LOSS: &[&str] = &["ring_full", "map_full", "missed"];
const INTERVAL: &[&str] = &[
    "duration_ns",
    "exits",
    "reaped",
    "autoreaped",
    "alive",
    "filtered",
    "lost",
    "zombie_ns",
    "histogram",
];
const SUMMARY: &[&str] = &[
    "duration_ns",
    "exits",
    "reaped",
    "autoreaped",
    "alive",
    "pre_existing",
    "filtered",
    "lost",
    "complete",
    "zombie_ns",
    "by_parent",
];

/// A whole run's output.
pub(crate) struct Report {
    lines: Vec<Value>,
}

impl Report {
    /// From JSON lines.
    pub(crate) fn parse(output: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(output).map_err(|error| format!("output: {error}"))?;
        ensure!(
            text.ends_with('\n'),
            "the output does not end with a whole line"
        );
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")))
            .collect::<Result<Vec<Value>, _>>()?;
        for line in &lines {
            check_shape(line)?;
        }
        let report = Self { lines };
        let types: Vec<_> = report.lines.iter().map(|line| &line["type"]).collect();
        ensure!(
            types.first().is_some_and(|first| *first == "start"),
            "the first line is no start"
        );
        ensure!(
            types.last().is_some_and(|last| *last == "summary"),
            "the last line is no summary"
        );
        let count = |kind| types.iter().filter(|found| **found == kind).count();
        ensure!(
            count("start") == 1 && count("summary") == 1,
            "start and summary: once each"
        );
        Ok(report)
    }

    /// Without the `zombie` lines that this picks.
    pub(crate) fn without(mut self, picks: impl Fn(&Value) -> bool) -> Self {
        self.lines
            .retain(|line| line["type"] != "zombie" || !picks(line));
        self
    }

    /// A copy with the `zombie` lines of these processes only.
    pub(crate) fn only(&self, pids: &HashSet<u32>) -> Self {
        let is_kept = |line: &&Value| {
            line["type"] != "zombie" || pids.contains(&(number(line, "pid") as u32))
        };
        Self {
            lines: self.lines.iter().filter(is_kept).cloned().collect(),
        }
    }

    /// All lines of a type.
    pub(crate) fn of_type(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(move |line| line["type"] == kind)
    }

    /// The first line.
    pub(crate) fn start(&self) -> &Value {
        &self.lines[0]
    }

    /// The `zombie` lines.
    pub(crate) fn zombies(&self) -> impl Iterator<Item = &Value> {
        self.of_type("zombie")
    }

    /// The `alive` lines.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &Value> {
        self.of_type("alive")
    }

    /// The last line.
    pub(crate) fn summary(&self) -> &Value {
        self.lines.last().expect("not empty")
    }

    /// A number of the summary.
    pub(crate) fn count(&self, key: &str) -> u64 {
        number(self.summary(), key)
    }

    /// All lines about a process, for a failure message.
    pub(crate) fn about(&self, pid: u32) -> String {
        let lines = self.lines.iter().filter(|line| line["pid"] == pid);
        let lines: Vec<_> = lines.map(|line| format!("  {line}\n")).collect();
        if lines.is_empty() {
            "  (nothing)\n".into()
        } else {
            lines.concat()
        }
    }
}

/// A number that the shape check found to be there.
pub(crate) fn number(line: &Value, key: &str) -> u64 {
    line[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} is no number: {line}"))
}

/// A line's flags.
pub(crate) fn flags(line: &Value) -> Vec<&str> {
    line["flags"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn check_shape(line: &Value) -> Result<(), String> {
    let keys = match line["type"].as_str() {
        Some("start") => START,
        Some("zombie") => ZOMBIE,
        Some("alive") => ALIVE,
        Some("loss") => LOSS,
        Some("interval") => INTERVAL,
        Some("summary") => SUMMARY,
        Some("unlisted") => UNLISTED,
        Some("stack") => STACK,
        Some("doing") => DOING,
        _ => return Err(format!("unknown type: {line}")),
    };
    let missing: Vec<_> = keys
        .iter()
        .filter(|key| line.get(**key).is_none())
        .collect();
    ensure!(missing.is_empty(), "{missing:?} missing: {line}");
    let ts = line["ts"].as_str().unwrap_or_default();
    ensure!(
        time::monotonic(ts).is_some(),
        "ts is not RFC 3339, UTC, ns: {line}"
    );
    // Unknown is null, but these are never unknown.
    let known: &[&str] = match line["type"].as_str() {
        Some("start") => &["schema", "tracer_pid"],
        Some("zombie") => &["pid", "zombie_ns", "error_ns"],
        Some("alive") => &["pid", "age_ns", "error_ns"],
        Some("interval") => &INTERVAL[..6],
        Some("summary") => &[
            "duration_ns",
            "exits",
            "reaped",
            "autoreaped",
            "alive",
            "pre_existing",
            "filtered",
        ],
        Some("unlisted") => &[],
        Some("stack") => &["id"],
        Some("doing") => &["ppid", "tid", "stack", "zombie_ns", "samples"],
        _ => LOSS,
    };
    for key in known {
        ensure!(line[*key].is_u64(), "{key} is no number: {line}");
    }
    if keys.contains(&"flags") {
        ensure!(line["flags"].is_array(), "flags is no array: {line}");
    }
    if let Some(phases) = line["phases"].as_object() {
        let sum: u64 = phases.values().filter_map(Value::as_u64).sum();
        ensure!(
            phases.len() == 5
                && sum.abs_diff(number(line, "zombie_ns")) <= number(line, "error_ns"),
            "phases do not add up: {line}"
        );
    }
    Ok(())
}
