use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};

use crate::{
    aggregate::{Summary, ZombieTimes},
    model::{Alive, Lost, SCHEMA, Zombie},
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
    Interval(RecordedInterval),
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
    /// The traced command, if there was one; cut where it is very long.
    #[serde(default, deserialize_with = "short_command")]
    pub command: Option<Vec<String>>,
}

/// A command is kept up to this many bytes: an argument alone can be 128 KiB.
const LONGEST_COMMAND: usize = 64 << 10;

/// Keeps the first [`LONGEST_COMMAND`] bytes, and `…` for the rest.
fn short_command<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    struct Arguments;

    impl<'de> de::Visitor<'de> for Arguments {
        type Value = Option<Vec<String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of arguments or null")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut arguments = Vec::new();
            let mut room = LONGEST_COMMAND;
            while let Some(argument) = seq.next_element::<Cow<'_, str>>()? {
                // An empty one takes memory, too.
                let size = argument.len() + size_of::<String>();
                if size <= room {
                    room -= size;
                    arguments.push(argument.into_owned());
                } else if room > 0 {
                    room = 0;
                    arguments.push("…".to_owned());
                }
            }
            Ok(Some(arguments))
        }
    }

    deserializer.deserialize_any(Arguments)
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
struct FormatVersion {
    schema: u64,
    version: Option<String>,
}

/// No line about one process or one loss that zombie-trace writes comes near: a path of cgroups has
/// at most 4 KiB, which JSON can make 24. A summary is longer: it lists parents.
const LONGEST_RECORD: usize = 64 << 10;

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
    if line.len() > LONGEST_RECORD && matches!(&*kind, "zombie" | "alive" | "loss") {
        return Err(LineError::TooLong);
    }
    Ok(Some(match &*kind {
        "zombie" => Line::Zombie(serde_json::from_slice(line)?),
        "alive" => Line::Alive(serde_json::from_slice(line)?),
        "loss" => Line::Loss(serde_json::from_slice(line)?),
        "interval" => Line::Interval(serde_json::from_slice(line)?),
        "summary" => Line::Summary(serde_json::from_slice(line)?),
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
