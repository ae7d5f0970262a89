use clap::Args;

use crate::{
    filter::{Filter, NameGlob},
    value::TimeSpan,
};

/// Which processes are listed.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct FilterArgs {
    /// List only processes of this name (repeatable)
    #[arg(short = 'n', long, value_name = "GLOB", help_heading = "Filters")]
    pub comm: Vec<NameGlob>,

    /// List only children of parents of this name (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    pub parent_comm: Vec<NameGlob>,

    /// List only processes that failed or were killed
    #[arg(short = 'x', long, help_heading = "Filters")]
    pub failed: bool,

    /// List only zombies that lasted this long, such as 10ms; 0 for all
    #[arg(short, long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = TimeSpan::or_zero, help_heading = "Filters")]
    pub min: Option<TimeSpan>,
}

impl From<&FilterArgs> for Filter {
    fn from(args: &FilterArgs) -> Self {
        Self {
            comm: args.comm.clone(),
            parent_comm: args.parent_comm.clone(),
            failed: args.failed,
            min: args.min,
            autoreaped: false,
        }
    }
}
