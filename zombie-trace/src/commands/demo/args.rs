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

    /// Show what 'zombie-trace ps' says of it, and end
    #[arg(long)]
    pub run: bool,

    /// How long it lasts
    #[arg(short, long, default_value = "60s", allow_hyphen_values = true)]
    #[arg(value_parser = TimeSpan::positive)]
    pub duration: TimeSpan,
}

fn demo_kinds() -> String {
    let mut text = "Kinds:\n".to_owned();
    for value in Kind::value_variants() {
        if let Some(value) = value.to_possible_value() {
            let help = value.get_help().map(ToString::to_string);
            text += &format!("  {:<20}{}\n", value.get_name(), help.unwrap_or_default());
        }
    }
    text.trim_end().to_owned()
}
