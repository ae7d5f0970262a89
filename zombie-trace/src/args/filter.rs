use clap::Args;

use crate::{
    filter::{Expression, Filter, NameGlob},
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

    /// List only processes that meet these conditions, such as 'parent~nginx zombie>10ms'
    ///
    /// Conditions are separated by spaces, and all of them must hold. Each is a field, an operator and
    /// a value. The fields comm, parent, cause, container and cgroup are text, with the operators =,
    /// !=, ~ (contains) and !~. The fields pid, ppid, uid, exit and signal are numbers, with =, !=, <,
    /// <=, > and >=. The field zombie is a time, with the same operators as a number: the zombie time
    /// or, of a living zombie, its age. A value with spaces goes in double quotes. A condition about
    /// something unknown does not hold.
    #[arg(long = "filter", value_name = "CONDITIONS", help_heading = "Filters")]
    pub conditions: Option<Expression>,
}

impl From<&FilterArgs> for Filter {
    fn from(args: &FilterArgs) -> Self {
        Self {
            comm: args.comm.clone(),
            parent_comm: args.parent_comm.clone(),
            failed: args.failed,
            min: args.min,
            autoreaped: false,
            conditions: args.conditions.clone().unwrap_or_default(),
        }
    }
}
