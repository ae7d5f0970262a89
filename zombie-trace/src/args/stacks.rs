use clap::Args;

use crate::{run::sampling::StackOptions, value::TimeSpan};

/// What parents do while their zombies wait.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct StackArgs {
    /// Sample what parents do while their zombies wait, 19 times per second or at this rate
    ///
    /// A sample is the call stack of the thread that started the zombie. It stands for the time since
    /// the last sample, times the parent's zombies. The parent is not stopped and notices nothing. The
    /// summary shows in which functions most zombie time was spent, JSON has each stack. It needs Linux
    /// 6.1 or later; without it, the run goes on with a warning. Sampling takes at most 1 % of a CPU.
    #[arg(long, value_name = "HZ", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "19", value_parser = clap::value_parser!(u32).range(1..=999))]
    #[arg(help_heading = "Output")]
    pub stacks: Option<u32>,

    /// With --stacks, sample parents that have a zombie older than this
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "10ms",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = TimeSpan::or_zero, help_heading = "Output")]
    pub stacks_after: TimeSpan,
}

impl StackArgs {
    /// What is to be sampled, if anything is.
    pub(crate) fn options(&self) -> Option<StackOptions> {
        Some(StackOptions {
            hz: self.stacks?,
            after: self.stacks_after.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        stacks: StackArgs,
        #[arg(last = true)]
        command: Vec<String>,
    }

    fn hz(args: &[&str]) -> Result<Option<u32>, clap::error::ErrorKind> {
        let line = Line::try_parse_from([&["zombie-trace"], args].concat());
        line.map(|line| line.stacks.options().map(|options| options.hz))
            .map_err(|error| error.kind())
    }

    #[test]
    fn the_rate_has_a_default_and_bounds() {
        use clap::error::ErrorKind::{UnknownArgument, ValueValidation};
        assert_eq!(hz(&[]), Ok(None));
        assert_eq!(hz(&["--stacks"]), Ok(Some(19)));
        assert_eq!(hz(&["--stacks", "--", "7"]), Ok(Some(19)));
        assert_eq!(hz(&["--stacks=99"]), Ok(Some(99)));
        assert_eq!(hz(&["--stacks", "99"]), Err(UnknownArgument));
        for wrong in ["--stacks=0", "--stacks=1000", "--stacks=-1", "--stacks=x"] {
            assert_eq!(hz(&[wrong]), Err(ValueValidation), "{wrong}");
        }
    }
}
