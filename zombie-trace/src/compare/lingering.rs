//! Zombies that nobody reaped: they are in no percentile, so they are compared by themselves.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;

use super::verdict::{LEAST_CHANGE, Meaning};
use crate::{
    aggregate::{GroupSummary, Summary},
    model::Comm,
};

/// A younger zombie may be about to be reaped.
const LEAST_AGE_NS: u64 = 1_000_000_000;
/// A zombie that is this many times as old as the longest that its parent reaped is not about to be.
const BEYOND_LONGEST: u64 = 2;
/// The difference of two counts, in standard deviations, that chance does not explain.
const SURE: f64 = 3.0;

/// What a summary says about the zombies of a parent, or of all parents of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LingeringSummary {
    /// The command line of the parent with the most zombie time.
    pub cmdline: Option<Arc<str>>,
    /// Living zombies at the end of the run.
    pub alive: u64,
    /// The age of the oldest of them, in ns.
    pub oldest_ns: Option<u64>,
    /// The zombie time of all, in ns.
    pub zombie_time_ns: u64,
    /// How many were reaped.
    #[serde(skip)]
    reaped: u64,
    /// The longest that was reaped, in ns.
    #[serde(skip)]
    longest_ns: Option<u64>,
}

/// Of a whole run.
#[derive(Clone, Debug, Default)]
pub(super) struct OfRun {
    /// How long the run lasted, in ns.
    pub(super) duration_ns: u64,
    pub(super) all: LingeringSummary,
    pub(super) parents: HashMap<Option<Comm>, LingeringSummary>,
}

/// Whether zombies stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// None does.
    Clean,
    /// There are some, too young to tell.
    Unsure,
    Leaks,
}

impl LingeringSummary {
    fn add(&mut self, group: &GroupSummary, cmdline: Option<&Arc<str>>) {
        // Rows come worst first.
        if self.cmdline.is_none() {
            self.cmdline = cmdline.cloned();
        }
        self.alive = self.alive.saturating_add(group.alive);
        self.oldest_ns = self.oldest_ns.max(group.oldest_ns);
        self.zombie_time_ns = self.zombie_time_ns.saturating_add(group.zombie_time_ns);
        self.reaped = self.reaped.saturating_add(group.reaped);
        self.longest_ns = self.longest_ns.max(group.max_ns);
    }

    /// `longest`: of those that were reaped in either run.
    fn state(&self, longest: u64) -> State {
        let oldest = self.oldest_ns.unwrap_or(0);
        if self.alive == 0 || oldest < longest.saturating_mul(BEYOND_LONGEST) {
            State::Clean
        } else if oldest < LEAST_AGE_NS {
            State::Unsure
        } else {
            State::Leaks
        }
    }
}

impl OfRun {
    pub(super) fn new(summary: &Summary) -> Self {
        let mut of_run = Self {
            duration_ns: summary.duration_ns,
            ..Self::default()
        };
        for row in &summary.by_parent {
            of_run.all.add(&row.group, None);
            let parent = of_run.parents.entry(row.comm).or_default();
            parent.add(&row.group, row.cmdline.as_ref());
        }
        let all = &mut of_run.all;
        all.zombie_time_ns = summary.zombie_time_ns;
        all.oldest_ns = summary.oldest_ns;
        all.alive = summary.living();
        of_run
    }
}

/// Whether the parent leaves more zombies than before, in runs of these lengths.
pub(super) fn judge(base: &LingeringSummary, new: &LingeringSummary, lengths: [u64; 2]) -> Meaning {
    let longest = base.longest_ns.max(new.longest_ns).unwrap_or(0);
    match (base.state(longest), new.state(longest)) {
        (State::Clean, State::Leaks) => Meaning::Worse,
        // Without children it has nothing to leave.
        (State::Leaks, State::Clean) if new.reaped == 0 => Meaning::NotEnoughData,
        (State::Leaks, State::Clean) => Meaning::Better,
        (State::Leaks, State::Leaks) => by_number(base.alive, new.alive, lengths),
        (State::Unsure, State::Leaks) | (State::Leaks, State::Unsure) => Meaning::NotEnoughData,
        (State::Clean | State::Unsure, State::Clean | State::Unsure) => Meaning::NoDifference,
    }
}

/// A parent that leaks leaves more in a longer run; what was there before the run does not grow with
/// it. A difference must hold either way.
fn by_number(base: u64, new: u64, lengths: [u64; 2]) -> Meaning {
    let [base_length, new_length] = lengths.map(|length| length.max(1) as f64);
    let longer = new_length / base_length;
    let (base, new) = (base as f64, new as f64);
    let is_more = |expected: f64| {
        let spread = (new + base * (expected / base).powi(2)).sqrt();
        new > expected * LEAST_CHANGE && new - expected > SURE * spread
    };
    let is_less = |expected: f64| {
        let spread = (new + base * (expected / base).powi(2)).sqrt();
        new * LEAST_CHANGE < expected && expected - new > SURE * spread
    };
    if is_more(base * longer.max(1.0)) {
        Meaning::Worse
    } else if is_less(base * longer.min(1.0)) {
        Meaning::Better
    } else {
        Meaning::NoDifference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn left(alive: u64, oldest_ns: u64, longest_ns: u64) -> LingeringSummary {
        LingeringSummary {
            alive,
            oldest_ns: (alive > 0).then_some(oldest_ns),
            longest_ns: Some(longest_ns),
            reaped: 100,
            ..LingeringSummary::default()
        }
    }

    fn verdict(base: &LingeringSummary, new: &LingeringSummary) -> Meaning {
        judge(base, new, [10 * SECOND; 2])
    }

    #[test]
    fn a_new_leak_is_worse_and_its_end_is_better() {
        let clean = left(0, 0, 1000);
        let leaks = left(1, 7 * SECOND, 1000);
        assert_eq!(verdict(&clean, &leaks), Meaning::Worse);
        assert_eq!(
            verdict(&LingeringSummary::default(), &leaks),
            Meaning::Worse
        );
        assert_eq!(verdict(&leaks, &clean), Meaning::Better);
        assert_eq!(
            verdict(&leaks, &LingeringSummary::default()),
            Meaning::NotEnoughData
        );
        assert_eq!(verdict(&clean, &clean), Meaning::NoDifference);
    }

    #[test]
    fn what_is_about_to_be_reaped_is_no_leak() {
        // The parent reaps each 3 s late; some are always on their way.
        let late = left(3, 4 * SECOND, 3 * SECOND);
        assert_eq!(verdict(&left(0, 0, 1000), &late), Meaning::NoDifference);
        // Too young to tell.
        let young = left(5, SECOND / 2, 1000);
        assert_eq!(verdict(&left(0, 0, 1000), &young), Meaning::NoDifference);
        let leaks = left(50, 9 * SECOND, 1000);
        assert_eq!(verdict(&young, &leaks), Meaning::NotEnoughData);
        assert_eq!(verdict(&leaks, &young), Meaning::NotEnoughData);
    }

    #[test]
    fn of_two_leaks_the_greater_is_worse() {
        let leaks = |alive| left(alive, 9 * SECOND, 1000);
        assert_eq!(verdict(&leaks(60), &leaks(66)), Meaning::NoDifference);
        assert_eq!(verdict(&leaks(60), &leaks(130)), Meaning::Worse);
        assert_eq!(verdict(&leaks(130), &leaks(60)), Meaning::Better);
        // Ten times as long: as many more are no difference, nor are as many as before the run.
        let longer = |new| judge(&leaks(60), &leaks(new), [10 * SECOND, 100 * SECOND]);
        assert_eq!(longer(600), Meaning::NoDifference);
        assert_eq!(longer(60), Meaning::NoDifference);
        assert_eq!(longer(900), Meaning::Worse);
    }
}
