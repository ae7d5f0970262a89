//! Why zombies lingered, until they are gone.

use std::collections::HashMap;

use crate::{lifecycle::TaskId, model::Diagnosis};

/// What a look at a zombie has found, about the parent that it had then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) diagnosis: Diagnosis,
    pub(super) foreign: Option<bool>,
    pub(super) watched_ns: Option<u64>,
}

/// What the last look at each zombie has found.
///
/// The record of a zombie's end takes its finding out. A record can be lost: a zombie that two looks
/// in a row do not find is forgotten, too.
#[derive(Debug, Default)]
pub(super) struct KeptFindings(HashMap<TaskId, Entry>);

#[derive(Debug)]
struct Entry {
    finding: Finding,
    /// The last look did not find the zombie.
    is_missing: bool,
}

impl KeptFindings {
    pub(super) fn get(&self, id: &TaskId) -> Option<&Finding> {
        self.0.get(id).map(|entry| &entry.finding)
    }

    pub(super) fn insert(&mut self, id: TaskId, finding: Finding) {
        let entry = Entry {
            finding,
            is_missing: false,
        };
        self.0.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: &TaskId) -> Option<Finding> {
        self.0.remove(id).map(|entry| entry.finding)
    }

    /// A look at all zombies has found these. A zombie that has just ended can be missing before its
    /// record arrives.
    pub(super) fn forget_all_but(&mut self, zombies: impl IntoIterator<Item = TaskId>) {
        let mut still_missing = std::mem::take(&mut self.0);
        for id in zombies {
            if let Some(entry) = still_missing.remove(&id) {
                self.insert(id, entry.finding);
            }
        }
        still_missing.retain(|_, entry| !std::mem::replace(&mut entry.is_missing, true));
        self.0.extend(still_missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cause;

    const ONE: TaskId = (1, 10);
    const OTHER: TaskId = (2, 10);

    fn finding() -> Finding {
        Finding {
            diagnosis: Diagnosis {
                cause: Cause::NeverWaits,
                finding: "it sleeps".into(),
                advice: None,
                runtime: None,
                looked_at: None,
                watched_ns: None,
            },
            foreign: Some(false),
            watched_ns: None,
        }
    }

    #[test]
    fn a_record_takes_its_finding() {
        let mut found = KeptFindings::default();
        found.insert(ONE, finding());
        // The zombie is gone, and its record is on its way.
        found.forget_all_but([]);
        assert_eq!(found.remove(&ONE), Some(finding()));
        assert_eq!(found.remove(&ONE), None);
    }

    #[test]
    fn what_loses_its_record_is_forgotten() {
        let mut found = KeptFindings::default();
        for number in 0..10_000 {
            found.insert((number, 0), finding());
            found.forget_all_but([ONE, OTHER]);
            assert!(found.0.len() <= 4, "{}", found.0.len());
        }
        found.insert(ONE, finding());
        for _ in 0..10 {
            // Missing now and then, but not twice in a row.
            found.forget_all_but([ONE]);
            found.forget_all_but([OTHER]);
        }
        assert_eq!(found.get(&ONE), Some(&finding()));
        assert_eq!(found.0.len(), 1);
    }
}
