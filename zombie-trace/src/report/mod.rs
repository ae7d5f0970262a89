//! `zombie-trace report`: what recorded runs tell.

mod collect;
mod csv;
mod html;
mod json;
mod perfetto;
mod still;
mod text;
mod timeline;
mod worst;

use std::{
    fs,
    io::{self, BufWriter},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Serialize;

use self::{
    collect::Collector, csv::Csv, perfetto::Perfetto, still::CauseSummary, timeline::Series,
};
use crate::{
    aggregate::{CommSummary, Lost, PhaseTotals, Summary},
    cli::ReportArgs,
    exit_code::ExitCode,
    gate::{Figures, Gates},
    lifecycle::Zombie,
    notice::warn,
    recording::{Identity, Line, Recording},
    sink::{self, Look, Output, visible},
};

/// All that is told.
#[derive(Debug)]
pub(crate) struct Report {
    /// Of all runs together.
    pub(crate) summary: Summary,
    /// Where the zombies' time went, if that is known of any.
    pub(crate) phases: Option<PhaseTotals>,
    /// The largest total first.
    pub(crate) by_comm: Vec<CommSummary>,
    /// The longest first.
    pub(crate) worst: Vec<Zombie>,
    /// Why zombies are left, the most frequent first.
    pub(crate) causes: Vec<CauseSummary>,
    /// The age of the oldest that is left.
    pub(crate) oldest_ns: Option<u64>,
    /// Each run from its own begin, one over the other.
    pub(crate) timeline: Series,
    /// What was read.
    pub(crate) runs: Vec<Run>,
}

/// One of the recordings.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) file: String,
    pub(crate) start: Option<Timestamp>,
    pub(crate) version: Option<String>,
    pub(crate) kernel: Option<String>,
    pub(crate) backend: Option<String>,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) duration_ns: u64,
    pub(crate) exits: u64,
    pub(crate) lost: Lost,
    /// It is whole, and nothing was lost.
    pub(crate) complete: bool,
    pub(crate) cut: Option<String>,
    pub(crate) corrupt_lines: u64,
    /// Lines that are not there, though the summary counts what they are about.
    pub(crate) missing_lines: u64,
    pub(crate) times_from: TimesFrom,
    #[serde(skip)]
    pub(crate) remarks: String,
}

/// From which lines of a run the zombie times are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TimesFrom {
    /// From each zombie's.
    Zombies,
    /// From those of intervals.
    Intervals,
    /// From the summary alone.
    Summary,
}

/// Reads the recordings, writes what is asked for, and tells by the status whether a condition
/// holds.
///
/// # Errors
/// A recording can't be read, or an output not be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    check(args)?;
    let recordings = args
        .files
        .iter()
        .map(|path| Recording::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    warn_of_copies(args, &recordings);
    let gates = Gates::open(&args.fail_if, &args.format)
        .with_context(|| format!("cannot open --format {}", args.format))?;
    let report = match read(args, recordings) {
        Err(error) if is_broken_pipe(&error) => return Ok(ExitCode::Success),
        report => report?,
    };
    for run in report.runs.iter().filter(|run| !run.remarks.is_empty()) {
        warn(&format!("{}: {}", visible(&run.file), run.remarks));
    }
    if let Some(path) = &args.html {
        fs::write(path, html::page(&report))
            .with_context(|| format!("cannot write to --html {}", sink::path(path)))?;
    }
    if args.csv.as_deref() != Some(Path::new("-")) {
        match write(args, &report) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && gates.is_empty() => {}
            written => written.context("cannot write to standard output")?,
        }
    }
    let figures = Figures {
        zombie_ns: report.summary.zombie_ns,
        alive: report.summary.counts.alive,
        oldest_ns: report.oldest_ns,
        duration: Duration::from_nanos(report.summary.duration_ns),
    };
    let failed = gates
        .judge(|condition| condition.judge(&figures))
        .with_context(|| format!("cannot write to --format {}", args.format))?;
    Ok(if failed {
        ExitCode::ConditionHolds
    } else {
        ExitCode::Success
    })
}

/// Warns of each recording that holds the same run as one before it.
fn warn_of_copies(args: &ReportArgs, recordings: &[Recording]) {
    let mut runs: Vec<(Identity, &str)> = Vec::new();
    for (recording, path) in recordings.iter().zip(&args.files) {
        let run = Identity::of(recording, path);
        match runs.iter().find(|(known, _)| known.is_same_run(&run)) {
            Some((_, first)) => warn(&format!(
                "{} holds the same run as {}: its figures count twice",
                visible(recording.name()),
                visible(first)
            )),
            None => runs.push((run, recording.name())),
        }
    }
}

/// Refuses what would overwrite a recording.
fn check(args: &ReportArgs) -> anyhow::Result<()> {
    let identity = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
    };
    let recordings: Vec<_> = args.files.iter().map(|path| identity(path)).collect();
    for (option, path) in [
        ("--html", &args.html),
        ("--perfetto", &args.perfetto),
        ("--csv", &args.csv),
    ] {
        let Some(path) = path else { continue };
        if identity(path).is_some_and(|file| recordings.contains(&Some(file))) {
            bail!(
                "{option} {}: that is a recording: give another file",
                sink::path(path)
            );
        }
    }
    Ok(())
}

/// Reads all of them, and writes what is written meanwhile.
fn read(args: &ReportArgs, recordings: Vec<Recording>) -> anyhow::Result<Report> {
    let mut collector = Collector::default();
    let mut csv = match &args.csv {
        Some(path) => {
            let output = match path == Path::new("-") {
                true => Output::stdout(),
                false => Output::create(path),
            };
            let csv = output.and_then(|output| {
                let is_terminal = output.width().is_some();
                Csv::new(output, is_terminal)
            });
            let path = sink::path(path);
            let csv = csv.with_context(|| format!("cannot write to --csv {path}"))?;
            Some((csv, path))
        }
        None => None,
    };
    let mut perfetto = match &args.perfetto {
        Some(file) => {
            let path = sink::path(file);
            let problem = || format!("cannot open --perfetto {path}");
            let file = BufWriter::new(fs::File::create(file).with_context(problem)?);
            Some((Perfetto::new(file).with_context(problem)?, path))
        }
        None => None,
    };
    for mut recording in recordings {
        let mut run = collector.begin(recording.start());
        for line in recording.by_ref() {
            let line = line?;
            if let Line::Zombie(zombie) = &line {
                if let Some((csv, path)) = &mut csv {
                    csv.zombie(zombie)
                        .with_context(|| format!("cannot write to --csv {path}"))?;
                }
                if let Some((perfetto, path)) = &mut perfetto {
                    let end = run.at(zombie.ts);
                    perfetto
                        .zombie(zombie, end)
                        .with_context(|| format!("cannot write to --perfetto {path}"))?;
                }
            }
            collector.line(&mut run, &line);
        }
        let (left, end) = collector.end(run, &recording);
        if let Some((mut perfetto, path)) = perfetto.take() {
            let problem = || format!("cannot write to --perfetto {path}");
            for alive in &left {
                perfetto.alive(alive, end).with_context(problem)?;
            }
            perfetto.finish().with_context(problem)?;
        }
    }
    if let Some((csv, path)) = csv {
        csv.finish()
            .with_context(|| format!("cannot write to --csv {path}"))?;
    }
    Ok(collector.finish())
}

fn write(args: &ReportArgs, report: &Report) -> io::Result<()> {
    let mut output = Output::stdout()?;
    if args.json {
        return json::write(report, &mut output);
    }
    let look = Look {
        width: output.width(),
        color: output.colored(args.color),
    };
    text::write(report, look, &mut output.for_text())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io_errors = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    io_errors
        .into_iter()
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
