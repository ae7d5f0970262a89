use clap::Args;

use crate::{
    args::ColorArgs,
    value::{Pid, TimeSpan},
};

const INSPECT_HELP: &str = "\
Examples:
  zombie-trace inspect 4242          why 4242 is a zombie, or which zombies it has
  zombie-trace inspect -d 10s 4242   and how promptly it reaps meanwhile

Exit status:
  0  all went well
  1  there is no such process, or /proc cannot be read
  2  invalid command line";

/// Options of `inspect`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(max_term_width = 80, after_help = INSPECT_HELP)]
pub struct InspectArgs {
    /// The process
    #[arg(allow_hyphen_values = true)]
    pub pid: Pid,

    /// Watch for this long how it, or the zombie's parent, reaps; needs a run's privileges
    #[arg(short, long, allow_hyphen_values = true, value_parser = TimeSpan::positive)]
    pub duration: Option<TimeSpan>,

    /// Whether text is coloured.
    #[command(flatten)]
    pub color: ColorArgs<false>,
}
