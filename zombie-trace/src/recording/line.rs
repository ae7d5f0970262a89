use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use super::SCHEMA;
use crate::{
    aggregate::{Lost, Summary, ZombieTimes},
    lifecycle::{Alive, Zombie},
};

/// A line of a recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The run begins.
    Start(Box<Start>),
    /// A process was reaped.
    Zombie(Zombie),
    /// A zombie still existed.
    Alive(Alive),
    /// Something was lost.
    Loss(Loss),
    /// What an interval of the run was like.
    Interval(Interval),
    /// The run ends.
    Summary(Box<Summary>),
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Start {
    /// When every hook was live.
    pub ts: Timestamp,
    /// The version of the program.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// The backend's name.
    pub backend: String,
    /// The tracer's own pid.
    pub tracer_pid: u32,
    /// The traced command, if there was one.
    pub command: Option<Vec<String>>,
}

/// What was lost since the last such line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Loss {
    /// When it was noticed.
    pub ts: Timestamp,
    /// The counts.
    #[serde(flatten)]
    pub lost: Lost,
}

/// What happened since the last such line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Interval {
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
    /// The zombie times of those that were listed.
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
struct Format {
    schema: u64,
    version: Option<String>,
}

/// Why a line can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineError {
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
    Ok(Some(match &*kind(line)? {
        "zombie" => Line::Zombie(serde_json::from_slice(line)?),
        "alive" => Line::Alive(serde_json::from_slice(line)?),
        "loss" => Line::Loss(serde_json::from_slice(line)?),
        "interval" => Line::Interval(serde_json::from_slice(line)?),
        "summary" => Line::Summary(serde_json::from_slice(line)?),
        "start" => {
            let format: Format = serde_json::from_slice(line)?;
            if format.schema != u64::from(SCHEMA) {
                return Err(LineError::Schema {
                    schema: format.schema,
                    version: format.version.unwrap_or_else(|| "?".to_owned()),
                });
            }
            Line::Start(serde_json::from_slice(line)?)
        }
        _ => {
            serde_json::from_slice::<serde::de::IgnoredAny>(line)?;
            return Ok(None);
        }
    }))
}

/// The type of a line, which is at its begin as we write it, but need not be.
fn kind(line: &[u8]) -> Result<Cow<'_, str>, LineError> {
    if let Some(rest) = line.strip_prefix(br#"{"type":""#) {
        let end = rest.iter().position(|byte| !byte.is_ascii_lowercase());
        if let Some(end) = end.filter(|&end| rest[end] == b'"') {
            return Ok(String::from_utf8_lossy(&rest[..end]));
        }
    }
    Ok(serde_json::from_slice::<Head>(line)?.kind)
}
