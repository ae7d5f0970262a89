use std::cmp::Reverse;

use serde::Serialize;

use super::{ParentSummary, PhaseTotals, groups::Groups};
use crate::model::{Comm, Zombie};

/// The listed processes of a run by their own command name.
///
/// Zombies that were there when the run began are in none of it.
#[derive(Debug)]
pub struct ByComm(Groups<Option<Comm>>);

/// The listed processes of one name; those of names that are not kept apart have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommSummary {
    /// The name.
    pub comm: Option<Comm>,
    /// Zombies that were reaped.
    pub reaped: u64,
    /// Processes that the kernel released at once.
    pub autoreaped: u64,
    /// The median of the zombie times, to two digits where there are many.
    pub p50_ns: Option<u64>,
    /// What 99 % of them do not exceed, to two digits where there are many.
    pub p99_ns: Option<u64>,
    /// The longest, exact.
    pub max_ns: Option<u64>,
    /// Their sum, exact.
    pub total_ns: u64,
    /// Where that time went, of the zombies whose phases are known; `None` if there is none.
    pub phases: Option<PhaseTotals>,
}

impl Default for ByComm {
    fn default() -> Self {
        Self(Groups::new(None))
    }
}

impl ByComm {
    /// Takes in a listed process that is gone.
    pub fn zombie(&mut self, zombie: &Zombie) {
        if zombie.pre_existing() {
            return;
        }
        let key = Some(zombie.comm);
        if zombie.autoreaped() {
            self.0.get(key).autoreaped += 1;
            return;
        }
        let group = self.0.record(key, zombie.zombie_ns);
        group.phases(zombie.phases.as_ref());
    }

    /// Each name, the largest total first.
    pub fn summary(&self) -> Vec<CommSummary> {
        let summaries = self.0.iter().map(|(comm, group)| {
            let ParentSummary {
                reaped,
                autoreaped,
                p50_ns,
                p99_ns,
                max_ns,
                total_ns,
                phases,
                ..
            } = group.summary(None, None);
            CommSummary {
                comm,
                reaped,
                autoreaped,
                p50_ns,
                p99_ns,
                max_ns,
                total_ns,
                phases,
            }
        });
        let mut summaries: Vec<_> = summaries.collect();
        summaries.sort_by_key(|name| (Reverse((name.total_ns, name.reaped)), name.comm));
        summaries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Flag, How, fixtures::zombie};

    #[test]
    fn names_by_total() {
        let mut by_comm = ByComm::default();
        for (comm, zombie_ns) in [("a", 10), ("b", 7), ("b", 8)] {
            by_comm.zombie(&Zombie {
                comm: comm.into(),
                zombie_ns,
                ..zombie()
            });
        }
        by_comm.zombie(&Zombie {
            comm: "c".into(),
            how: How::Autoreap,
            zombie_ns: 0,
            ..zombie()
        });
        by_comm.zombie(&Zombie {
            flags: vec![Flag::PreExisting],
            ..zombie()
        });
        let names: Vec<_> = by_comm
            .summary()
            .into_iter()
            .map(|name| (name.comm, name.reaped, name.autoreaped, name.total_ns))
            .collect();
        assert_eq!(
            names,
            [
                (Some("b".into()), 2, 0, 15),
                (Some("a".into()), 1, 0, 10),
                (Some("c".into()), 0, 1, 0)
            ]
        );
    }
}
