//! Recordings on the screen.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{BASH, End, SH, Seat};
use crate::{
    Outcome, Test, context, ensure,
    pty::{self, until},
};

/// Zombies of some microseconds, and one of more than half a second.
const SCRIPT: &str = "for i in 1 2 3 4 5 6; do sh -c 'exit 1' & done; wait; \
                      sh -c '/bin/true & exec sleep 0.7'; /bin/true; /bin/true";

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("top::replay", moves).unless(context::no_program(BASH)),
        Test::new("top::replay-ctrl-c", || ends(End::Key("\x03"))),
        Test::new("top::replay-sigterm", || ends(End::Signal(libc::SIGTERM))),
        Test::new("top::replay-figures", || figures("run.jsonl", &[])),
        Test::new("top::replay-figures-compressed", || {
            figures("run.jsonl.zst", &[])
        }),
        Test::new("top::replay-figures-listing-some", || {
            figures("run.jsonl", &["-m", "300ms"])
        }),
        Test::new("top::replay-figures-listing-some-compressed", || {
            figures("run.jsonl.zst", &["-m", "300ms"])
        }),
        Test::new("top::damaged-recording", damaged),
    ]
}

fn record(name: &str, args: &[&str], command: &[&str]) -> Result<PathBuf, String> {
    let recording = context::fresh_path(name);
    let mut record = Command::new(context::zombie_trace());
    record.arg("record").arg("-q").arg("-o").arg(&recording);
    if let Some(backend) = context::forced_backend() {
        record.args(["--backend", &backend]);
    }
    context::succeeds(record.args(args).arg("--").args(command))?;
    Ok(recording)
}

/// A recording is shown from its end; it can be moved in, and played.
fn moves() -> Outcome {
    let script = "for i in 1 2 3 4 5 6; do sh -c 'exit 1' & done; sleep 2; wait";
    let recording = record("run.jsonl.zst", &[], &[BASH, "-c", script])?;
    let path = recording.to_string_lossy().into_owned();
    let mut seat = Seat::start(&[&path, "-m", "0"])?;
    seat.wait("REPLAY")?;
    let is_at_start = |screen: &str| screen.contains("REPLAY 00:00 of");
    let is_at_end = |screen: &str| {
        let clock = screen.split("REPLAY ").nth(1).unwrap_or_default();
        let times: Vec<_> = clock.split_whitespace().collect();
        times.len() > 2 && times[0] == times[2]
    };
    seat.wait_for("the end", is_at_end)?;
    seat.go("\x1b[D", "the start", is_at_start)?;
    seat.go("\x1b[C", "the end", is_at_end)?;
    seat.go("\x1b[D", "the start", is_at_start)?;
    seat.press(" ")?;
    seat.wait("PLAY 00:0")?;
    seat.wait_for("the end, by itself", is_at_end)?;
    seat.press("q")?;
    seat.ended(0)?;
    // It is what report shows, to its end.
    seat.pty.wait("recorded in")
}

/// The terminal is as it was, and shows the report.
fn ends(end: End) -> Outcome {
    let recording = record("run.jsonl", &[], &[SH, "-c", SCRIPT])?;
    let mut seat = Seat::start(&[&recording.to_string_lossy()])?;
    seat.wait("REPLAY")?;
    seat.end(&end)?;
    seat.ended(0)?;
    seat.pty.wait("recorded in")
}

/// Every row of the parents and the commands has the figures of `report`, whatever the recording lists.
fn figures(name: &str, args: &[&str]) -> Outcome {
    let recording = record(name, args, &[SH, "-c", SCRIPT])?;
    let mut report = Command::new(context::zombie_trace());
    let output = context::succeeds(report.args(["report", "--json"]).arg(&recording))?;
    let report: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let mut seat = Seat::start(&[&recording.to_string_lossy(), "-m", "0"])?;
    seat.wait("REPLAY")?;
    for (view, table, field, key) in [
        ("1", "by_parent", "ppid", "ppid"),
        ("4", "by_comm", "comm", "comm"),
    ] {
        let rows = report[table].as_array().cloned().unwrap_or_default();
        ensure!(rows.len() > 1, "{table}: {report:#}");
        let mut reaped = 0;
        seat.press(view)?;
        for row in &rows {
            let value = row[key].as_str().map(str::to_owned);
            let value = value.unwrap_or_else(|| row[key].to_string());
            let filter = format!("{field}={value}");
            seat.press(&format!("f\x15{filter}\r"))?;
            seat.wait(&format!("filter {filter} (Esc clears)"))?;
            let shown = seat.export()?;
            for name in [
                "alive",
                "oldest_ns",
                "reaped",
                "autoreaped",
                "p50_ns",
                "p99_ns",
                "max_ns",
            ] {
                ensure!(
                    shown["figures"][name] == row[name],
                    "{name} of {filter}: {shown:#}\n{row:#}"
                );
            }
            reaped += row["reaped"].as_u64().unwrap_or(0);
        }
        // Only the tracer's own child is in no row.
        let all = report["reaped"].as_u64().unwrap_or(0);
        ensure!(all - reaped <= 1 && all > 8, "{reaped}: {report:#}");
    }
    seat.press("q")?;
    seat.ended(0).map(drop)
}

fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect()
}

impl Seat {
    /// The selected row, as e exports it.
    fn export(&mut self) -> Result<Value, String> {
        let before = files(&self.directory);
        self.press("e")?;
        let new = || files(&self.directory).difference(&before).next().cloned();
        let mut row = Value::Null;
        until("an exported row", || {
            let text = new().and_then(|path| fs::read_to_string(path).ok());
            // It may not be written to its end yet.
            row = text
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default();
            Ok(!row.is_null())
        })
        .map_err(|error| format!("{error}:\n{}", self.screen()))?;
        Ok(row)
    }
}

/// What can be read is shown with what is missing; what can't be is an error, and the terminal is as it was.
fn damaged() -> Outcome {
    let recording = record("run.jsonl", &[], &[SH, "-c", SCRIPT])?;
    let text = fs::read(&recording).map_err(|error| error.to_string())?;
    let first = text.iter().position(|byte| *byte == b'\n').unwrap_or(0) + 1;
    let path = context::fresh_path("damaged.jsonl");
    let write = |bytes: &[u8]| fs::write(&path, bytes).map_err(|error| error.to_string());
    for (bytes, what) in [
        (&text[..text.len() / 2], "its last line is not whole"),
        (&text[..first], "it has no summary"),
    ] {
        write(bytes)?;
        let mut seat = Seat::start(&[&path.to_string_lossy()])?;
        seat.wait("incomplete recording: cut: ")?;
        seat.wait(what)?;
        seat.press("q")?;
        seat.ended(0)?;
    }
    for (bytes, what) in [
        (&b""[..], "the file is empty"),
        (&b"{\"type\":\"start\"}\n"[..], "not a recording"),
    ] {
        write(bytes)?;
        let mut seat = Seat::start(&[&path.to_string_lossy()])?;
        let ended = pty::end_of(&mut seat.top)?;
        seat.pty.wait(what)?;
        let text = seat.pty.text();
        ensure!(
            ended == 1 && text.contains("damaged.jsonl"),
            "{ended}: {text}"
        );
        ensure!(
            !text.contains("\x1b[?1049h"),
            "no screen was shown: {text:?}"
        );
    }
    Ok(())
}
