use jiff::Timestamp;
use serde::Serialize;

use super::{still::CauseSummary, timeline::Series};
use crate::{
    aggregate::{PhaseTotals, Samples, Summary},
    model::{Lost, Zombie},
};

/// All that is told.
#[derive(Debug)]
pub(crate) struct Report {
    /// Of all runs together.
    pub(crate) summary: Summary,
    /// Where the zombies' time went, if that is known of any.
    pub(crate) phases: Option<PhaseTotals>,
    /// The exact zombie times; `None` if only those of the summary are known.
    pub(crate) times: Option<Samples>,
    /// The longest first.
    pub(crate) worst: Vec<Zombie>,
    /// Why zombies are left, the most frequent first.
    pub(crate) causes: Vec<CauseSummary>,
    /// Each run from its own begin, one over the other.
    pub(crate) timeline: Series,
    /// What was read.
    pub(crate) runs: Vec<Run>,
}

/// One of the recordings.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) file: String,
    pub(crate) start: Option<Timestamp>,
    pub(crate) version: Option<String>,
    pub(crate) kernel: Option<String>,
    pub(crate) backend: Option<String>,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) duration_ns: u64,
    pub(crate) exits: u64,
    pub(crate) lost: Lost,
    /// It is whole, and nothing was lost.
    pub(crate) complete: bool,
    pub(crate) cut: Option<String>,
    pub(crate) corrupt_lines: u64,
    /// Lines that are not there, though the summary counts what they are about.
    pub(crate) missing_lines: u64,
    pub(crate) times_from: TimesFrom,
    #[serde(skip)]
    pub(crate) remarks: String,
}

/// From which lines of a run the zombie times are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TimesFrom {
    /// From each zombie's.
    Zombies,
    /// From those of intervals.
    Intervals,
    /// From the summary alone.
    Summary,
}
