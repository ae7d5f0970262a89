use std::collections::HashMap;

use super::{Overdue, TaskId};

/// Follows the processes that have begun to end and have not: since when, and which are to be reported.
/// Most are gone at the next look.
#[derive(Clone, Debug)]
pub struct Unended {
    /// When each was seen first (monotonic, ns).
    first: HashMap<TaskId, u64>,
    overdue: Overdue,
}

impl Unended {
    /// The first report of one comes when it has taken `after_ns`, and again each time that this has
    /// doubled.
    pub fn new(after_ns: u64) -> Self {
        Self {
            first: HashMap::new(),
            overdue: Overdue::new(after_ns),
        }
    }

    /// A look at all of them, each with the time since which it is known to be one, if that is known;
    /// those that are not among them any more are forgotten. Gives how long each has taken at least, in
    /// ns, in the order of `seen`.
    pub fn look(
        &mut self,
        now: u64,
        seen: impl IntoIterator<Item = (TaskId, Option<u64>)>,
    ) -> Vec<(TaskId, u64)> {
        let before = std::mem::take(&mut self.first);
        let mut ages = Vec::new();
        for (id, since) in seen {
            let first = before.get(&id).copied().unwrap_or(now);
            let first = since.map_or(first, |since| since.min(first));
            self.first.insert(id, first);
            ages.push((id, now.saturating_sub(first)));
        }
        ages
    }

    /// Which of those that the last look found are due.
    pub fn due(&mut self, ages: &[(TaskId, u64)]) -> Vec<TaskId> {
        self.overdue.due(ages.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TaskId = (1, 10);
    const OTHER: TaskId = (2, 10);

    #[test]
    fn age_counts_from_the_first_look_or_what_is_known() {
        let mut unended = Unended::new(10);
        let look = |unended: &mut Unended, now, seen: &[(TaskId, Option<u64>)]| {
            unended.look(now, seen.iter().copied())
        };
        assert_eq!(look(&mut unended, 100, &[(ONE, None)]), [(ONE, 0)]);
        assert_eq!(
            look(&mut unended, 112, &[(ONE, None), (OTHER, Some(105))]),
            [(ONE, 12), (OTHER, 7)]
        );
        assert_eq!(look(&mut unended, 120, &[(ONE, Some(90))]), [(ONE, 30)]);
        // It was gone for a look: what has that id now is new.
        assert_eq!(look(&mut unended, 130, &[(OTHER, None)]), [(OTHER, 0)]);
    }

    #[test]
    fn each_is_due_once_and_at_each_doubling() {
        let mut unended = Unended::new(10);
        let mut due = Vec::new();
        for now in 0..50 {
            let ages = unended.look(now, [(ONE, None)]);
            due.extend(unended.due(&ages).iter().map(|_| now));
        }
        assert_eq!(due, [10, 20, 40]);
    }
}
