//! Two recorded runs side by side: what has changed, and whether that is more than noise. Pure.
//!
//! # Method
//!
//! Zombie times are compared by percentiles, on a logarithmic scale: a change is a factor. Those of
//! one run are not independent (children come in bursts, other load comes and goes), and two runs of
//! the same load differ more than each of them tells. So the error of a percentile has two parts:
//!
//! - *Sampling*: a block bootstrap. The run is cut into consecutive blocks, blocks are drawn with
//!   replacement, and the figure is taken of what was drawn, some hundred times; the variance of
//!   these figures is the first part. It is done with blocks of several lengths, from some 100
//!   blocks a run to 16, and the largest variance counts: blocks that are too short take noise
//!   that lasts for more than a block as independent.
//! - *Drift*: what lasts longer than such a block will not be the same in the next run either. The
//!   run is cut into eight parts, and by how much the figures of the parts vary beyond what the
//!   first part of the error explains is taken for how much whole runs differ. It is not divided by
//!   the number of parts.
//!
//! The interval of a change is the difference of the logarithms with Student's t of the
//! Satterthwaite degrees of freedom. All intervals of a comparison hold at once with 95 %
//! confidence (Bonferroni; half of the error is for the run as a whole, half for the parents). A
//! percentile is better or worse if its interval excludes no change *and* the change is at least
//! [`LEAST_CHANGE`].
//!
//! # Limits
//!
//! What differs between the runs but not within either of them (another kernel, another machine,
//! a noisy neighbour for the whole of one run) can't be told from a change of the program: repeat
//! the runs in turns. A load with a cycle that is longer than an eighth of the run looks like one
//! that drifts. The maximum is a single zombie: its change is shown but not judged. Zombies that
//! were never reaped are in no percentile.

mod profile;
mod resample;
mod scale;

use std::{cmp::Reverse, collections::HashSet};

use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

use self::{
    profile::Times,
    resample::{Estimate, quantiles, rate},
};
use crate::{aggregate::ZombieTimes, model::Comm};

pub use profile::Profile;

/// A change by less than this factor, up or down, is no difference, however sure it is.
pub const LEAST_CHANGE: f64 = 1.1;
/// How sure all intervals of a comparison are together.
pub const CONFIDENCE: f64 = 0.95;
/// A percentile with fewer zombies beyond it is not judged.
const LEAST_BEYOND: f64 = 10.0;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Two runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// That of the run as a whole and of each parent together.
    pub verdict: Verdict,
    /// How sure all intervals are together.
    pub confidence: f64,
    /// A change by less than this factor, up or down, does not count.
    pub least_change: f64,
    /// For how many percentiles the intervals hold at once.
    pub judged: usize,
    /// All zombies.
    pub overall: Pair,
    /// Those of each parent that both runs have; the worst change first. None if there is but one.
    pub by_parent: Vec<ParentPair>,
    /// Parents of the first run alone.
    pub only_base: Vec<ParentCount>,
    /// Parents of the second run alone.
    pub only_new: Vec<ParentCount>,
    /// Zombies of parents that are not kept apart, of both runs.
    pub of_others: u64,
}

/// The zombies of one parent in both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParentPair {
    /// The parent's command name.
    pub comm: Option<Comm>,
    /// Its zombies.
    #[serde(flatten)]
    pub pair: Pair,
}

/// How many zombies a parent had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ParentCount {
    /// The parent's command name.
    pub comm: Option<Comm>,
    /// How many.
    pub count: u64,
}

/// The zombies of both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// What the percentiles say together.
    pub verdict: Verdict,
    /// The first run.
    pub base: RunFigures,
    /// The second run.
    pub new: RunFigures,
    /// From one to the other.
    pub changes: Changes,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RunFigures {
    /// Zombies a second; `None` if the run took no time.
    pub rate: Option<f64>,
    /// How long they lasted.
    pub zombie_ns: ZombieTimes,
}

/// How each figure has changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Changes {
    /// Of the number of zombies.
    pub count: Change,
    /// Of zombies a second.
    pub rate: Change,
    /// Of the median.
    pub p50: Change,
    /// Of what 90 % do not exceed.
    pub p90: Change,
    /// Of what 99 % do not exceed.
    pub p99: Change,
    /// Of the longest.
    pub max: Change,
}

/// By how much a figure has changed: 0.2 for 20 % more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What is seen; `None` if one of the figures is not known, or the first is 0.
    pub relative: Option<f64>,
    /// Where the change may lie in truth; `None` if that can't be told.
    pub interval: Option<[f64; 2]>,
    /// What it means; `None` for what is not judged.
    pub verdict: Option<Verdict>,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Zombies last longer.
    Worse,
    /// They last less long.
    Better,
    /// Some last longer, others less long.
    Mixed,
    /// None that counts.
    NoDifference,
    /// It can't be told.
    NotEnoughData,
}

impl Verdict {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Mixed => "mixed",
            Self::NoDifference => "no difference",
            Self::NotEnoughData => "not enough data",
        }
    }

    /// There is a difference.
    pub fn is_difference(self) -> bool {
        matches!(self, Self::Worse | Self::Better | Self::Mixed)
    }

    /// Of several figures.
    fn of(verdicts: impl Iterator<Item = Self>) -> Self {
        verdicts.fold(Self::NotEnoughData, |all, one| match (all, one) {
            (Self::NotEnoughData, other) | (other, Self::NotEnoughData) => other,
            (Self::NoDifference, other) | (other, Self::NoDifference) => other,
            (all, one) if all == one => all,
            _ => Self::Mixed,
        })
    }
}

/// Compares two runs.
pub fn compare(base: &Profile, new: &Profile) -> Comparison {
    let overall = Estimates::new((base, &base.overall), (new, &new.overall));
    // A single parent is the run as a whole once more.
    let names: HashSet<_> = base.parents.keys().chain(new.parents.keys()).collect();
    let common: Vec<_> = base
        .parents
        .iter()
        .filter(|_| names.len() > 1)
        .filter_map(|(comm, times)| Some((*comm, times, new.parents.get(comm)?)))
        .map(|(comm, base_times, new_times)| {
            (comm, Estimates::new((base, base_times), (new, new_times)))
        })
        .collect();

    // Those of a parent with too few zombies can't be wrong.
    let of_parents = common
        .iter()
        .filter(|(_, estimates)| estimates.are_enough());
    let of_parents = of_parents.count() * QUANTILES.len();
    let families = if of_parents > 0 { 2 } else { 1 };
    let share = |judged: usize| (1.0 - CONFIDENCE) / (families * judged.max(1)) as f64;
    let overall = overall.judge(share(QUANTILES.len()));
    let mut by_parent: Vec<_> = common
        .into_iter()
        .map(|(comm, estimates)| ParentPair {
            comm,
            pair: estimates.judge(share(of_parents)),
        })
        .collect();
    by_parent.sort_by(|a, b| {
        let ((a_rank, a_worst), (b_rank, b_worst)) = (a.pair.badness(), b.pair.badness());
        let badness = b_rank.cmp(&a_rank).then(b_worst.total_cmp(&a_worst));
        badness.then_with(|| a.comm.cmp(&b.comm))
    });
    let verdicts = by_parent.iter().map(|parent| parent.pair.verdict);
    Comparison {
        verdict: Verdict::of(verdicts.chain([overall.verdict])),
        confidence: CONFIDENCE,
        least_change: LEAST_CHANGE,
        judged: QUANTILES.len() + of_parents,
        overall,
        by_parent,
        only_base: only(base, new),
        only_new: only(new, base),
        of_others: base.of_others.saturating_add(new.of_others),
    }
}

/// The parents that are in one run alone, the one with the most zombies first.
fn only(one: &Profile, other: &Profile) -> Vec<ParentCount> {
    // Who has intervals alone knows no parents.
    if other.parents.is_empty() {
        return Vec::new();
    }
    let mut only: Vec<_> = one
        .parents
        .iter()
        .filter(|(comm, _)| !other.parents.contains_key(comm) && !other.others.contains(comm))
        .map(|(&comm, times)| ParentCount {
            comm,
            count: times.count(),
        })
        .collect();
    only.sort_unstable_by_key(|parent| (Reverse(parent.count), parent.comm));
    only
}

/// Before it is known how many are judged at once.
struct Estimates {
    figures: [RunFigures; 2],
    rate: [Option<Estimate>; 2],
    quantiles: [[Option<Estimate>; QUANTILES.len()]; 2],
}

impl Estimates {
    fn new(base: (&Profile, &Times), new: (&Profile, &Times)) -> Self {
        let runs = [base, new];
        Self {
            figures: runs.map(|(profile, times)| {
                let seconds = profile.spans.iter().sum::<u64>() as f64 / 1e9;
                let rate = times.count() as f64 / seconds;
                RunFigures {
                    rate: rate.is_finite().then_some(rate),
                    zombie_ns: times.summary(),
                }
            }),
            rate: runs.map(|(profile, times)| rate(times, &profile.spans)),
            quantiles: runs.map(|(profile, times)| {
                quantiles(times, QUANTILES, LEAST_BEYOND, profile.resolution())
            }),
        }
    }

    /// For a verdict on any percentile.
    fn are_enough(&self) -> bool {
        let [base, new] = &self.quantiles;
        let mut both = base.iter().zip(new);
        both.any(|(base, new)| base.is_some() && new.is_some())
    }

    /// With this probability of an error for each.
    fn judge(&self, error: f64) -> Pair {
        let [base, new] = self.figures;
        let seen = |figure: fn(&RunFigures) -> Option<f64>| Change {
            relative: relative(figure(&base), figure(&new)),
            interval: None,
            verdict: None,
        };
        let within = |of: [Option<Estimate>; 2]| Some(interval(of[0]?, of[1]?, error));
        let percentile = |index: usize, figure| {
            let interval = within([0, 1].map(|run| self.quantiles[run][index]));
            let change = seen(figure);
            let verdict = change.relative.zip(interval).map(judge);
            Change {
                interval,
                verdict: Some(verdict.unwrap_or(Verdict::NotEnoughData)),
                ..change
            }
        };
        let changes = Changes {
            count: seen(|run| Some(run.zombie_ns.count as f64)),
            rate: Change {
                interval: within(self.rate),
                ..seen(|run| run.rate)
            },
            p50: percentile(0, |run| run.zombie_ns.p50.map(|ns| ns as f64)),
            p90: percentile(1, |run| run.zombie_ns.p90.map(|ns| ns as f64)),
            p99: percentile(2, |run| run.zombie_ns.p99.map(|ns| ns as f64)),
            max: seen(|run| run.zombie_ns.max.map(|ns| ns as f64)),
        };
        Pair {
            verdict: Verdict::of(changes.percentiles().filter_map(|change| change.verdict)),
            base,
            new,
            changes,
        }
    }
}

impl Changes {
    /// Those that are judged.
    pub fn percentiles(&self) -> impl Iterator<Item = &Change> {
        [&self.p50, &self.p90, &self.p99].into_iter()
    }
}

impl Pair {
    /// For sorting: what is worse for sure comes first, then what seems worse.
    fn badness(&self) -> (u8, f64) {
        let changes = &self.changes;
        let worst = changes.percentiles().filter_map(|change| change.relative);
        let worst = worst.fold(-1.0, f64::max);
        match self.verdict {
            Verdict::Worse => (4, worst),
            Verdict::Mixed => (3, worst),
            Verdict::Better => (2, worst),
            Verdict::NoDifference => (1, changes.p50.relative.unwrap_or(-1.0)),
            Verdict::NotEnoughData => (0, self.base.zombie_ns.count as f64),
        }
    }
}

fn relative(base: Option<f64>, new: Option<f64>) -> Option<f64> {
    let relative = new? / base? - 1.0;
    relative.is_finite().then_some(relative)
}

/// Where the change from one to the other may lie, with this probability of an error.
fn interval(base: Estimate, new: Estimate, error: f64) -> [f64; 2] {
    let variances = [base.sampling, base.drift, new.sampling, new.drift];
    let variance: f64 = variances.iter().map(|one| one.value).sum();
    let freedoms = variances.map(|one| one.value.powi(2) / one.freedom.max(1.0));
    let freedom = variance.powi(2) / freedoms.iter().sum::<f64>();
    // Without any variance it is not a number, and any distribution will do.
    let student = StudentsT::new(0.0, 1.0, freedom.max(1.0)).expect("positive parameters");
    let reach = student.inverse_cdf(1.0 - error / 2.0) * variance.sqrt();
    let difference = new.log - base.log;
    [difference - reach, difference + reach].map(f64::exp_m1)
}

fn judge((relative, [low, high]): (f64, [f64; 2])) -> Verdict {
    let factor = 1.0 + relative;
    if factor >= LEAST_CHANGE && low > 0.0 {
        Verdict::Worse
    } else if factor <= 1.0 / LEAST_CHANGE && high < 0.0 {
        Verdict::Better
    } else {
        Verdict::NoDifference
    }
}

#[cfg(test)]
mod tests;
