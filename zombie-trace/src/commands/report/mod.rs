//! `zombie-trace report`: shows recorded runs.

mod args;
mod collect;
mod content;
mod csv;
mod dots;
mod flamegraph;
mod html;
mod json;
mod lanes;
mod perfetto;
mod still;
mod text;
mod timeline;
mod unended;
mod verdict;
mod worst;

use std::{
    io::{self, BufWriter},
    path::Path,
};

use anyhow::Context as _;

use self::{collect::ReportCollector, csv::Csv, perfetto::Perfetto};
pub use args::ReportArgs;
pub(crate) use content::{Report, ReportedRun, TimesFrom};

use crate::{
    commands::gates::Gates,
    exit_code::ExitCode,
    filter::Filter,
    gate::{Figures, Judged},
    recording::{Identity, Line, Recording},
    sink::{Encoded, Look, Output},
    stderr::warn,
    system::{Access, NewFile, Replacement, write_file},
    text::visible,
};

/// Reads the recordings and writes what is asked for. The status says whether a condition holds.
///
/// # Errors
/// A recording can't be read, or an output not be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let recordings = args
        .files
        .iter()
        .map(|path| Recording::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    warn_of_copies(args, &recordings);
    let gates = Gates::open(&args.gates)?;
    let mut report = match read(args, recordings) {
        Err(error) if is_broken_pipe(&error) => return Ok(ExitCode::Success),
        report => report?,
    };
    for run in report.runs.iter().filter(|run| !run.remarks.is_empty()) {
        warn(&format!("{}: {}", visible(&run.file), run.remarks));
    }
    let figures = Figures {
        times: report.times.clone(),
        ..Figures::new(&report.summary)
    };
    let figures = match report.runs.iter().all(|run| run.has_summary) {
        true => figures,
        false => figures.without_end(),
    };
    report.gates = args
        .gates
        .conditions()
        .iter()
        .map(|&condition| Judged {
            condition,
            verdict: condition.judge(&figures),
            error_ns: report.error_ns,
        })
        .collect();
    write_pages(args, &report)?;
    if args.csv.as_deref() != Some(Path::new("-")) {
        match write(args, &report) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && gates.is_empty() => {}
            written => written.context("cannot write to standard output")?,
        }
    }
    gates.conclude(report.error_ns, |condition| condition.judge(&figures))
}

/// Reads the recordings and writes the files that are asked for, but nothing to standard output.
///
/// # Errors
/// As [`run`].
pub(crate) fn write_files(args: &ReportArgs) -> anyhow::Result<()> {
    let recordings = args.files.iter().map(|path| Recording::open(path));
    let report = read(args, recordings.collect::<Result<_, _>>()?)?;
    write_pages(args, &report)
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

/// Reads all of them, and writes the rows and the trace meanwhile.
fn read(args: &ReportArgs, recordings: Vec<Recording>) -> anyhow::Result<Report> {
    let filter = Filter {
        autoreaped: true,
        conditions: args.conditions.clone().unwrap_or_default(),
        ..Filter::default()
    };
    let mut collector = ReportCollector::new(filter.clone());
    let mut csv = match &args.csv {
        Some(path) => {
            let problem = || format!("cannot write to --csv {}", path.display());
            let (output, replacement) = open_csv(path).with_context(problem)?;
            let is_terminal = output.width().is_some();
            let csv = Csv::new(output, is_terminal).with_context(problem)?;
            Some((csv, path.display(), replacement))
        }
        None => None,
    };
    let mut perfetto = match &args.perfetto {
        Some(path) => {
            let problem = || format!("cannot open --perfetto {}", path.display());
            let (file, replacement) = NewFile::create(path, Access::Usual).with_context(problem)?;
            let file = BufWriter::new(file.open().with_context(problem)?);
            let perfetto = Perfetto::new(file).with_context(problem)?;
            Some((perfetto, path, replacement))
        }
        None => None,
    };
    for mut recording in recordings {
        let mut run = collector.begin(recording.start());
        for line in recording.by_ref() {
            let line = line?;
            if let Line::Zombie(zombie) = &line
                && filter.passes(zombie)
            {
                if let Some((csv, path, _)) = &mut csv {
                    csv.zombie(zombie)
                        .with_context(|| format!("cannot write to --csv {path}"))?;
                }
                if let Some((perfetto, path, _)) = &mut perfetto {
                    let end = run.at(zombie.ts);
                    perfetto.zombie(zombie, end).with_context(|| {
                        format!("cannot write to --perfetto {}", path.display())
                    })?;
                }
            }
            collector.line(&mut run, &line);
        }
        let (left, end) = collector.end(run, &recording);
        if let Some((mut perfetto, path, replacement)) = perfetto.take() {
            let problem = || format!("cannot write to --perfetto {}", path.display());
            for alive in left.iter().filter(|alive| filter.passes_alive(alive)) {
                perfetto.alive(alive, end).with_context(problem)?;
            }
            perfetto.finish().with_context(problem)?;
            replacement.replace().with_context(problem)?;
        }
    }
    if let Some((csv, path, replacement)) = csv {
        csv.finish()
            .and_then(|()| replacement.map_or(Ok(()), Replacement::replace))
            .with_context(|| format!("cannot write to --csv {path}"))?;
    }
    Ok(collector.finish())
}

fn write_pages(args: &ReportArgs, report: &Report) -> anyhow::Result<()> {
    if let Some(path) = &args.flamegraph {
        flamegraph::write(report, path)?;
    }
    match &args.html {
        Some(path) => write_file(path, html::page(report).as_bytes())
            .with_context(|| format!("cannot write to --html {}", path.display())),
        None => Ok(()),
    }
}

fn open_csv(path: &Path) -> io::Result<(Output, Option<Replacement>)> {
    if path == Path::new("-") {
        return Ok((Output::stdout()?, None));
    }
    let (file, replacement) = NewFile::create(path, Access::Usual)?;
    Ok((Output::create(path, file)?, Some(replacement)))
}

fn write(args: &ReportArgs, report: &Report) -> io::Result<()> {
    let mut output = Output::stdout()?;
    if args.json {
        return json::write(report, &mut output);
    }
    let look = Look {
        width: output.width(),
        color: output.colored(args.color.when),
    };
    text::write(report, look, args.tables.into(), &mut Encoded(output))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io_errors = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    io_errors
        .into_iter()
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
