//! `zombie-trace record`: a run whose output is a recording, with its summary on the terminal.

mod args;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

pub use args::RecordArgs;

use crate::{
    commands::{
        report,
        trace::{self, Finished, Plan},
    },
    exit_code::ExitCode,
    run::{destination::WriteTarget, live_line::LiveLine, signals},
    sink,
    stderr::{self, say},
    system::{Access, NewFile},
    text,
};

/// Records a run, shows its summary, and makes the files that are asked for.
///
/// # Errors
/// As of a run; or a file can't be written.
pub fn run(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    // It must not turn out at the end of a long run.
    for (option, path) in args.files() {
        let created = NewFile::create(path, Access::Usual)
            .with_context(|| format!("cannot open {option} {}", text::path(path)))?;
        drop(created);
    }
    let path = match &args.output {
        Some(path) => path.clone(),
        None => unused_name(now()),
    };
    let target = args.run.file(&path);
    let screen = match target {
        // Not between the lines of the recording.
        WriteTarget::Stdout | WriteTarget::SharedStdout => WriteTarget::Stderr,
        _ => args.run.screen(),
    };
    let live_line = match args.run.quiet {
        true => None,
        false => LiveLine::open(!args.run.command.is_empty()),
    };
    let is_file = matches!(target, WriteTarget::File(_));
    let Finished { code, is_whole } = trace::perform(Plan {
        args: &args.run,
        filter: args.run.filter(None),
        target,
        sink: sink::Options {
            json: true,
            ..sink::Options::default()
        },
        interval: None,
        keeps_refused: true,
        screen: Some(screen),
        live_line,
        watcher: None,
    })?;
    if !is_whole || !is_file {
        return Ok(code);
    }
    if !args.run.quiet {
        say(&recorded(&path));
    }
    match make_files(args, &path) {
        Err(error) => {
            stderr::fail(&error);
            Ok(match code.code() {
                0 => ExitCode::Error,
                _ => code,
            })
        }
        Ok(()) => Ok(code),
    }
}

fn make_files(args: &RecordArgs, recording: &Path) -> anyhow::Result<()> {
    let Some(report) = args.report(recording) else {
        return Ok(());
    };
    // The run is over: a signal now ends the program.
    signals::restore_defaults().context("cannot set signals up")?;
    report::write_files(&report)
}

fn recorded(path: &Path) -> String {
    let path = text::path(path);
    format!(
        "recorded to {path}; to see more: zombie-trace report {}",
        text::quoted(&path)
    )
}

/// The local time.
fn now() -> DateTime {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    zone.to_datetime(Timestamp::now())
}

/// A name in the current directory that no file has.
fn unused_name(now: DateTime) -> PathBuf {
    let stem = now.strftime("zombie-trace-%Y%m%dT%H%M%S").to_string();
    let first = PathBuf::from(format!("{stem}.jsonl.zst"));
    let others = (2..).map(|number| PathBuf::from(format!("{stem}-{number}.jsonl.zst")));
    std::iter::once(first)
        .chain(others)
        .find(|path| path.symlink_metadata().is_err())
        .expect("there is always another number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_time() {
        let now = jiff::civil::date(2026, 1, 2).at(3, 4, 5, 6);
        let name = unused_name(now);
        assert_eq!(name, Path::new("zombie-trace-20260102T030405.jsonl.zst"));
    }
}
