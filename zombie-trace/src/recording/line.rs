use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, de};

use crate::{
    aggregate::{Summary, ZombieTimes},
    model::{Alive, Doing, Dying, Loss, Lost, SCHEMA, Stack, Start, Unlisted, Zombie},
};

/// A line of a recording.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Line {
    /// The run begins.
    Start(Box<Start>),
    /// A process was reaped.
    Zombie(Zombie),
    /// A zombie still existed.
    Alive(Alive),
    /// A process did not come to its end.
    Dying(Dying),
    /// Processes were reaped that a filter leaves out of the list.
    Unlisted(Unlisted),
    /// Something was lost.
    Loss(Loss),
    /// What an interval of the run was like.
    Interval(RecordedInterval),
    /// A call stack that a [`Doing`] refers to.
    Stack(Stack),
    /// What a parent did while zombies waited for it.
    Doing(Doing),
    /// The run ends.
    Summary(Box<Summary>),
}

/// What happened since the last such line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RecordedInterval {
    /// When it ended.
    pub ts: Timestamp,
    /// How long it was, in ns.
    pub duration_ns: u64,
    /// Processes that ended.
    pub exits: u64,
    /// Zombies that were reaped.
    pub reaped: u64,
    /// Processes that the kernel released at once.
    pub autoreaped: u64,
    /// Zombies at its end.
    pub alive: u64,
    /// Records that were not listed because of what was asked for.
    pub filtered: u64,
    /// What could not be reported.
    pub lost: Lost,
    /// The exact zombie times of those that were reaped.
    pub zombie_ns: ZombieTimes,
    /// The same as buckets that are not empty, ascending: from, below, how many.
    pub histogram: Vec<(u64, u64, u64)>,
}

/// What every line has.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// What says how a recording is to be read.
#[derive(Deserialize)]
struct FormatVersion {
    schema: u64,
    version: Option<String>,
}

/// No line about one process or one loss that zombie-trace writes comes near: a path of cgroups has
/// at most 4 KiB, which JSON can make 24. A summary is longer: it lists parents.
const LONGEST_RECORD: usize = 64 << 10;

/// A stack has many frames, with a few names each.
const LONGEST_STACK: usize = 4 << 20;

/// Why a line can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineError {
    /// It is longer than any that zombie-trace writes.
    TooLong,
    /// It is no JSON object, or not of the fields that its type has.
    Json,
    /// It begins a recording of another format.
    Schema { schema: u64, version: String },
}

impl From<serde_json::Error> for LineError {
    fn from(_: serde_json::Error) -> Self {
        Self::Json
    }
}

/// A line without its newline; `None` if its type is not known, as of a newer version.
pub(super) fn parse(line: &[u8]) -> Result<Option<Line>, LineError> {
    let kind = kind(line)?;
    if line.len() > longest(&kind) {
        return Err(LineError::TooLong);
    }
    Ok(Some(match &*kind {
        "zombie" => Line::Zombie(serde_json::from_slice(line)?),
        "alive" => Line::Alive(serde_json::from_slice(line)?),
        "dying" => Line::Dying(serde_json::from_slice(line)?),
        "unlisted" => Line::Unlisted(serde_json::from_slice(line)?),
        "loss" => Line::Loss(serde_json::from_slice(line)?),
        "stack" => Line::Stack(serde_json::from_slice(line)?),
        "doing" => Line::Doing(serde_json::from_slice(line)?),
        "interval" => Line::Interval(serde_json::from_slice(line)?),
        "summary" => {
            let mut summary: Box<Summary> = serde_json::from_slice(line)?;
            // While it was read, it grew to up to twice of what it takes.
            summary.by_parent.shrink_to_fit();
            Line::Summary(summary)
        }
        "start" => {
            let format: FormatVersion = serde_json::from_slice(line)?;
            if format.schema != u64::from(SCHEMA) {
                return Err(LineError::Schema {
                    schema: format.schema,
                    version: format.version.unwrap_or_else(|| "?".to_owned()),
                });
            }
            Line::Start(serde_json::from_slice(line)?)
        }
        _ => {
            serde_json::from_slice::<de::IgnoredAny>(line)?;
            return Ok(None);
        }
    }))
}

/// The bytes that a line of this type may have.
fn longest(kind: &str) -> usize {
    match kind {
        "zombie" | "alive" | "dying" | "unlisted" | "loss" | "doing" => LONGEST_RECORD,
        "stack" => LONGEST_STACK,
        _ => usize::MAX,
    }
}

/// The type of a line: zombie-trace writes it first, but it may stand anywhere.
fn kind(line: &[u8]) -> Result<Cow<'_, str>, LineError> {
    if let Some(rest) = line.strip_prefix(br#"{"type":""#) {
        let end = rest.iter().position(|byte| !byte.is_ascii_lowercase());
        if let Some(end) = end.filter(|&end| rest[end] == b'"') {
            return Ok(String::from_utf8_lossy(&rest[..end]));
        }
    }
    Ok(serde_json::from_slice::<Head>(line)?.kind)
}
