use std::path::{Path, PathBuf};

use clap::Args;

use crate::args::{ColorArgs, Files, GateArgs, OfTwoRuns};

const DIFF_HELP: &str = "\
Examples:
  zombie-trace record -o before.jsonl.zst -- ./load-test
  zombie-trace record -o after.jsonl.zst -- ./load-test
  zombie-trace diff before.jsonl.zst after.jsonl.zst
  zombie-trace diff --fail-if 'p99>+20%' before.jsonl.zst after.jsonl.zst

Conditions of --fail-if:
  p50>+20%, alive>+0%   a change from BASE to NEW; of p50, p90, p99 and rate
                        only if noise does not explain it
  p99>50ms, alive>0     a limit, for NEW

Exit status:
  0  success, whether there is a difference or not
  1  a recording cannot be read, or the runs cannot be compared
  2  invalid command line
  3  a condition of --fail-if holds";

/// Options of `diff`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(max_term_width = 80, after_help = DIFF_HELP)]
pub struct DiffArgs {
    /// The run before: what --json -o FILE wrote, or '-' for standard input
    pub base: PathBuf,

    /// The run after
    pub new: PathBuf,

    /// Write a JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Whether text is coloured.
    #[command(flatten)]
    pub color: ColorArgs<false>,

    /// Conditions that must not hold.
    #[command(flatten)]
    pub gates: GateArgs<OfTwoRuns>,
}

impl DiffArgs {
    /// Why the options don't go together, if so.
    pub(crate) fn conflict(&self) -> Option<&'static str> {
        let runs = [&self.base, &self.new].map(|path| path.as_path());
        (runs == [Path::new("-"); 2])
            .then_some("BASE and NEW are both standard input: give one of them as a file")
    }

    /// Adds the files that the command line names.
    pub(crate) fn add_files(&self, files: &mut Files) {
        files.input("BASE", Some(&self.base));
        files.input("NEW", Some(&self.new));
        self.gates.add_files(files);
    }
}
