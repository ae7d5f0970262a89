use std::sync::Arc;

use crate::container::Container;

/// Where a process, its parent and its reaper ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The path of the process's cgroup v2.
    pub cgroup: Option<Arc<str>>,
    /// Its container.
    pub container: Option<Container>,
    /// The id of its parent's container.
    pub parent_container: Option<Arc<str>>,
    /// The id of its reaper's container.
    pub reaper_container: Option<Arc<str>>,
}
