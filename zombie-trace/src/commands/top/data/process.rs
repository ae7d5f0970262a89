//! What /proc says about a process that leaves zombies, and about its ancestors.

use foldhash::HashMap;

use crate::model::Comm;

/// Deeper trees are cut: a wrong one could go on without end.
const DEEPEST: usize = 64;

/// The row's process, in words; escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessText {
    pub(crate) pid: u32,
    /// What it does with SIGCHLD, and which threads block it.
    pub(crate) sigchld: String,
    /// What its threads do, the most telling first.
    pub(crate) threads: Vec<String>,
    /// Its ancestors, the next first.
    pub(crate) ancestors: Vec<String>,
}

/// Parents and names of processes, by pid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lineage(HashMap<u32, (u32, Comm)>);

impl Lineage {
    /// Takes in a process and its ancestors, the next first.
    pub(crate) fn add(&mut self, line: &[(u32, Comm)]) {
        for (at, (pid, comm)) in line.iter().enumerate() {
            let parent = line.get(at + 1).map_or(0, |(parent, _)| *parent);
            self.0.insert(*pid, (parent, *comm));
        }
    }

    pub(crate) fn comm(&self, pid: u32) -> Option<Comm> {
        self.0.get(&pid).map(|(_, comm)| *comm)
    }

    /// The ancestors of a process, the next first.
    pub(crate) fn of(&self, pid: u32) -> impl Iterator<Item = u32> + '_ {
        let parent = |pid: &u32| {
            let (parent, _) = self.0.get(pid)?;
            (*parent != 0).then_some(*parent)
        };
        std::iter::successors(parent(&pid), move |pid| parent(pid)).take(DEEPEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_are_found_and_a_circle_ends() {
        let mut lineage = Lineage::default();
        lineage.add(&[(7, "sh".into()), (3, "sshd".into()), (1, "init".into())]);
        lineage.add(&[(8, "node".into()), (3, "sshd".into()), (1, "init".into())]);
        assert_eq!(lineage.of(8).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(lineage.comm(3), Some("sshd".into()));
        assert_eq!(lineage.of(99).count(), 0);
        lineage.add(&[
            (1, "x".into()),
            (8, "y".into()),
            (3, "z".into()),
            (1, "x".into()),
        ]);
        assert!(lineage.of(8).count() <= DEEPEST);
    }
}
