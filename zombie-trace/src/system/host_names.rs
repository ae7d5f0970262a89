use std::{os::unix::fs::MetadataExt as _, sync::Arc};

use foldhash::HashMap;
use zombie_trace_common::HostName;

use crate::system::crowd;

/// The host names that the kernel side has told of, by the ids that its records refer to them by.
#[derive(Debug, Default)]
pub(super) struct HostNames {
    known: HashMap<u64, Known>,
    /// How often one was asked for.
    uses: u64,
    /// The machine's own, if it is known.
    machine: Option<String>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    /// The path of a cgroup that has it; empty if that is not known.
    cgroup: Arc<str>,
    last_use: u64,
}

impl HostNames {
    /// As many are remembered at the most.
    const MAX_KNOWN: usize = 16_384;

    pub(super) fn new() -> Self {
        /// The initial UTS namespace's inode number (`PROC_UTS_INIT_INO`, include/linux/proc_ns.h).
        const INITIAL: u64 = 0xeffffffe;
        let own = std::fs::metadata("/proc/self/ns/uts");
        let initial = own.is_ok_and(|namespace| namespace.ino() == INITIAL);
        let machine = initial.then(nix::unistd::gethostname).and_then(Result::ok);
        Self {
            machine: machine.map(|name| name.to_string_lossy().into_owned()),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, host: &HostName, cgroup: Arc<str>) {
        if self.known.len() >= Self::MAX_KNOWN {
            self.make_room();
        }
        self.uses += 1;
        let name = host.name.split(|&byte| byte == 0).next();
        let known = Known {
            name: String::from_utf8_lossy(name.unwrap_or_default()).into(),
            cgroup,
            last_use: self.uses,
        };
        self.known.insert(host.id, known);
    }

    /// The name, and whether it is another than the machine's: a service can have a UTS namespace
    /// without a name of its own (`ProtectHostname=`, systemd.exec(5)).
    pub(super) fn find(&mut self, id: u64) -> Option<(Arc<str>, bool)> {
        self.uses += 1;
        let known = self.known.get_mut(&id)?;
        known.last_use = self.uses;
        let own = self.machine.as_deref() != Some(&*known.name);
        Some((Arc::clone(&known.name), own))
    }

    /// The kernel side does not send a name again that it believes known: those in use stay, and those
    /// of whoever has not made the most of them.
    fn make_room(&mut self) {
        let paths = self.known.values().map(|known| &*known.cgroup);
        let (crowded, _) = crowd::largest(paths, Self::MAX_KNOWN / 8);
        let in_crowd = |known: &Known| crowd::is_within(&known.cgroup, crowded);
        let in_crowd = self.known.iter().filter(|(_, known)| in_crowd(known));
        let mut candidates: Vec<_> = in_crowd.map(|(id, known)| (known.last_use, *id)).collect();
        candidates.sort_unstable();
        candidates.truncate(candidates.len().div_ceil(2));
        for (_, id) in candidates {
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: u64, text: &str) -> HostName {
        let mut name = [0; 64];
        name[..text.len()].copy_from_slice(text.as_bytes());
        HostName {
            id,
            cgroup_id: 0,
            name,
        }
    }

    #[test]
    fn a_name_of_its_own_is_another_than_the_machines() {
        let mut names = HostNames {
            machine: Some("node-1".into()),
            ..HostNames::default()
        };
        names.add(&host(1, "web"), "".into());
        names.add(&host(2, "node-1"), "".into());
        names.add(&host(3, &"x".repeat(64)), "".into());
        assert_eq!(names.find(1), Some(("web".into(), true)));
        assert_eq!(names.find(2), Some(("node-1".into(), false)));
        assert_eq!(names.find(3).unwrap().0.len(), 64);
        assert_eq!(names.find(4), None);
    }

    #[test]
    fn those_in_use_are_remembered() {
        let mut names = HostNames::default();
        for id in 1..=3 * HostNames::MAX_KNOWN as u64 {
            names.add(&host(id, "web"), "".into());
            assert!(names.find(1).is_some(), "{id}");
        }
        assert!(names.known.len() <= HostNames::MAX_KNOWN);
    }

    #[test]
    fn a_flood_pushes_out_nobody_elses() {
        let mut names = HostNames::default();
        for id in 1..=10 {
            names.add(&host(id, "web"), format!("/system/docker-{id}").into());
        }
        for id in 11..=5 * HostNames::MAX_KNOWN as u64 {
            names.add(
                &host(id, "flood"),
                format!("/user/mallory/{}", id % 99).into(),
            );
        }
        assert!((1..=10).all(|id| names.find(id).is_some()));
        assert!(names.known.len() <= HostNames::MAX_KNOWN);
    }
}
