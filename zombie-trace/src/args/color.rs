use clap::Args;

use crate::text::ColorWhen;

/// Whether text is coloured. The option is listed under "Output", if there is such a heading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct ColorArgs<const HAS_HEADING: bool = true> {
    /// When to use colour; NO_COLOR is honoured
    #[arg(long = "color", value_name = "WHEN", default_value = "auto")]
    #[arg(help_heading = HAS_HEADING.then_some("Output"))]
    pub when: ColorWhen,
}
