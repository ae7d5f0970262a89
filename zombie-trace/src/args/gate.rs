use std::marker::PhantomData;

use clap::Args;

use super::Files;
use crate::gate::{Condition, ConditionError, Format};

/// Conditions that must not hold, and how they are reported. `K` says what they are about.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct GateArgs<K: Conditions> {
    #[arg(long, value_name = "COND", value_parser = K::parse, help = K::HELP)]
    #[arg(help_heading = K::HEADING)]
    fail_if: Vec<Condition>,

    /// How to report the conditions: text, github or junit=FILE
    #[arg(long, default_value_t, requires = "fail_if", help_heading = K::HEADING)]
    format: Format,

    #[arg(skip)]
    about: PhantomData<K>,
}

impl<K: Conditions> GateArgs<K> {
    /// The conditions.
    pub fn conditions(&self) -> &[Condition] {
        &self.fail_if
    }

    /// How they are reported.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Adds the file of `--format junit=FILE`.
    pub(crate) fn add_files(&self, files: &mut Files) {
        files.format(self.format());
    }
}

/// What the conditions of a command are about.
pub trait Conditions: Clone + Send + Sync + 'static {
    /// The help of `--fail-if`.
    const HELP: &'static str;
    /// Under which the options are listed.
    const HEADING: Option<&'static str> = Some("Output");
    /// Parses one.
    fn parse(text: &str) -> Result<Condition, ConditionError>;
}

/// About a run, once it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfARun;

impl Conditions for OfARun {
    const HELP: &'static str =
        "Exit with status 3 if this holds at the end, such as 'p99>50ms' (repeatable)";

    fn parse(text: &str) -> Result<Condition, ConditionError> {
        Condition::of_a_run(text)
    }
}

/// About recorded runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfRecordings;

impl Conditions for OfRecordings {
    const HELP: &'static str =
        "Exit with status 3 if this holds for the runs, such as 'p99>50ms' (repeatable)";

    fn parse(text: &str) -> Result<Condition, ConditionError> {
        Condition::of_a_run(text)
    }
}

/// About the zombies that exist now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfNow;

impl Conditions for OfNow {
    const HELP: &'static str =
        "Exit with status 3 if this holds: 'alive>10', 'oldest>1m' (repeatable)";

    fn parse(text: &str) -> Result<Condition, ConditionError> {
        Condition::of_now(text)
    }
}

/// About two runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfTwoRuns;

impl Conditions for OfTwoRuns {
    const HELP: &'static str =
        "Exit with status 3 if NEW differs from BASE by this, such as 'p99>+20%' (repeatable)";
    const HEADING: Option<&'static str> = None;

    fn parse(text: &str) -> Result<Condition, ConditionError> {
        Condition::of_two_runs(text)
    }
}
