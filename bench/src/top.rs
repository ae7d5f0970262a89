//! What the live view costs.

use serde::Serialize;

use crate::{
    measure::{Bench, SUMMARY, progress},
    statistics::median,
    subject,
};

/// Parents that each fork about once a second.
const PARENTS: u64 = 1000;
/// Processes that end in a second, of all parents together.
const RATE: u64 = 1000;
const SECONDS: u64 = 60;

/// The live view, or the same run without a screen.
#[derive(Serialize)]
pub(crate) struct TopRow {
    pub(crate) name: String,
    pub(crate) parents: u64,
    pub(crate) per_second: f64,
    /// CPU time of the tracer itself, user space and its system calls, as a share of one CPU.
    pub(crate) cpu_percent: f64,
    /// Bytes per second that it writes to its terminal, if it has one.
    pub(crate) drawn_per_second: Option<f64>,
    pub(crate) rss_mib: f64,
}

impl Bench {
    /// What the screen costs, beside the same run without one.
    pub(crate) fn top(&self) -> Result<Vec<TopRow>, String> {
        let numbers = [PARENTS, RATE, SECONDS].map(|number| number.to_string());
        let [parents, rate, seconds] = &numbers;
        let load = ["--workers", parents, "--rate", rate, "--seconds", seconds];
        let load = [&["serial", "--spawn", "vfork"], &load[..]].concat();
        let top = subject::top(&self.tracer);
        // What else ends on the machine is nobody's thousand.
        let own = std::process::id().to_string();
        let mut turns = [Turns::default(), Turns::default()];
        for round in 0..self.rounds {
            progress("top", round, self.rounds);
            for (subject, turns) in [&self.ours[SUMMARY], &top].into_iter().zip(&mut turns) {
                let running = self.start(subject, &["--tree", &own])?;
                let (cpu, drawn) = (running.cpu_ns(), running.drawn());
                let made = self.load(&load)?;
                let seconds = made.elapsed_ns as f64 / 1e9;
                let used = (running.cpu_ns() - cpu) as f64 / 1e9;
                turns.cpu_percent.push(used / seconds * 100.0);
                turns.per_second.push(made.processes as f64 / seconds);
                turns
                    .drawn_per_second
                    .push((running.drawn() - drawn) as f64 / seconds);
                let used = running.stop()?;
                turns.rss_mib.push(used.rss_kib as f64 / 1024.0);
                let is_complete = match &used.summary {
                    Some(summary) => summary["complete"] == true,
                    None => used.text.contains("nothing was lost"),
                };
                if !is_complete {
                    return Err(format!("{} lost something", subject.name));
                }
            }
        }
        let row = |name: &str, turns: &Turns, is_drawn: bool| TopRow {
            name: name.to_owned(),
            parents: PARENTS,
            per_second: median(&turns.per_second).unwrap_or(f64::NAN),
            cpu_percent: median(&turns.cpu_percent).unwrap_or(f64::NAN),
            drawn_per_second: median(&turns.drawn_per_second).filter(|_| is_drawn),
            rss_mib: median(&turns.rss_mib).unwrap_or(f64::NAN),
        };
        Ok(vec![
            row(self.ours[SUMMARY].name, &turns[0], false),
            row(top.name, &turns[1], true),
        ])
    }
}

/// What the rounds gave.
#[derive(Default)]
struct Turns {
    per_second: Vec<f64>,
    cpu_percent: Vec<f64>,
    drawn_per_second: Vec<f64>,
    rss_mib: Vec<f64>,
}
