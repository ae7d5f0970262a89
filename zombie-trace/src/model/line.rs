use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Comm, Lost};

/// The beginning of a run: the JSON object `start` but for its `type`, `ts` and `schema`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Start {
    /// When every hook was live.
    #[serde(skip_serializing)]
    pub ts: Timestamp,
    /// The program's version.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// The backend's name.
    pub backend: String,
    /// The tracer's own pid.
    pub tracer_pid: u32,
    /// The machine's host name (uname(2)).
    #[serde(default)]
    pub host: Option<String>,
    /// Tells this boot of the machine from every other (`/proc/sys/kernel/random/boot_id`).
    #[serde(default)]
    pub boot_id: Option<String>,
    /// The number of CPUs that are online.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// No pid is as large (`/proc/sys/kernel/pid_max`).
    #[serde(default)]
    pub pid_max: Option<u32>,
    /// The command line as it was given, the program's name first; cut where it is very long.
    #[serde(default, deserialize_with = "short_list")]
    pub args: Option<Vec<String>>,
    /// The traced command, if there is one; cut where it is very long.
    #[serde(default, deserialize_with = "short_list")]
    pub command: Option<Vec<String>>,
    /// Which processes the run is about.
    #[serde(default)]
    pub scope: Option<ScopeLine>,
    /// Which of them are listed.
    #[serde(default)]
    pub filter: Option<FilterLine>,
}

/// Which processes a run is about: what is asked for by different fields must hold together; what is
/// empty or `None` asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScopeLine {
    /// `--pid`.
    pub pid: Vec<u32>,
    /// `--ppid`.
    pub ppid: Vec<u32>,
    /// `--tree`.
    pub tree: Option<u32>,
    /// `--cgroup`, as it was given.
    pub cgroup: Option<String>,
    /// `--container`.
    pub container: Vec<String>,
    /// The run is about the command and its descendants.
    pub command: bool,
}

/// Which of the processes in scope are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FilterLine {
    /// `--min`, in ns; 0 lists zombies of any length.
    pub min_ns: u64,
    /// `--comm`.
    pub comm: Vec<String>,
    /// `--parent-comm`.
    pub parent_comm: Vec<String>,
    /// `--failed`.
    pub failed: bool,
    /// `--all`: autoreaped processes, too.
    pub all: bool,
    /// `--filter`, as it was given.
    #[serde(default)]
    pub conditions: Option<String>,
}

impl FilterLine {
    /// Whether zombies can be left out of the list.
    pub fn leaves_out_zombies(&self) -> bool {
        self.min_ns > 0
            || !self.comm.is_empty()
            || !self.parent_comm.is_empty()
            || self.failed
            || self.conditions.is_some()
    }
}

/// Zombies that a filter leaves out of the list, as little as percentiles need of them: the JSON object
/// `unlisted` but for its `type` and `ts`. Those whose time is not exact are in none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unlisted {
    /// When the last of them was reaped.
    #[serde(skip_serializing)]
    pub ts: Timestamp,
    /// Their parents.
    pub parents: Vec<UnlistedParent>,
    /// In the order in which they were reaped: how long before `ts`, in ns; the index of the parent;
    /// the zombie time, in ns.
    pub zombies: Vec<(u64, usize, u64)>,
}

/// A parent of zombies that are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnlistedParent {
    /// Its pid; `None` if it is not known.
    pub ppid: Option<u32>,
    /// Its command name.
    pub comm: Option<Comm>,
}

/// What was lost since the last such report: the JSON object `loss` but for its `type` and `ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Loss {
    /// When it was noticed.
    #[serde(skip_serializing)]
    pub ts: Timestamp,
    /// The counts.
    #[serde(flatten)]
    pub lost: Lost,
}

/// A process that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its pid.
    pub pid: u32,
    /// Its command name.
    pub comm: Comm,
}

/// A command line is kept up to this many bytes: an argument alone can be 128 KiB.
const LONGEST_COMMAND: usize = 64 << 10;

/// Keeps the first [`LONGEST_COMMAND`] bytes, and `…` for the rest.
fn short_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
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
