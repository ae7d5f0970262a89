use clap::Args;

use crate::{
    text::ColorWhen,
    value::{Pid, TimeSpan},
};

/// Options of `inspect`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(max_term_width = 80)]
pub struct InspectArgs {
    /// The process
    #[arg(allow_hyphen_values = true)]
    pub pid: Pid,

    /// Watch for this long how it, or the zombie's parent, reaps; needs a run's privileges
    #[arg(short, long, allow_hyphen_values = true, value_parser = TimeSpan::positive)]
    pub duration: Option<TimeSpan>,

    /// When to use colour; NO_COLOR is honoured
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,
}
