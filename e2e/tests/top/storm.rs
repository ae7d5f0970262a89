//! The screen while processes end as fast as they can.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use zombie_trace_e2e::LoadResult;

use super::{SH, Seat};
use crate::{
    Outcome, Test, context, ensure,
    pty::{self, until},
};

const STORM: &str = "keeps all CPUs busy with new processes";

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("top::storm", || storm(8)).alone(STORM),
        Test::new("top::long-storm", || storm(150))
            .long("is a storm of a minute")
            .alone(STORM),
    ]
}

/// A load that starts when it is told to. It is killed when this is dropped.
struct Load(Child);

impl Load {
    fn new() -> Result<Self, String> {
        let load = context::load().to_string_lossy();
        let script = format!(
            "read -r _; exec {load} serial --spawn vfork --workers 2 --rate 30000 --until-eof"
        );
        Command::new(SH)
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map(Self)
            .map_err(|error| format!("{SH}: {error}"))
    }

    fn begin(&mut self) -> Outcome {
        let stdin = self.0.stdin.as_mut().expect("piped");
        stdin.write_all(b"\n").map_err(|error| error.to_string())
    }

    fn is_over(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Ends it; gives what it has made.
    fn result(&mut self) -> Result<LoadResult, String> {
        drop(self.0.stdin.take());
        let mut text = String::new();
        let mut stdout = self.0.stdout.take().expect("piped");
        std::io::Read::read_to_string(&mut stdout, &mut text).map_err(|error| error.to_string())?;
        let ended = pty::end_of(&mut self.0)?;
        ensure!(ended == 0, "load: {ended}");
        LoadResult::parse(&text).ok_or_else(|| format!("load: {text:?}"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keys are answered while it goes on, nothing is lost, and the figures are the load's own.
fn storm(keys: usize) -> Outcome {
    let mut load = Load::new()?;
    let tree = load.0.id().to_string();
    // Room for 10 s in which it gets no CPU.
    let mut seat = Seat::start(&["--tree", &tree, "-m", "0", "--buffer", "128MiB"])?;
    seat.wait("LIVE")?;
    // A row for all parents of this name, over the whole run.
    seat.press("g++")?;
    seat.wait("by command")?;
    load.begin()?;
    seat.wait_for("the load's row", |screen| screen.contains(" load "))?;
    let mut answers = Vec::new();
    for (key, view) in [("2", "[2 Alive]"), ("1", "[1 Parents]")]
        .into_iter()
        .cycle()
        .take(keys)
    {
        let from = seat.pty.text().len();
        let begin = Instant::now();
        seat.press(key)?;
        until(view, || {
            let text = seat.pty.text();
            // A character may have come in two parts.
            let new = text.as_bytes().get(from..).unwrap_or_default();
            Ok(String::from_utf8_lossy(new).contains(view))
        })?;
        answers.push(begin.elapsed());
        ensure!(
            !load.is_over(),
            "the load has ended before a key was answered: {answers:?}"
        );
        std::thread::sleep(Duration::from_millis(150));
    }
    let result = load.result()?;
    answers.sort();
    println!(
        "{} processes, {:.0} per second; keys were answered after {:?} at the median, {:?} at most",
        result.processes,
        result.processes as f64 * 1e9 / result.elapsed_ns as f64,
        answers[answers.len() / 2],
        answers[answers.len() - 1],
    );
    // All of them were reaped by processes of that name.
    seat.press("1\r")?;
    let reaped = format!("{} reaped, 0 autoreaped", result.processes);
    seat.wait(&reaped)?;
    ensure!(seat.screen().contains("lost 0"), "{}", seat.screen());
    seat.press("q")?;
    let summary = seat.ended(0)?;
    ensure!(summary.contains("nothing was lost"), "{summary}");
    let exits = format!("{} exits in", result.processes);
    let written = seat.pty.text();
    ensure!(written.contains(&exits), "{exits}:\n{written}");
    Ok(())
}
