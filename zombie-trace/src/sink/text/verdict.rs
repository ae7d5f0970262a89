//! What a run comes to, in a sentence.

use super::parent;
use crate::{
    aggregate::{Breakdown, ParentSummary, Summary},
    text::{
        escape::{cut, escape},
        human, lifetime,
    },
};

/// A zombie that has lingered for this long is worth a word. What is younger when the run ends is on its way
/// to be reaped.
const WORTH_A_WORD: u64 = 100_000_000;
/// So many parents are named.
const NAMED: usize = 3;
/// A command line is cut to so many columns.
const LONGEST_NAME: usize = 60;
/// What is said of a recording without a summary.
const CUT: &str = "the recording ends before the run's summary";

/// What a run comes to.
pub(crate) struct RunVerdict {
    /// A sentence without a full stop.
    pub(crate) text: String,
    /// Nobody needs to do anything.
    pub(crate) is_calm: bool,
    /// The sentence names the oldest living zombie's age.
    pub(crate) names_oldest: bool,
    /// The part of the sentence about parents that left zombies when they ended.
    pub(crate) left: Option<String>,
}

/// `error_ns`: what a zombie time is exact to.
pub(crate) fn verdict(summary: &Summary, error_ns: u64) -> RunVerdict {
    let leaking: Vec<_> = summary.by_parent.iter().filter(|row| leaks(row)).collect();
    if !leaking.is_empty() {
        return leak(summary, &leaking);
    }
    let left = left(summary);
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
    let mut text = if ended == [0; 2] && summary.is_cut {
        return RunVerdict {
            text: CUT.to_owned(),
            is_calm: false,
            names_oldest: false,
            left: None,
        };
    } else if ended == [0; 2] {
        "no process ended".to_owned()
    } else if zombies == [0; 4] {
        match summary.complete {
            true => "no process became a zombie".to_owned(),
            false => "no process is known to have become a zombie".to_owned(),
        }
    } else {
        reaped(summary, error_ns)
    };
    if let Some(left) = &left {
        text = match counts.alive {
            0 => left.clone(),
            _ => format!("{text}; {left}"),
        };
    } else if is_slow && let Some(worst) = summary.by_parent.first() {
        text += &format!(
            "; most zombie time: {} {}",
            named(worst),
            human(worst.group.zombie_time_ns)
        );
        if let Some(why) = why(worst) {
            text += &format!(": {why}");
        }
    }
    if let Some(gap) = gap(summary) {
        text += &format!("; {gap}");
    }
    RunVerdict {
        text,
        is_calm: !is_slow && left.is_none() && summary.complete && counts.suspicious == 0,
        names_oldest: false,
        left,
    }
}

/// What the summary lacks; `None` if it is complete.
fn gap(summary: &Summary) -> Option<&'static str> {
    if !summary.counts.lost.is_none() {
        Some("some processes were lost")
    } else if summary.is_cut {
        Some(CUT)
    } else {
        (!summary.complete).then_some("the recording is not whole")
    }
}

/// Whether it leaves zombies, and not only the last one for a moment.
pub(crate) fn leaks(row: &ParentSummary) -> bool {
    row.group.alive > 0 && row.group.oldest_ns >= Some(WORTH_A_WORD)
}

/// Whether it left zombies when it ended, and some of its zombies were not only there for a moment.
fn left_behind(row: &ParentSummary) -> bool {
    let longest = row.group.max_ns.unwrap_or(row.group.zombie_time_ns);
    row.group.reparented > 0 && longest >= WORTH_A_WORD && !leaks(row)
}

/// Which parents left zombies when they ended, so that somebody else reaped them; `None` if there is no such
/// parent.
fn left(summary: &Summary) -> Option<String> {
    let rows = summary.by_parent.iter().filter(|row| left_behind(row));
    let rows: Vec<_> = rows.collect();
    let start = match rows.len() {
        0 => return None,
        1 => "1 parent left zombies when it ended".to_owned(),
        count => format!("{count} parents left zombies when they ended"),
    };
    let each = rows.iter().take(NAMED).map(|row| {
        let why = row.group.cause.map(|cause| format!(" ({})", cause.code()));
        format!(
            "{} left {}, zombie time {}{}",
            named(row),
            row.group.reparented,
            human(row.group.zombie_time_ns),
            why.unwrap_or_default()
        )
    });
    let mut text = format!("{start}: {}", each.collect::<Vec<_>>().join("; "));
    if rows.len() > NAMED {
        text += &format!("; and {} more", rows.len() - NAMED);
    }
    Some(text + "; init or a subreaper reaped them")
}

fn leak(summary: &Summary, leaking: &[&ParentSummary]) -> RunVerdict {
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
        let found = match row.group.ended {
            true => Some("it has ended, and nobody has reaped what it left".to_owned()),
            false => found(row),
        };
        let found = found.map_or_else(String::new, |found| format!(": {found}"));
        format!("{} {living}{found}", self::named(row))
    });
    text += &each.collect::<Vec<_>>().join("; ");
    if leaking.len() > NAMED {
        text += &format!("; and {} more", leaking.len() - NAMED);
    }
    let left = left(summary);
    if let Some(left) = &left {
        text += &format!("; {left}");
    }
    if let Some(gap) = gap(summary) {
        text += &format!("; {gap}");
    }
    RunVerdict {
        text,
        is_calm: false,
        names_oldest: named
            .iter()
            .any(|row| row.group.oldest_ns == summary.oldest_ns),
        left,
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
    // What was found is in the present tense.
    let found = match row.group.ended || row.group.reparented > 0 {
        true => row.group.cause.map(|cause| cause.code().to_owned()),
        false => found(row),
    };
    found.or_else(|| {
        let mostly = Breakdown::of(&row.group)
            .largest()
            .map(|(part, share)| format!("{share:.0} % {part}"));
        with_place(mostly, row)
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
            Alive, Cause, Counts, Flag, Lost, Zombie,
            fixtures::{alive, zombie},
        },
    };

    fn run(zombies: &[u64], living: &[(u32, u64)], lost: u64) -> RunVerdict {
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
    fn a_recording_that_is_cut_is_not_called_lossy() {
        let empty = Aggregate::default();
        let of = |aggregate: &Aggregate, exits| {
            let counts = Counts {
                exits,
                reaped: exits,
                ..Counts::default()
            };
            let time = Duration::from_secs(10);
            let mut summary = aggregate.summary(counts, Timestamp::UNIX_EPOCH, time);
            (summary.complete, summary.is_cut) = (false, true);
            verdict(&summary, 1000)
        };
        assert_eq!(of(&empty, 0).text, CUT);
        let mut some = Aggregate::default();
        some.zombie(&zombie(), true);
        let text = of(&some, 1).text;
        assert!(text.ends_with(&format!("; {CUT}")), "{text}");
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
    fn parents_that_left_zombies_when_they_ended() {
        let mut aggregate = Aggregate::default();
        for (ppid, zombie_ns) in [(7, 6_000_000_000), (7, 6_000_000_000), (8, 30_000)] {
            aggregate.zombie(
                &Zombie {
                    ppid: Some(ppid),
                    zombie_ns,
                    flags: vec![Flag::Reparented],
                    cause: Some(Cause::SignalsCoalesced),
                    cause_text: Some("the parent 7 (bash) reaps one per second".into()),
                    ..zombie()
                },
                true,
            );
        }
        let of = |alive| {
            let counts = Counts {
                exits: 3 + alive,
                reaped: 3,
                alive,
                ..Counts::default()
            };
            let time = Duration::from_secs(10);
            let summary = aggregate.summary(counts, Timestamp::UNIX_EPOCH, time);
            verdict(&summary, 1000)
        };
        let left = "1 parent left zombies when it ended: bash (7) left 2, zombie time 12.0 s \
                    (signals-coalesced); init or a subreaper reaped them";
        let verdict = of(0);
        // The other one's was gone at once.
        assert_eq!(verdict.text, left);
        assert!(!verdict.is_calm);
        assert_eq!(verdict.left.as_deref(), Some(left));
        let young = of(1).text;
        assert_eq!(
            young,
            format!("every zombie but the last was reaped, p99 6.00 s; {left}")
        );
    }

    #[test]
    fn a_parent_that_ended_is_not_spoken_of_in_the_present() {
        let mut aggregate = Aggregate::default();
        let child = Zombie {
            ppid: Some(7),
            zombie_ns: 2_000_000_000,
            cause: Some(Cause::SignalsCoalesced),
            cause_text: Some("the parent 7 (bash) reaps one per second".into()),
            ..zombie()
        };
        let parent = Zombie {
            pid: 7,
            comm: child.parent_comm.unwrap(),
            ..zombie()
        };
        let text = |aggregate: &Aggregate| {
            let counts = Counts {
                exits: 2,
                reaped: 2,
                ..Counts::default()
            };
            let time = Duration::from_secs(10);
            let summary = aggregate.summary(counts, Timestamp::UNIX_EPOCH, time);
            verdict(&summary, 1000).text
        };
        aggregate.zombie(&child, true);
        let now = text(&aggregate);
        assert!(now.contains("one per second"), "{now}");
        aggregate.zombie(&parent, true);
        let mut leaves = aggregate.clone();
        leaves.alive(&Alive {
            ppid: Some(7),
            parent_comm: child.parent_comm,
            age_ns: 1_000_000_000,
            ..alive()
        });
        let left = text(&leaves);
        assert!(
            left.ends_with(": it has ended, and nobody has reaped what it left"),
            "{left}"
        );
        let then = text(&aggregate);
        assert!(then.ends_with("(7) 2.00 s: signals-coalesced"), "{then}");
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
