use std::sync::Arc;

use zombie_trace_common::{HostName, NewCgroup, Record};

use super::{CgroupPaths, host_names::HostNames};
use crate::{container::Container, model::Place};

/// Finds out where processes ran, by what records tell of them.
#[derive(Debug)]
pub struct Places {
    cgroups: CgroupPaths,
    host_names: HostNames,
}

impl Places {
    /// Of the containers that there are now it knows the paths.
    pub fn new() -> Self {
        let mut cgroups = CgroupPaths::new();
        cgroups.add_containers();
        Self {
            cgroups,
            host_names: HostNames::new(),
        }
    }

    /// The kernel side tells of a host name.
    pub fn name_host(&mut self, host: &HostName) {
        let cgroup = self.cgroups.find(host.cgroup_id);
        let cgroup = cgroup.map_or_else(|| "".into(), |known| Arc::clone(&known.path));
        self.host_names.add(host, cgroup);
    }

    /// The kernel side tells of a cgroup that was made.
    pub fn add_cgroup(&mut self, cgroup: &NewCgroup) {
        let path = cgroup.path.split(|&byte| byte == 0).next();
        if let Ok(path) = str::from_utf8(path.unwrap_or_default()) {
            self.cgroups.add_new(cgroup.id, path);
        }
    }

    /// Where a process ran.
    pub fn of(&mut self, record: &Record) -> Place {
        let (cgroup, mut container) = match self.cgroups.find(record.cgroup_id) {
            Some(known) => (Some(Arc::clone(&known.path)), known.container.clone()),
            None => (None, None),
        };
        if let Some((name, own)) = self.host_names.find(record.host_name)
            && (own || container.is_some())
        {
            container.get_or_insert_default().hostname = Some(name);
        }
        let mut container_of = |id: u64| match (&container, id) {
            (_, 0) => None,
            // Nearly always.
            (Some(own), id) if id == record.cgroup_id => own.id.clone(),
            (_, id) => self.cgroups.find(id)?.container.as_ref()?.id.clone(),
        };
        let parent_container = container_of(record.parent_cgroup_id);
        // Of a reap that is seen late only who it was is known.
        let reaper_container = match record.reaper_cgroup_id {
            0 if record.reaper_pid == record.ppid => parent_container.clone(),
            id => container_of(id),
        };
        Place {
            cgroup,
            container,
            parent_container,
            reaper_container,
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::new()
    }
}

/// A process that /proc tells of; its UTS namespace is gone with the process.
pub(crate) fn of_path(cgroup: Option<&str>) -> Place {
    Place {
        cgroup: cgroup.map(Into::into),
        container: cgroup.and_then(Container::of_path),
        ..Place::default()
    }
}
