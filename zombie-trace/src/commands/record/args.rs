use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, error::ErrorKind};

use crate::{
    args::Files,
    commands::{report::ReportArgs, trace::RunArgs},
};

const RECORD_HELP: &str = "\
Examples:
  zombie-trace record                              until Ctrl-C
  zombie-trace record -d 1m -o before.jsonl.zst    for a minute, into this file
  zombie-trace record --html run.html -- make -j8  a build, and a page of it
  zombie-trace record -u nobody -- ./load-test     COMMAND without privileges
  zombie-trace record -q --fail-if 'p99>50ms' -- ./load-test

Exit status:
  The same as for a run: see 'zombie-trace --help'. It is 1 instead of 0 if the
  recording is written, but a file made from it is not.";

/// Options of `record`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(
    max_term_width = 80,
    after_help = RECORD_HELP,
    override_usage = "zombie-trace record [OPTIONS] [-- COMMAND [ARGS]...]"
)]
pub struct RecordArgs {
    /// Record to FILE instead of zombie-trace-<DATE>T<TIME>.jsonl.zst
    ///
    /// A name that ends in .zst compresses the recording, to less than a tenth; with any other name
    /// it is plain JSON Lines. '-' means stdout. A new file replaces an existing one only when the
    /// run has begun, that is, once the hooks are attached and COMMAND has started. Files of root
    /// have mode 0600. Symbolic links are refused. However the run ends, the recording can be read
    /// up to the last line that was written.
    #[arg(short, long, value_name = "FILE", help_heading = "Recording")]
    pub output: Option<PathBuf>,

    /// Then write a page for a browser, in one file
    #[arg(long, value_name = "FILE", help_heading = "Recording")]
    pub html: Option<PathBuf>,

    /// Then write one row per zombie
    #[arg(long, value_name = "FILE", help_heading = "Recording")]
    pub csv: Option<PathBuf>,

    /// Then write a trace for Perfetto's UI (ui.perfetto.dev)
    #[arg(long, value_name = "FILE", help_heading = "Recording")]
    pub perfetto: Option<PathBuf>,

    /// What the run is about.
    #[command(flatten)]
    pub run: RunArgs,
}

impl RecordArgs {
    /// Why the options don't go together, if so.
    pub(crate) fn conflict(&self, ends_in_dashes: bool) -> Option<(ErrorKind, &'static str)> {
        if self.csv.as_deref() == Some(Path::new("-")) {
            return Some((
                ErrorKind::ArgumentConflict,
                "--csv - would write to where the summary goes: give --csv a file",
            ));
        }
        if self.wants_files() && self.output.as_deref().is_some_and(is_stream) {
            return Some((
                ErrorKind::ArgumentConflict,
                "--html, --csv and --perfetto are made from the recording: give -o a regular file",
            ));
        }
        self.run.conflict(ends_in_dashes)
    }

    /// Adds the files that the command line names.
    pub(crate) fn add_files(&self, files: &mut Files) {
        files.output("--output", self.output.as_deref());
        self.run.add_files(files);
        for (option, path) in self.files() {
            match option {
                "--csv" => files.output(option, Some(path)),
                _ => files.file(option, Some(path)),
            }
        }
    }

    /// The files that are made from the recording, each with its option.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        [
            ("--html", &self.html),
            ("--csv", &self.csv),
            ("--perfetto", &self.perfetto),
        ]
        .into_iter()
        .filter_map(|(option, path)| Some((option, path.as_deref()?)))
    }

    fn wants_files(&self) -> bool {
        self.files().next().is_some()
    }

    /// The report that makes them of the recording, if there are any.
    pub(crate) fn report(&self, recording: &Path) -> Option<ReportArgs> {
        self.wants_files().then(|| ReportArgs {
            files: vec![recording.to_owned()],
            html: self.html.clone(),
            csv: self.csv.clone(),
            perfetto: self.perfetto.clone(),
            ..ReportArgs::default()
        })
    }
}

/// What was written to it can't be read again.
fn is_stream(path: &Path) -> bool {
    path == Path::new("-") || fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}
