use crate::{container::ContainerQuery, system::Cgroup};

/// Which processes a run is about, as the kernel side decides it. What is set must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelScope {
    /// Only these processes.
    pub pids: Vec<u32>,
    /// Only children of these.
    pub ppids: Vec<u32>,
    /// Only descendants of this one, itself left out.
    pub tree: Option<u32>,
    /// Only processes in this cgroup v2 or below it.
    pub cgroup: Option<Cgroup>,
    /// Only processes in one of these containers, or in one that is nested in it.
    pub containers: Vec<ContainerQuery>,
}
