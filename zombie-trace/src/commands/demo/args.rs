use clap::{Args, ValueEnum as _};

use super::{Kind, Which};
use crate::value::TimeSpan;

/// Options of `demo`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(max_term_width = 80, after_help = demo_kinds())]
pub struct DemoArgs {
    /// What kind of zombie; 'all' with --run shows one after the other
    #[arg(value_name = "KIND", default_value = "classic")]
    pub kind: Which,

    /// Show what 'zombie-trace ps' prints about it, and end
    #[arg(long)]
    pub run: bool,

    /// How long it lasts
    #[arg(short, long, default_value = "60s", allow_hyphen_values = true)]
    #[arg(value_parser = TimeSpan::positive)]
    pub duration: TimeSpan,
}

const EXAMPLES_AND_STATUS: &str = "\
Examples:
  zombie-trace demo                 a parent that never waits, for a minute
  zombie-trace demo -d 5m stopped   a parent that is stopped, for five minutes
  zombie-trace demo all --run       one kind after the other, and its cause

Exit status:
  0  the zombies were made, and are cleaned up
  1  they could not be made
  2  invalid command line

Kinds:
";

fn demo_kinds() -> String {
    let mut text = EXAMPLES_AND_STATUS.to_owned();
    for value in Kind::value_variants() {
        if let Some(value) = value.to_possible_value() {
            let help = value.get_help().map(ToString::to_string);
            text += &format!("  {:<20}{}\n", value.get_name(), help.unwrap_or_default());
        }
    }
    text.trim_end().to_owned()
}
