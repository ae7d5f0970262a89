use std::{os::unix::fs::MetadataExt as _, sync::Arc};

use foldhash::HashMap;
use zombie_trace_common::HostName;

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

    pub(super) fn add(&mut self, host: &HostName) {
        if self.known.len() >= Self::MAX_KNOWN {
            self.forget_half();
        }
        let name = host.name.split(|&byte| byte == 0).next();
        let known = Known {
            name: String::from_utf8_lossy(name.unwrap_or_default()).into(),
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

    /// The kernel side does not tell again of a name that it believes known: those in use stay.
    fn forget_half(&mut self) {
        let mut uses: Vec<u64> = self.known.values().map(|known| known.last_use).collect();
        uses.sort_unstable();
        let middle = uses[uses.len() / 2];
        self.known.retain(|_, known| known.last_use > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: u64, text: &str) -> HostName {
        let mut name = [0; 64];
        name[..text.len()].copy_from_slice(text.as_bytes());
        HostName { id, name }
    }

    #[test]
    fn a_name_of_its_own_is_another_than_the_machines() {
        let mut names = HostNames {
            machine: Some("node-1".into()),
            ..HostNames::default()
        };
        names.add(&host(1, "web"));
        names.add(&host(2, "node-1"));
        names.add(&host(3, &"x".repeat(64)));
        assert_eq!(names.find(1), Some(("web".into(), true)));
        assert_eq!(names.find(2), Some(("node-1".into(), false)));
        assert_eq!(names.find(3).unwrap().0.len(), 64);
        assert_eq!(names.find(4), None);
    }

    #[test]
    fn those_in_use_are_remembered() {
        let mut names = HostNames::default();
        for id in 1..=3 * HostNames::MAX_KNOWN as u64 {
            names.add(&host(id, "web"));
            assert!(names.find(1).is_some(), "{id}");
        }
        assert!(names.known.len() <= HostNames::MAX_KNOWN);
    }
}
