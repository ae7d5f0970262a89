use std::collections::HashMap;

/// Tells which living zombies are to be reported: each when it passes an age, and again each time
/// that its age has doubled since.
#[derive(Clone, Debug)]
pub struct Overdue {
    after_ns: u64,
    /// The age of the next report, by identity of the task; only of what has been reported.
    next: HashMap<TaskId, u64>,
}

/// The address of a task and its `start_boottime`: no two tasks share both.
pub type TaskId = (u64, u64);

impl Overdue {
    /// The first report is at the age `after_ns`.
    pub fn new(after_ns: u64) -> Self {
        Self {
            after_ns: after_ns.max(1),
            next: HashMap::new(),
        }
    }

    /// Which of the zombies that exist, each with its age in ns, are due; those that are not among
    /// them any more are forgotten.
    pub fn due(&mut self, zombies: impl IntoIterator<Item = (TaskId, u64)>) -> Vec<TaskId> {
        let mut next = HashMap::new();
        let mut due = Vec::new();
        for (id, age) in zombies {
            let mut limit = self.next.get(&id).copied().unwrap_or(self.after_ns);
            if age >= limit {
                due.push(id);
                while limit <= age {
                    limit = limit.saturating_mul(2);
                    if limit == u64::MAX {
                        break;
                    }
                }
            }
            if limit != self.after_ns {
                next.insert(id, limit);
            }
        }
        self.next = next;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TaskId = (1, 10);
    const OTHER: TaskId = (2, 10);

    #[test]
    fn once_and_at_each_doubling() {
        let mut overdue = Overdue::new(5);
        let mut reports = Vec::new();
        for age in 0..50 {
            if !overdue.due([(ONE, age)]).is_empty() {
                reports.push(age);
            }
        }
        assert_eq!(reports, [5, 10, 20, 40]);
    }

    #[test]
    fn one_that_is_old_already_is_reported_once() {
        let mut overdue = Overdue::new(5);
        assert_eq!(overdue.due([(ONE, 1000)]), [ONE]);
        assert_eq!(overdue.due([(ONE, 1001)]), []);
        assert_eq!(overdue.due([(ONE, 1279)]), []);
        assert_eq!(overdue.due([(ONE, 1280)]), [ONE]);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut overdue = Overdue::new(5);
        overdue.due([(ONE, 6), (OTHER, 3)]);
        assert_eq!(overdue.next.len(), 1);
        overdue.due([(OTHER, 4)]);
        assert!(overdue.next.is_empty());
        assert_eq!(overdue.due([(ONE, u64::MAX)]), [ONE]);
        assert_eq!(overdue.due([(ONE, u64::MAX - 1)]), []);
    }
}
