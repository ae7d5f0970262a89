use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{phase_totals::PhaseTotals, samples::Samples};
use crate::model::{Alive, Cause, Flag, Phases, Zombie, nine_digits};

/// Most parents have few children, and there can be very many parents: a histogram, of some
/// 10 KiB, is only for those that have many.
const EXACT_TIMES: usize = 64;
const DIGITS: u8 = 2;
/// No finding that we write comes near, in bytes.
const LONGEST_TEXT: usize = 2048;

/// Processes that have something in common: their parent, command name, container or cause.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The zombie times that are exact.
    times: Samples,
    inexact: u64,
    autoreaped: u64,
    autoreaped_failed: u64,
    reparented: u64,
    /// It is a parent that has ended.
    ended: bool,
    alive: u64,
    oldest: Option<u64>,
    zombie_time: u64,
    total: u64,
    /// The sum of each phase, of those that have phases.
    phases: Option<[u64; 5]>,
    cause: Option<LastCause>,
    cmdline: Option<Arc<str>>,
    given: Given,
}

/// Percentiles that a summary gives; those of several runs can't be put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Given {
    #[default]
    None,
    One {
        p50: Option<u64>,
        p99: Option<u64>,
        max: Option<u64>,
    },
    Several {
        max: Option<u64>,
    },
}

impl Given {
    fn max(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::One { max, .. } | Self::Several { max } => max,
        }
    }
}

/// What was found at the last look that found something.
#[derive(Clone, Debug)]
struct LastCause {
    cause: Cause,
    text: Option<Arc<str>>,
    looked_at: Option<Timestamp>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            times: Samples::new(EXACT_TIMES, DIGITS),
            inexact: 0,
            autoreaped: 0,
            autoreaped_failed: 0,
            reparented: 0,
            ended: false,
            alive: 0,
            oldest: None,
            zombie_time: 0,
            total: 0,
            phases: None,
            cause: None,
            cmdline: None,
            given: Given::None,
        }
    }
}

impl Group {
    /// Takes in a process that is gone, which was a zombie for `in_run` ns of the run.
    pub(super) fn zombie(&mut self, zombie: &Zombie, in_run: u64, is_exact: bool) {
        if zombie.autoreaped() {
            let is_ours = !zombie.pre_existing();
            self.autoreaped += u64::from(is_ours);
            self.autoreaped_failed += u64::from(is_ours && zombie.failed());
            return;
        }
        self.reparented += u64::from(zombie.flags.contains(&Flag::Reparented));
        self.zombie_time = self.zombie_time.saturating_add(in_run);
        self.found(zombie.cause, zombie.cause_text.as_ref(), zombie.looked_at);
        if zombie.pre_existing() {
            return;
        }
        self.total = self.total.saturating_add(zombie.zombie_ns);
        if is_exact {
            self.times.record(zombie.zombie_ns);
        } else {
            self.inexact += 1;
        }
        self.phases(zombie.phases.as_ref());
    }

    /// It is a parent, which has ended.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Takes in an exact zombie time.
    pub(super) fn time(&mut self, zombie_ns: u64) {
        self.zombie_time = self.zombie_time.saturating_add(zombie_ns);
        self.total = self.total.saturating_add(zombie_ns);
        self.times.record(zombie_ns);
    }

    /// Takes in a zombie that still exists, and was one for `in_run` ns of the run.
    pub(super) fn alive(&mut self, alive: &Alive, in_run: u64) {
        self.alive += 1;
        self.oldest = self.oldest.max(Some(alive.age_ns));
        self.zombie_time = self.zombie_time.saturating_add(in_run);
        self.found(alive.cause, alive.cause_text.as_ref(), alive.looked_at);
    }

    /// Takes in the parent's command line.
    pub(super) fn named(&mut self, cmdline: &Arc<str>) {
        self.cmdline.get_or_insert_with(|| Arc::clone(cmdline));
    }

    /// Takes in processes that another run has summed up.
    pub(super) fn summed(&mut self, other: &GroupSummary) {
        self.given = if self.reaped() == 0 {
            Given::One {
                p50: other.p50_ns,
                p99: other.p99_ns,
                max: other.max_ns,
            }
        } else {
            Given::Several {
                max: self.given.max().max(other.max_ns),
            }
        };
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.inexact, other.reaped);
        add(&mut self.autoreaped, other.autoreaped);
        add(&mut self.autoreaped_failed, other.autoreaped_failed);
        add(&mut self.reparented, other.reparented);
        add(&mut self.alive, other.alive);
        add(&mut self.zombie_time, other.zombie_time_ns);
        add(&mut self.total, other.total_ns);
        self.oldest = self.oldest.max(other.oldest_ns);
        self.found(other.cause, other.cause_text.as_ref(), other.looked_at);
        if let Some(phases) = &other.phases {
            self.add(phases.times());
        }
    }

    /// Takes in the processes of another run that the kernel released at once, which no line lists.
    pub(super) fn autoreaped(&mut self, other: &GroupSummary) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.autoreaped, other.autoreaped);
        add(&mut self.autoreaped_failed, other.autoreaped_failed);
    }

    /// Takes in the processes of another group.
    pub(super) fn merge(&mut self, other: &Self) {
        self.times.merge(&other.times);
        self.given = Given::Several {
            max: self.given.max().max(other.given.max()),
        };
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.inexact, other.inexact);
        add(&mut self.autoreaped, other.autoreaped);
        add(&mut self.autoreaped_failed, other.autoreaped_failed);
        add(&mut self.reparented, other.reparented);
        add(&mut self.alive, other.alive);
        add(&mut self.zombie_time, other.zombie_time);
        add(&mut self.total, other.total);
        self.oldest = self.oldest.max(other.oldest);
        if let Some(times) = other.phases {
            self.add(times);
        }
    }

    fn found(
        &mut self,
        cause: Option<Cause>,
        text: Option<&Arc<str>>,
        looked_at: Option<Timestamp>,
    ) {
        if let Some(cause) = cause {
            // That nothing was found of one, such as the youngest, is no news of the others.
            let is_known = |last: &LastCause| last.cause != Cause::Unknown;
            if cause == Cause::Unknown && self.cause.as_ref().is_some_and(is_known) {
                return;
            }
            // A recording can hold anything, and there are many groups.
            let text = text.filter(|text| text.len() <= LONGEST_TEXT).cloned();
            self.cause = Some(LastCause {
                cause,
                text,
                looked_at,
            });
        }
    }

    fn phases(&mut self, phases: Option<&Phases>) {
        if let Some(phases) = phases {
            self.add(phases.times());
        }
    }

    fn add(&mut self, times: [u64; 5]) {
        let sums = self.phases.get_or_insert_default();
        for (sum, time) in sums.iter_mut().zip(times) {
            *sum = sum.saturating_add(time);
        }
    }

    /// Whether its percentiles take a histogram.
    pub(super) fn has_histogram(&self) -> bool {
        self.times.is_rounded()
    }

    pub(super) fn zombie_time(&self) -> u64 {
        self.zombie_time
    }

    pub(super) fn cmdline(&self) -> Option<Arc<str>> {
        self.cmdline.clone()
    }

    fn reaped(&self) -> u64 {
        self.times.count().saturating_add(self.inexact)
    }

    pub(super) fn summary(&self) -> GroupSummary {
        let (p50, p99) = match self.given {
            Given::One { p50, p99, .. } if self.times.count() == 0 => (p50, p99),
            // Only a part of them would be in it.
            Given::One { .. } => (None, None),
            Given::Several { max: Some(_) } => (None, None),
            Given::None | Given::Several { max: None } => {
                (self.times.permille(500), self.times.permille(990))
            }
        };
        GroupSummary {
            zombie_time_ns: self.zombie_time,
            alive: self.alive,
            oldest_ns: self.oldest,
            reaped: self.reaped(),
            autoreaped: self.autoreaped,
            autoreaped_failed: self.autoreaped_failed,
            reparented: self.reparented,
            ended: self.ended,
            p50_ns: p50,
            p99_ns: p99,
            max_ns: self.times.max().max(self.given.max()),
            total_ns: self.total,
            phases: self.phases.map(PhaseTotals::from),
            cause: self.cause.as_ref().map(|last| last.cause),
            cause_text: self.cause.as_ref().and_then(|last| last.text.clone()),
            looked_at: self.cause.as_ref().and_then(|last| last.looked_at),
        }
    }
}

/// What the processes of one parent, command name, container or cause have in common in a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupSummary {
    /// The part of their zombie time that lies in the run, in ns: of those that were reaped, of those
    /// that are still zombies, and of those that were before the run.
    #[serde(default)]
    pub zombie_time_ns: u64,
    /// Zombies that are still there, also those from before the run.
    pub alive: u64,
    /// The age of the oldest of them at the end of the run, in ns.
    #[serde(default)]
    pub oldest_ns: Option<u64>,
    /// Zombies that were reaped, without those from before the run.
    pub reaped: u64,
    /// Processes that the kernel released at once.
    pub autoreaped: u64,
    /// How many of those failed (exit code other than 0, or killed), which their parent can't learn.
    #[serde(default)]
    pub autoreaped_failed: u64,
    /// Zombies that their parent left when it ended, and that were reaped, including pre-existing ones.
    #[serde(default)]
    pub reparented: u64,
    /// The median of the exact zombie times; rounded up by at most 1 % where there are many.
    pub p50_ns: Option<u64>,
    /// What 99 % of them do not exceed; rounded up likewise.
    pub p99_ns: Option<u64>,
    /// The longest of them.
    pub max_ns: Option<u64>,
    /// The sum of the zombie times of those that were reaped, in ns.
    pub total_ns: u64,
    /// Where that time went, of the zombies whose phases are known; `None` if there is none.
    #[serde(default)]
    pub phases: Option<PhaseTotals>,
    /// Why a zombie of them lingered, by the last look that found a cause; `None` if none was looked
    /// at.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// The same in words.
    #[serde(default)]
    pub cause_text: Option<Arc<str>>,
    /// It is a parent whose own end was seen.
    #[serde(skip)]
    pub(crate) ended: bool,
    /// When that look was.
    #[serde(default, serialize_with = "nine_digits")]
    pub looked_at: Option<Timestamp>,
}

impl GroupSummary {
    /// What is ranked by: zombie time, then the number of processes.
    pub fn rank(&self) -> impl Ord + use<> {
        std::cmp::Reverse((
            self.zombie_time_ns,
            self.alive,
            self.reaped,
            self.autoreaped,
        ))
    }
}
