//! The first thing that the page says. Pure.

use crate::{
    aggregate::{ParentSummary, Summary},
    model::Cause,
    sink::{leaks, parent_name, verdict},
    text::{escape::cut, visible},
};

/// No more parents are named.
const NAMED: usize = 3;
/// A longer command line is cut.
const LONGEST_NAME: usize = 60;

/// Whether zombies are left, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageVerdict {
    /// Nothing is wrong.
    pub(crate) is_good: bool,
    /// One clause without a full stop, such as `3 parents leave zombies`.
    pub(crate) headline: String,
    /// The worst of those parents.
    pub(crate) parents: Vec<Leak>,
    /// How many more there are.
    pub(crate) more: usize,
}

/// A parent that leaves zombies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    /// Its command line or name, and its pid.
    pub(crate) who: String,
    pub(crate) living: u64,
    pub(crate) oldest_ns: u64,
    pub(crate) cause: Option<Cause>,
    /// What was found.
    pub(crate) finding: Option<String>,
}

impl PageVerdict {
    /// `error_ns`: what a zombie time is exact to.
    pub(crate) fn of(summary: &Summary, error_ns: u64) -> Self {
        let verdict = verdict(summary, error_ns);
        let parents = summary.by_parent.iter().filter(|parent| leaks(parent));
        let parents: Vec<_> = parents.collect();
        let leave = match parents.len() {
            0 => None,
            1 => Some("1 parent leaves zombies".to_owned()),
            count => Some(format!("{count} parents leave zombies")),
        };
        let headline = match (leave, verdict.left) {
            (None, _) => verdict.text,
            (Some(leave), None) => leave,
            (Some(leave), Some(left)) => format!("{leave}; {left}"),
        };
        Self {
            is_good: verdict.is_calm,
            headline,
            more: parents.len().saturating_sub(NAMED),
            parents: parents.into_iter().take(NAMED).map(Leak::of).collect(),
        }
    }
}

impl Leak {
    fn of(parent: &ParentSummary) -> Self {
        let group = &parent.group;
        Self {
            who: who(parent),
            living: group.alive,
            oldest_ns: group.oldest_ns.unwrap_or(0),
            cause: group.cause,
            finding: finding(parent),
        }
    }
}

/// What was found, and where the parent's code was most of the time.
fn finding(parent: &ParentSummary) -> Option<String> {
    let found = [&parent.group.cause_text, &parent.place];
    let found: Vec<_> = found
        .into_iter()
        .flatten()
        .map(|text| visible(text))
        .collect();
    (!found.is_empty()).then(|| found.join("; "))
}

/// A parent by its command line, which tells one python3 from another, and its pid.
pub(crate) fn who(parent: &ParentSummary) -> String {
    let known = parent.cmdline.is_some() || parent.comm.is_some();
    let name = known.then(|| parent_name(parent.cmdline.as_deref(), parent.comm.as_ref()));
    match (name, parent.ppid) {
        (Some(name), Some(pid)) => format!("{} ({pid})", cut(&name, LONGEST_NAME)),
        (Some(name), None) => cut(&name, LONGEST_NAME).into_owned(),
        (None, Some(pid)) => format!("process {pid}"),
        (None, None) => "other parents".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        aggregate::Aggregate,
        model::{Alive, Counts, Zombie, fixtures},
    };

    fn verdict_of(aggregate: &Aggregate, reaped: u64, alive: u64) -> PageVerdict {
        let counts = Counts {
            exits: reaped + alive,
            reaped,
            alive,
            ..Counts::default()
        };
        let summary = aggregate.summary(counts, Timestamp::UNIX_EPOCH, Duration::from_secs(1));
        PageVerdict::of(&summary, 0)
    }

    #[test]
    fn parents_that_leave_zombies_come_first() {
        let mut aggregate = Aggregate::default();
        aggregate.zombie(&fixtures::zombie(), true);
        for ppid in 1..=5 {
            for _ in 0..ppid {
                aggregate.alive(&Alive {
                    ppid: Some(ppid),
                    cause: Some(Cause::NeverWaits),
                    cause_text: Some("bash neither handles SIGCHLD nor waits".into()),
                    ..fixtures::alive()
                });
            }
        }
        aggregate.named((Some(5), Some("bash".into())), "bash leaky.sh");
        let verdict = verdict_of(&aggregate, 1, 15);
        assert_eq!((verdict.is_good, verdict.more), (false, 2));
        assert_eq!(verdict.headline, "5 parents leave zombies");
        let worst = &verdict.parents[0];
        assert_eq!((&*worst.who, worst.living), ("bash leaky.sh (5)", 5));
        assert_eq!(
            (worst.oldest_ns, worst.cause),
            (3_000_000_000, Some(Cause::NeverWaits))
        );
    }

    #[test]
    fn a_run_without_trouble_says_so() {
        let mut aggregate = Aggregate::default();
        assert_eq!(verdict_of(&aggregate, 0, 0).headline, "no process ended");
        let zombie = Zombie {
            zombie_ns: 473_000,
            ..fixtures::zombie()
        };
        aggregate.zombie(&zombie, true);
        let all = verdict_of(&aggregate, 1, 0);
        assert!(all.is_good);
        assert_eq!(all.headline, "every zombie was reaped, p99 473 µs");
        // It is about to be reaped.
        aggregate.alive(&Alive {
            age_ns: 12_000,
            ..fixtures::alive()
        });
        let young = verdict_of(&aggregate, 1, 1);
        assert!(young.is_good && young.parents.is_empty());
    }
}
