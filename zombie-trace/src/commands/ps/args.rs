use clap::Args;

use crate::{
    args::{ColorArgs, Files, FilterArgs, GateArgs, OfNow, ScopeArgs},
    value::TimeSpan,
};

const PS_EXIT: &str = "\
Examples:
  zombie-trace ps                       every zombie, and why it is one
  zombie-trace ps -m 1m                 those that are older than a minute
  zombie-trace ps -P 1234               the children of process 1234
  zombie-trace ps --fail-if 'alive>10'  for monitoring: status 3 if there are more

Exit status:
  0  success, whether there are zombies or not
  1  /proc cannot be read, or hides processes (hidepid): what can be seen is
     listed, and no condition is judged; also if nothing is found and the
     process of -p, -P or --tree does not exist
  2  invalid command line
  3  a condition of --fail-if holds

Dying processes:
  A process that was killed or began to exit, and is no zombie after a second,
  is listed after the zombies, with the thread that is in the way of its end.
  ps takes that second only if there may be one.";

/// Options of `ps`.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(max_term_width = 80, after_help = PS_EXIT)]
pub struct PsArgs {
    /// Which processes are looked at.
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Which of them are listed.
    #[command(flatten)]
    pub filter: FilterArgs,

    /// List every zombie, not just the ten oldest of each parent
    #[arg(long, help_heading = "Output")]
    pub each: bool,

    /// Look again every 2 seconds, or SECONDS, until Ctrl-C
    #[arg(short, long, value_name = "SECONDS", help_heading = "Output")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "2")]
    #[arg(value_parser = period, conflicts_with_all = ["json", "fail_if"])]
    pub watch: Option<TimeSpan>,

    /// Write JSON Lines instead of text: one line per zombie or dying process
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Whether text is coloured.
    #[command(flatten)]
    pub color: ColorArgs,

    /// Conditions that must not hold.
    #[command(flatten)]
    pub gates: GateArgs<OfNow>,
}

/// A number of seconds, or a length of time with its unit.
fn period(text: &str) -> Result<TimeSpan, String> {
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let span = match is_number {
        true => TimeSpan::positive(&format!("{text}s")),
        false => TimeSpan::positive(text),
    };
    match span.map_err(|error| error.to_string())? {
        span if span < TimeSpan::from_millis(100) => Err("must be 100ms or longer".to_owned()),
        span => Ok(span),
    }
}

impl PsArgs {
    /// Adds the files that the command line names.
    pub(crate) fn add_files(&self, files: &mut Files) {
        self.gates.add_files(files);
    }
}
