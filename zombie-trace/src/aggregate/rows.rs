//! The rows of a summary's tables.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::group::GroupSummary;
use crate::{
    container::Container,
    model::{Cause, Comm},
};

/// The children of one parent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ParentSummary {
    /// The parent, in the tracer's pid namespace; `None` for those that are not kept apart.
    pub ppid: Option<u32>,
    /// Its command name.
    pub comm: Option<Comm>,
    /// Its command line, from `/proc/PID/cmdline`; `None` if it was gone before it could be read.
    #[serde(default)]
    pub cmdline: Option<Arc<str>>,
    /// Where its code was for most of the sampled zombie time, in plain words; `None` without samples, or if
    /// no place has as much as half of it.
    #[serde(default)]
    pub place: Option<Arc<str>>,
    /// What they have in common.
    #[serde(flatten)]
    pub group: GroupSummary,
}

/// The processes of one command name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommSummary {
    /// The name; `None` for those that are not kept apart.
    pub comm: Option<Comm>,
    /// What they have in common.
    #[serde(flatten)]
    pub group: GroupSummary,
}

/// The processes of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContainerSummary {
    /// The container; all of it `None` for those that are not kept apart.
    #[serde(flatten)]
    pub container: Container,
    /// What they have in common.
    #[serde(flatten)]
    pub group: GroupSummary,
}

/// The zombies that lingered for one cause. The `cause` of the group is `None` for those that nobody
/// looked at, because they were reaped soon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CauseSummary {
    /// What they have in common.
    #[serde(flatten)]
    pub group: GroupSummary,
}

/// Puts the rows with the most zombie time first.
pub fn worst_first<R: Row>(rows: &mut [R]) {
    rows.sort_by(|one, other| {
        let ranks = one.group().rank().cmp(&other.group().rank());
        ranks.then_with(|| one.key().cmp(&other.key()))
    });
}

/// A row of a table that is ranked.
pub trait Row {
    /// Its figures.
    fn group(&self) -> &GroupSummary;
    /// What rows of the same rank are sorted by.
    fn key(&self) -> impl Ord;
}

impl Row for ParentSummary {
    fn group(&self) -> &GroupSummary {
        &self.group
    }

    fn key(&self) -> impl Ord {
        (self.ppid, self.comm)
    }
}

impl Row for CommSummary {
    fn group(&self) -> &GroupSummary {
        &self.group
    }

    fn key(&self) -> impl Ord {
        self.comm
    }
}

impl Row for ContainerSummary {
    fn group(&self) -> &GroupSummary {
        &self.group
    }

    fn key(&self) -> impl Ord {
        self.container.clone()
    }
}

impl Row for CauseSummary {
    fn group(&self) -> &GroupSummary {
        &self.group
    }

    fn key(&self) -> impl Ord {
        self.group.cause.map(Cause::code)
    }
}
