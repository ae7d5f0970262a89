use clap::Args;

use crate::{aggregate::By, sink::Tables};

/// Which tables a summary has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct TableArgs {
    /// Show at most N rows in each table of the summary
    #[arg(long, value_name = "N", default_value_t = Tables::TOP, help_heading = "Output")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..), allow_hyphen_values = true)]
    pub top: u32,

    /// Rank parents (pid), commands, containers or causes by zombie time
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "pid",
        help_heading = "Output"
    )]
    pub by: By,
}

impl Default for TableArgs {
    fn default() -> Self {
        Self {
            top: Tables::TOP,
            by: By::default(),
        }
    }
}

impl From<TableArgs> for Tables {
    fn from(TableArgs { top, by }: TableArgs) -> Self {
        Self { top, by }
    }
}
