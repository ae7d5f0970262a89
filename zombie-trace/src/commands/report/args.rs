use std::path::{Path, PathBuf};

use clap::Args;

use super::flamegraph::file as flamegraph_file;
use crate::{
    args::{ColorArgs, Files, GateArgs, OfRecordings, TableArgs},
    filter::Expression,
};

const REPORT_EXAMPLES: &str = "\
Examples:
  zombie-trace record -o run.zst -u nobody -- ./load-test
  zombie-trace report run.zst --html run.html
  zombie-trace report run.zst --by cause --top 3
  zombie-trace report run.zst --perfetto run.json
  zombie-trace report run.zst --flamegraph run.svg
  zombie-trace report run.zst --csv - | sort -t, -k12n | tail
  zombie-trace report run.zst --filter 'parent~nginx zombie>10ms'
  zombie-trace report --fail-if 'p99>50ms' host*.zst

Exit status:
  0  success, even if a recording is cut, damaged or lacks lines
  1  a file cannot be read or written, or is no recording
  2  invalid command line
  3  a condition of --fail-if holds";

/// Options of `report`.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(max_term_width = 80, after_help = REPORT_EXAMPLES)]
pub struct ReportArgs {
    /// Recordings: what record or --json -o FILE wrote, or '-' for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// List only processes that meet these conditions, such as 'parent~nginx zombie>10ms'
    ///
    /// The conditions are those of a run: 'zombie-trace --help' explains them. They decide which
    /// processes are in the list of the longest zombies, in the list of processes that did not end,
    /// in the rows of --csv, in the trace of --perfetto, and drawn as dots in the page of --html. All
    /// figures, tables and conditions of --fail-if are about all processes.
    #[arg(long = "filter", value_name = "CONDITIONS", help_heading = "Filters")]
    pub conditions: Option<Expression>,

    /// Write a page for a browser, in one file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,

    /// Write a trace for Perfetto's UI (ui.perfetto.dev)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub perfetto: Option<PathBuf>,

    /// Draw what parents did instead of reaping, as widths in zombie time
    ///
    /// The recording must have been made with --stacks. The name decides the format: .svg is a
    /// picture for a browser; .folded is for flame graph tools, with counts in zombie-microseconds;
    /// .speedscope.json is for speedscope (www.speedscope.app).
    #[arg(long, value_name = "FILE", value_parser = flamegraph_file, help_heading = "Output")]
    pub flamegraph: Option<PathBuf>,

    /// Write one row per zombie; '-' to stdout, instead of text
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub csv: Option<PathBuf>,

    /// Write a JSON object instead of text
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Which tables the summary has.
    #[command(flatten)]
    pub tables: TableArgs,

    /// Conditions that must not hold.
    #[command(flatten)]
    pub gates: GateArgs<OfRecordings>,

    /// Whether text is coloured.
    #[command(flatten)]
    pub color: ColorArgs,
}

impl ReportArgs {
    /// Why the options don't go together, if so.
    pub(crate) fn conflict(&self) -> Option<&'static str> {
        if self.json && self.csv.as_deref() == Some(Path::new("-")) {
            return Some("--json and --csv - both write to standard output: give --csv a file");
        }
        let is_stdin = |path: &&PathBuf| path.as_path() == Path::new("-");
        if self.files.iter().filter(is_stdin).count() > 1 {
            return Some("standard input can be read once: give '-' once, and the others as files");
        }
        if self.perfetto.is_some() && self.files.len() > 1 {
            return Some("--perfetto can show one run: give one FILE");
        }
        None
    }

    /// Adds the files that the command line names.
    pub(crate) fn add_files(&self, files: &mut Files) {
        for path in &self.files {
            files.input("FILE", Some(path));
        }
        files.file("--html", self.html.as_deref());
        files.file("--perfetto", self.perfetto.as_deref());
        files.file("--flamegraph", self.flamegraph.as_deref());
        files.output("--csv", self.csv.as_deref());
        self.gates.add_files(files);
    }
}
