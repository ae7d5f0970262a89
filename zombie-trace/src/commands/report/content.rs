use jiff::Timestamp;
use serde::Serialize;

use super::{
    dots::Dot, lanes::Lanes, timeline::TimelineSeries, unended::UnendedOfRuns, worst::Long,
};
use crate::{
    aggregate::{Breakdown, Samples, Summary, WhatParentsDid},
    gate::Judged,
    model::Lost,
};

/// Everything that a report shows.
#[derive(Debug)]
pub(crate) struct Report {
    /// Of all runs together.
    pub(crate) summary: Summary,
    /// What a zombie time is exact to, in ns.
    pub(crate) error_ns: u64,
    /// Where the zombie time went; `None` if there was none.
    pub(crate) breakdown: Option<Breakdown>,
    /// The exact zombie times; `None` if only those of the summary are known.
    pub(crate) times: Option<Samples>,
    /// Which processes are listed one by one; `None` for all.
    pub(crate) conditions: Option<String>,
    /// The longest first.
    pub(crate) worst: Vec<Long>,
    /// What became of the conditions.
    pub(crate) gates: Vec<Judged>,
    /// Each run from its own start, one over the other.
    pub(crate) timeline: TimelineSeries,
    /// Zombie time over time, by the rows of the tables.
    pub(crate) lanes: Lanes,
    /// Single zombies.
    pub(crate) dots: Vec<Dot>,
    /// Processes that did not come to their end.
    pub(crate) unended: UnendedOfRuns,
    /// What parents did while zombies waited for them.
    pub(crate) did: WhatParentsDid,
    /// What was read.
    pub(crate) runs: Vec<ReportedRun>,
}

/// One of the recordings.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportedRun {
    pub(crate) file: String,
    pub(crate) start: Option<Timestamp>,
    pub(crate) version: Option<String>,
    pub(crate) kernel: Option<String>,
    pub(crate) backend: Option<String>,
    pub(crate) command: Option<Vec<String>>,
    /// The command line of the tracer.
    pub(crate) args: Option<Vec<String>>,
    pub(crate) host: Option<String>,
    pub(crate) duration_ns: u64,
    pub(crate) exits: u64,
    pub(crate) reaped: u64,
    pub(crate) lost: Lost,
    /// It is whole, and nothing was lost.
    pub(crate) complete: bool,
    pub(crate) cut: Option<String>,
    pub(crate) corrupt_lines: u64,
    /// Lines that are not there, though the summary counts what they are about.
    pub(crate) missing_lines: u64,
    pub(crate) times_from: TimesFrom,
    /// Zombies that the recording lists.
    pub(crate) listed: u64,
    /// A filter kept some zombies from being listed.
    pub(crate) is_filtered: bool,
    /// The recording goes up to the end of the run.
    #[serde(skip)]
    pub(crate) has_summary: bool,
    #[serde(skip)]
    pub(crate) remarks: String,
}

/// Which lines of a recording the zombie times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TimesFrom {
    /// The line of each zombie.
    Zombies,
    /// The lines of intervals.
    Intervals,
    /// The summary, which also counts the zombies that are not listed.
    Summary,
}
