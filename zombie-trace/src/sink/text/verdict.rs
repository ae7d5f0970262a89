//! What a run comes to, in a sentence.

use super::{lifetime, parent};
use crate::{
    aggregate::{ParentSummary, Summary},
    text::{
        escape::{cut, escape},
        human,
    },
};

/// A zombie that has lingered for this long is worth a word. What is younger when the run ends is on its way
/// to be reaped.
const WORTH_A_WORD: u64 = 100_000_000;
/// So many parents are named.
const NAMED: usize = 3;
/// A command line is cut to so many columns.
const LONGEST_NAME: usize = 60;

/// What a run comes to.
pub(crate) struct Verdict {
    /// A sentence without a full stop.
    pub(crate) text: String,
    /// Nobody needs to do anything.
    pub(crate) is_calm: bool,
    /// The sentence names the oldest living zombie's age.
    pub(crate) names_oldest: bool,
}

/// `error_ns`: what a zombie time is exact to.
pub(crate) fn verdict(summary: &Summary, error_ns: u64) -> Verdict {
    let leaking: Vec<_> = summary.by_parent.iter().filter(|row| leaks(row)).collect();
    if !leaking.is_empty() {
        return leak(summary, &leaking);
    }
    let counts = &summary.counts;
    let is_slow = summary.zombie_ns.max >= Some(WORTH_A_WORD);
    let ended = [counts.exits, counts.pre_existing];
    let zombies = [
        summary.zombie_ns.count,
        summary.inexact,
        counts.alive,
        counts.pre_existing,
    ];
    // Not by their sums: in a recording they can be beyond all numbers.
    let mut text = if ended == [0; 2] {
        "no process ended".to_owned()
    } else if zombies == [0; 4] {
        match summary.complete {
            true => "no process became a zombie".to_owned(),
            false => "no process is known to have become a zombie".to_owned(),
        }
    } else {
        reaped(summary, error_ns)
    };
    if is_slow && let Some(worst) = summary.by_parent.first() {
        text += &format!(
            "; most zombie time: {} {}",
            named(worst),
            human(worst.group.zombie_time_ns)
        );
        if let Some(why) = why(worst) {
            text += &format!(": {why}");
        }
    }
    if !summary.complete {
        text += "; some processes were lost";
    }
    Verdict {
        text,
        is_calm: !is_slow && summary.complete && counts.suspicious == 0,
        names_oldest: false,
    }
}

/// Whether it leaves zombies, and not only the last one for a moment.
pub(crate) fn leaks(row: &ParentSummary) -> bool {
    row.group.alive > 0 && row.group.oldest_ns >= Some(WORTH_A_WORD)
}

fn leak(summary: &Summary, leaking: &[&ParentSummary]) -> Verdict {
    let mut text = match leaking.len() {
        1 => "1 parent leaves zombies: ".to_owned(),
        count => format!("{count} parents leave zombies: "),
    };
    let named = &leaking[..leaking.len().min(NAMED)];
    let each = named.iter().map(|row| {
        let age = human(row.group.oldest_ns.unwrap_or(0));
        let living = match row.group.alive {
            1 => format!("1 living, {age} old"),
            count => format!("{count} living, the oldest {age}"),
        };
        let found = found(row).map_or_else(String::new, |found| format!(": {found}"));
        format!("{} {living}{found}", self::named(row))
    });
    text += &each.collect::<Vec<_>>().join("; ");
    if leaking.len() > NAMED {
        text += &format!("; and {} more", leaking.len() - NAMED);
    }
    if !summary.complete {
        text += "; some processes were lost";
    }
    Verdict {
        text,
        is_calm: false,
        names_oldest: named
            .iter()
            .any(|row| row.group.oldest_ns == summary.oldest_ns),
    }
}

/// Every zombie was reaped, or is about to be.
fn reaped(summary: &Summary, error_ns: u64) -> String {
    let living: u64 = summary.counts.alive;
    let mut text = match (summary.complete, living) {
        (true, 0) => "every zombie was reaped".to_owned(),
        (false, 0) => "every zombie that was seen was reaped".to_owned(),
        (_, 1) => "every zombie but the last was reaped".to_owned(),
        (_, count) => format!("every zombie but the last {count} was reaped"),
    };
    if let Some(p99) = summary.zombie_ns.p99 {
        text += &format!(", p99 {}", lifetime::exact(p99, error_ns));
    }
    text
}

fn named(row: &ParentSummary) -> String {
    let name = parent::of(row);
    let name = cut(&name, LONGEST_NAME);
    match row.ppid {
        Some(ppid) => format!("{name} ({ppid})"),
        None => name.into_owned(),
    }
}

/// What was found, or else where most of the time went.
fn why(row: &ParentSummary) -> Option<String> {
    found(row).or_else(|| {
        let phase = row.group.phases.map(|phases| {
            let (phase, share) = phases.worst();
            format!("{share} % {}", phase.as_str())
        });
        with_place(phase, row)
    })
}

/// With where its code was most of the time.
fn with_place(text: Option<String>, row: &ParentSummary) -> Option<String> {
    let place = row.place.as_deref().map(|place| escape(place).into_owned());
    let parts: Vec<_> = text.into_iter().chain(place).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What was found at the last look, in words.
fn found(row: &ParentSummary) -> Option<String> {
    let text = match (&row.group.cause_text, row.group.cause) {
        (Some(text), _) => parent::finding(text, row.ppid, row.comm.as_ref()),
        (None, cause) => cause?.code().to_owned(),
    };
    with_place(Some(text), row)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        aggregate::Aggregate,
        model::{
            Alive, Cause, Counts, Lost, Zombie,
            fixtures::{alive, zombie},
        },
    };

    fn run(zombies: &[u64], living: &[(u32, u64)], lost: u64) -> Verdict {
        let mut aggregate = Aggregate::default();
        for &zombie_ns in zombies {
            let zombie = Zombie {
                zombie_ns,
                ..zombie()
            };
            aggregate.zombie(&zombie, true);
        }
        for &(ppid, age_ns) in living {
            let text = format!("the parent {ppid} (bash) reaps one per second");
            aggregate.alive(&Alive {
                ppid: Some(ppid),
                parent_comm: Some("bash".into()),
                age_ns,
                cause: Some(Cause::SignalsCoalesced),
                cause_text: Some(text.into()),
                ..alive()
            });
        }
        let counts = Counts {
            exits: (zombies.len() + living.len()) as u64 + lost,
            reaped: zombies.len() as u64,
            alive: living.len() as u64,
            lost: Lost {
                missed: lost,
                ..Lost::default()
            },
            ..Counts::default()
        };
        let time = Duration::from_secs(10);
        verdict(
            &aggregate.summary(counts, Timestamp::UNIX_EPOCH, time),
            1000,
        )
    }

    #[test]
    fn no_trouble() {
        let calm = run(&[20_000, 473_000], &[], 0);
        assert_eq!(calm.text, "every zombie was reaped, p99 473 µs");
        assert!(calm.is_calm);
        assert_eq!(run(&[], &[], 0).text, "no process ended");
        let quick = run(&[500], &[], 0);
        assert_eq!(quick.text, "every zombie was reaped, p99 <1 µs");
        // It would have been reaped in a moment.
        let young = run(&[20_000], &[(7, 30_000)], 0);
        assert_eq!(
            young.text,
            "every zombie but the last was reaped, p99 20.0 µs"
        );
        assert!(young.is_calm);
    }

    #[test]
    fn what_was_lost_is_not_called_reaped() {
        let lossy = run(&[20_000], &[], 3);
        assert_eq!(
            lossy.text,
            "every zombie that was seen was reaped, p99 20.0 µs; some processes were lost"
        );
        assert!(!lossy.is_calm);
        assert!(run(&[], &[], 3).text.contains("is known"));
    }

    #[test]
    fn late_reapers_are_named() {
        let late = run(&[2_000_000_000], &[], 0);
        assert!(
            late.text
                .starts_with("every zombie was reaped, p99 2.00 s; most zombie time: "),
            "{}",
            late.text
        );
        assert!(!late.is_calm);
    }

    #[test]
    fn parents_that_leave_zombies() {
        let one = run(&[20_000], &[(7, 5_000_000_000)], 0);
        assert_eq!(
            one.text,
            "1 parent leaves zombies: bash (7) 1 living, 5.00 s old: reaps one per second"
        );
        assert!(one.names_oldest && !one.is_calm);
        let more = run(
            &[],
            &[
                (7, 1_000_000_000),
                (8, 9_000_000_000),
                (8, 2_000_000_000),
                (9, 3_000_000_000),
                (10, 4_000_000_000),
            ],
            0,
        );
        assert!(
            more.text.starts_with(
                "4 parents leave zombies: bash (8) 2 living, the oldest 9.00 s: reaps"
            ),
            "{}",
            more.text
        );
        assert!(more.text.ends_with("; and 1 more"), "{}", more.text);
    }
}
