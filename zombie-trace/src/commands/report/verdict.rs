//! The first thing that a report says. Pure.

use crate::{
    aggregate::{GroupSummary, ParentSummary, Summary},
    model::Cause,
    text::{escape::cut, human, visible},
};

/// A zombie that is younger at the end of the run may be about to be reaped.
const QUICK: u64 = 100_000_000;
/// No more parents are named.
const NAMED: usize = 3;
/// A longer command line is cut.
const LONGEST_NAME: usize = 60;

/// Whether zombies are left, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
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

impl Verdict {
    pub(crate) fn of(summary: &Summary) -> Self {
        let leaks = |group: &GroupSummary| {
            group.alive > 0 && (group.cause.is_some() || group.oldest_ns.unwrap_or(0) >= QUICK)
        };
        let mut parents: Vec<_> = summary
            .by_parent
            .iter()
            .filter(|parent| leaks(&parent.group))
            .collect();
        parents.sort_by(|one, other| one.group.rank().cmp(&other.group.rank()));
        let more = parents.len().saturating_sub(NAMED);
        let headline = match parents.len() {
            0 => without_leaks(summary),
            1 => "1 parent leaves zombies".to_owned(),
            count => format!("{count} parents leave zombies"),
        };
        Self {
            is_good: parents.is_empty() && summary.complete,
            headline,
            parents: parents.into_iter().take(NAMED).map(Leak::of).collect(),
            more,
        }
    }

    /// All of it in one sentence.
    pub(crate) fn sentence(&self) -> String {
        let mut parts: Vec<_> = self.parents.iter().map(Leak::clause).collect();
        if self.more > 0 {
            parts.push(format!("and {} more", self.more));
        }
        match parts.is_empty() {
            true => self.headline.clone(),
            false => format!("{}: {}", self.headline, parts.join("; ")),
        }
    }
}

fn without_leaks(summary: &Summary) -> String {
    let counts = &summary.counts;
    let p99 = summary.zombie_ns.p99.map(human);
    let p99 = p99.map_or_else(String::new, |p99| format!(", p99 {p99}"));
    let incomplete = if summary.complete {
        ""
    } else {
        ", but the record is incomplete"
    };
    let living = counts.alive.saturating_add(counts.pre_existing);
    let left: u64 = summary.by_parent.iter().map(|row| row.group.alive).sum();
    match (counts.reaped, left.min(living).max(counts.alive)) {
        (0, 0) if counts.exits == 0 => format!("no process ended{incomplete}"),
        (0, 0) => format!("no process became a zombie{incomplete}"),
        (_, 0) => format!("every zombie was reaped{p99}{incomplete}"),
        (_, young) => {
            let were = match young {
                1 => "1 zombie was".to_owned(),
                young => format!("{young} zombies were"),
            };
            let oldest = summary.oldest_ns.map(human);
            let oldest = oldest.map_or_else(String::new, |age| format!(", the oldest {age}"));
            format!("{were} living at the end{oldest}{p99}{incomplete}")
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
            finding: group.cause_text.as_deref().map(visible),
        }
    }

    /// `supervisor.py (3436) 67 living, the oldest 7.10 s: reaps one per second`.
    fn clause(&self) -> String {
        let finding = match (&self.finding, self.cause) {
            (Some(finding), _) => format!(": {finding}"),
            (None, Some(cause)) => format!(": {}", cause.code()),
            (None, None) => String::new(),
        };
        format!(
            "{} {} living, the oldest {}{finding}",
            self.who,
            self.living,
            human(self.oldest_ns)
        )
    }
}

/// A parent by its command line, which tells one python3 from another, and its pid.
pub(crate) fn who(parent: &ParentSummary) -> String {
    let name = parent
        .cmdline
        .as_deref()
        .filter(|cmdline| !cmdline.is_empty())
        .map(visible)
        .or_else(|| parent.comm.map(|comm| visible(&comm.to_str())));
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

    fn verdict(aggregate: &Aggregate, reaped: u64, alive: u64) -> Verdict {
        let counts = Counts {
            exits: reaped + alive,
            reaped,
            alive,
            ..Counts::default()
        };
        Verdict::of(&aggregate.summary(counts, Timestamp::UNIX_EPOCH, Duration::from_secs(1)))
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
        let verdict = verdict(&aggregate, 1, 15);
        assert_eq!((verdict.is_good, verdict.more), (false, 2));
        let sentence = verdict.sentence();
        assert!(
            sentence.starts_with(
                "5 parents leave zombies: bash leaky.sh (5) 5 living, the oldest 3.00 s: bash \
                 neither handles SIGCHLD nor waits; bash (4) 4 living"
            ),
            "{sentence}"
        );
        assert!(sentence.ends_with("; and 2 more"), "{sentence}");
    }

    #[test]
    fn a_run_without_trouble_says_so() {
        let mut aggregate = Aggregate::default();
        assert_eq!(
            verdict(&aggregate, 0, 0).sentence(),
            "no process ended"
        );
        aggregate.zombie(&Zombie {
            zombie_ns: 473_000,
            ..fixtures::zombie()
        }, true);
        let all = verdict(&aggregate, 1, 0);
        assert!(all.is_good);
        assert_eq!(all.sentence(), "every zombie was reaped, p99 473 µs");
        // It is about to be reaped.
        aggregate.alive(&Alive {
            age_ns: 12_000,
            ..fixtures::alive()
        });
        let young = verdict(&aggregate, 1, 1);
        assert!(young.is_good);
        assert_eq!(
            young.sentence(),
            "1 zombie was living at the end, the oldest 12.0 µs, p99 473 µs"
        );
    }
}
