//! The summary of a recorded run: it counts what no line lists.

use std::sync::Arc;

use foldhash::HashMap;

use crate::{
    aggregate::{GroupSummary, ParentKey, Summary, ZombieTimes},
    model::{Comm, Counts},
};

/// The figures of a run that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) parents: HashMap<ParentKey, GroupSummary>,
    pub(crate) commands: HashMap<Comm, GroupSummary>,
    /// By what tells a container from every other.
    pub(crate) containers: HashMap<Arc<str>, GroupSummary>,
    pub(crate) counts: Counts,
    /// The exact zombie times.
    pub(crate) times: ZombieTimes,
    /// Living zombies, pre-existing ones too; `None` if the summary has no commands.
    pub(crate) alive: Option<u64>,
    /// The age of the oldest of them.
    pub(crate) oldest: Option<u64>,
}

impl From<&Summary> for Settled {
    fn from(summary: &Summary) -> Self {
        let parents = summary.by_parent.iter();
        let parents = parents.map(|row| ((row.ppid, row.comm), row.group.clone()));
        let commands = summary.by_comm.iter();
        let commands = commands.filter_map(|row| Some((row.comm?, row.group.clone())));
        let containers = summary.by_container.iter();
        let containers = containers.map(|row| (row.container.key(), row.group.clone()));
        let alive = summary.by_comm.iter().map(|row| row.group.alive);
        Self {
            parents: parents.collect(),
            commands: commands.collect(),
            containers: containers.collect(),
            counts: summary.counts,
            times: summary.zombie_ns,
            alive: (!summary.by_comm.is_empty()).then(|| alive.fold(0, u64::saturating_add)),
            oldest: summary.oldest_ns,
        }
    }
}
