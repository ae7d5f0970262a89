use std::path::PathBuf;

use clap::{Args, error::ErrorKind};

use crate::{args::Files, commands::trace::RunArgs};

const TOP_HELP: &str = "\
Examples:
  sudo zombie-trace top                   the whole machine
  sudo zombie-trace top --container web   one container
  sudo zombie-trace top -- make -j8       a command; o shows its terminal
  zombie-trace top run.jsonl.zst          a recording: arrow keys move in time

Columns:
  AVG ALIVE is the average number of zombies in the window: their zombie time
  divided by the length of the window.

Filters:
  The key f changes the conditions of --filter. They choose rows. In a row about
  a parent, zombie is its longest zombie time, and parent is both its name and
  its command line.

Exit status:
  As of a run: 'zombie-trace --help' has the list. It is 1 without a terminal.";

/// Options of `top`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(
    max_term_width = 80,
    after_help = TOP_HELP,
    override_usage = "zombie-trace top [OPTIONS]\n       zombie-trace top [OPTIONS] FILE\n       zombie-trace top [OPTIONS] -- COMMAND [ARGS]..."
)]
pub struct TopArgs {
    /// Replay this recording instead of tracing
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// What the run is about.
    #[command(flatten)]
    pub run: RunArgs,
}

impl TopArgs {
    /// Why the options don't go together, if so.
    pub(crate) fn conflict(&self, ends_in_dashes: bool) -> Option<(ErrorKind, &'static str)> {
        let run = &self.run;
        let has_scope = run.scope != Default::default() || run.duration.is_some();
        if self.file.is_some() && (has_scope || !run.command.is_empty()) {
            return Some((
                ErrorKind::ArgumentConflict,
                "a recording is replayed as it is: leave FILE out to trace, or the scope to replay",
            ));
        }
        run.conflict(ends_in_dashes)
    }

    /// Adds the files that the command line names.
    pub(crate) fn add_files(&self, files: &mut Files) {
        files.input("FILE", self.file.as_deref());
        self.run.add_files(files);
    }
}
