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
//! that drifts. The maximum is a single zombie: its change is shown but not judged.
//!
//! Zombies that were never reaped are in no percentile. They are compared by parent: one that leaves
//! zombies in the second run alone makes it worse, whatever the percentiles are. See `lingering.rs`.

mod lingering;
mod profile;
mod resample;
mod scale;
mod verdict;

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

use self::{
    lingering::OfRun,
    profile::BlockTimes,
    resample::{Estimate, Shortfall, quantiles, rate},
};
use crate::{aggregate::ZombieTimes, model::Comm};

pub use lingering::LingeringSummary;
pub use profile::Profile;
pub use verdict::{LEAST_CHANGE, Meaning};

/// How sure all intervals of a comparison are together.
pub const CONFIDENCE: f64 = 0.95;
/// A percentile with fewer zombies beyond it is not judged.
const LEAST_BEYOND: f64 = 10.0;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Two runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// That of the run as a whole and of each parent together.
    pub verdict: Meaning,
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
    /// Parents that leave more or fewer zombies unreaped than before; the most zombies first.
    pub lingering: Vec<LingeringPair>,
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
    /// Its command line, of the second run if that has it.
    pub cmdline: Option<Arc<str>>,
    /// Its zombies.
    #[serde(flatten)]
    pub pair: Pair,
}

/// The zombies that a parent left in both runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LingeringPair {
    /// The parent's command name.
    pub comm: Option<Comm>,
    /// Worse if it leaves more.
    pub verdict: Meaning,
    /// In the first run.
    pub base: LingeringSummary,
    /// In the second run.
    pub new: LingeringSummary,
}

/// The zombies of a parent that is in one run alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParentCount {
    /// The parent's command name.
    pub comm: Option<Comm>,
    /// How many were reaped.
    pub count: u64,
    /// Worse if it leaves zombies in the second run, better if it did in the first; `None` if that is
    /// not known.
    pub verdict: Option<Meaning>,
    /// Its living zombies and its zombie time.
    #[serde(flatten)]
    pub lingering: LingeringSummary,
}

/// The zombies of both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// What the percentiles say together.
    pub verdict: Meaning,
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
    /// The zombie time of all, in ns; this and the next two are `None` if the recording has no summary.
    pub zombie_time_ns: Option<u64>,
    /// Living zombies at the end of the run.
    pub alive: Option<u64>,
    /// The age of the oldest of them, in ns; `None` if there is none, too.
    pub oldest_ns: Option<u64>,
    /// How long they lasted.
    pub zombie_ns: ZombieTimes,
    /// What a zombie time is exact to, in ns.
    #[serde(skip)]
    pub error_ns: u64,
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
    /// Of the zombie time.
    pub zombie_time: Change,
    /// Of living zombies at the end of the run; worse if a parent leaves zombies that did not before.
    pub alive: Change,
    /// Of the age of the oldest of them.
    pub oldest: Change,
}

/// By how much a figure has changed: 0.2 for 20 % more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Change {
    /// What is seen; `None` if one of the figures is not known, or the first is 0.
    pub relative: Option<f64>,
    /// The second figure divided by the first.
    pub ratio: Option<f64>,
    /// Where the change may lie in truth; `None` if that can't be told.
    pub interval: Option<[f64; 2]>,
    /// What it means; `None` for what is not judged.
    pub verdict: Option<Meaning>,
    /// What lacks for a verdict; `None` if nothing does.
    pub needed: Option<Needed>,
}

/// How much more data a verdict needs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Needed {
    /// How many zombies each run must have at least.
    pub zombies: u64,
    /// How many times as long the first run must be, about; `None` if it is long enough or has no
    /// zombies.
    pub base_longer: Option<f64>,
    /// The same of the second run.
    pub new_longer: Option<f64>,
}

/// Compares two runs.
pub fn compare(base: &Profile, new: &Profile) -> Comparison {
    let overall = Estimates::new((base, &base.overall), (new, &new.overall));
    let living = Living::new(base, new);
    let none = BlockTimes::default();
    // A single parent is the run as a whole once more, unless the tracer has a child as well.
    let has_all = |profile: &Profile| {
        let of_parents = profile.parents.values().map(BlockTimes::count);
        of_parents.sum::<u64>() == profile.count()
    };
    let are_apart = |names: usize| names > 1 || !has_all(base) || !has_all(new);
    let names: HashSet<_> = base
        .parents
        .keys()
        .chain(new.parents.keys())
        .chain(&living.different)
        .collect();
    let is_common = |comm| {
        let has_times = base.parents.contains_key(comm) && new.parents.contains_key(comm);
        let is_different = living.different.contains(comm);
        has_times || is_different && base.knows(*comm) && new.knows(*comm)
    };
    let common: Vec<_> = names
        .iter()
        .filter(|comm| are_apart(names.len()) && is_common(comm))
        .map(|comm| {
            let [base_times, new_times] =
                [base, new].map(|run| run.parents.get(comm).unwrap_or(&none));
            (**comm, Estimates::new((base, base_times), (new, new_times)))
        })
        .collect();

    // Those of a parent with too few zombies can't be wrong.
    let of_parents = common
        .iter()
        .filter(|(_, estimates)| estimates.are_enough());
    let of_parents = of_parents.count() * QUANTILES.len();
    let families = if of_parents > 0 { 2 } else { 1 };
    let share = |judged: usize| (1.0 - CONFIDENCE) / (families * judged.max(1)) as f64;
    let overall = overall
        .judge(share(QUANTILES.len()))
        .with(living.all(), living.of(None, |of_run| Some(&of_run.all)));
    let mut by_parent: Vec<_> = common
        .into_iter()
        .map(|(comm, estimates)| {
            let lingering = living.of(Some(comm), |of_run| of_run.parents.get(&comm));
            let cmdline = lingering.iter().rev().flatten();
            ParentPair {
                comm,
                cmdline: cmdline.filter_map(|run| run.cmdline.clone()).next(),
                pair: estimates
                    .judge(share(of_parents))
                    .with(living.verdict(comm), lingering),
            }
        })
        .collect();
    by_parent.sort_by(|a, b| {
        let ((a_rank, a_worst), (b_rank, b_worst)) = (a.pair.badness(), b.pair.badness());
        let badness = b_rank.cmp(&a_rank).then(b_worst.total_cmp(&a_worst));
        badness.then_with(|| a.comm.cmp(&b.comm))
    });
    let verdicts = by_parent.iter().map(|parent| parent.pair.verdict);
    let verdict = match living.is_worse() {
        // The others may look better for that alone: what is never reaped is in no percentile.
        true => Meaning::Worse,
        false => Meaning::of(verdicts.chain([overall.verdict])),
    };
    Comparison {
        verdict,
        confidence: CONFIDENCE,
        least_change: LEAST_CHANGE,
        judged: QUANTILES.len() + of_parents,
        lingering: living.pairs(),
        only_base: living.only(base, new, 0),
        only_new: living.only(new, base, 1),
        of_others: base.of_others.saturating_add(new.of_others),
        overall,
        by_parent,
    }
}

/// The zombies that were not reaped, in both runs.
struct Living<'a> {
    /// `None` if one of them does not say.
    runs: Option<[&'a OfRun; 2]>,
    /// Parents that leave more or fewer than before.
    different: HashSet<Option<Comm>>,
}

impl<'a> Living<'a> {
    fn new(base: &'a Profile, new: &'a Profile) -> Self {
        let runs = base.lingering.as_ref().zip(new.lingering.as_ref());
        let mut living = Self {
            runs: runs.map(<[&OfRun; 2]>::from),
            different: HashSet::new(),
        };
        let parents = living.runs.iter().flatten();
        let parents: HashSet<_> = parents.flat_map(|run| run.parents.keys()).collect();
        let is_different = |comm: &Option<Comm>| {
            let verdict = living.verdict(*comm);
            verdict.is_some_and(Meaning::is_difference)
        };
        let different = parents.into_iter().filter(|comm| is_different(comm));
        living.different = different.copied().collect();
        living
    }

    /// Whether this parent leaves zombies that it did not before.
    fn verdict(&self, comm: Option<Comm>) -> Option<Meaning> {
        let runs = self.runs?;
        let none = LingeringSummary::default();
        let [base, new] = runs.map(|run| run.parents.get(&comm).unwrap_or(&none));
        Some(lingering::judge(base, new, runs.map(|run| run.duration_ns)))
    }

    /// Of all parents together.
    fn all(&self) -> Option<Meaning> {
        self.runs?;
        let verdicts = self.different.iter().filter_map(|comm| self.verdict(*comm));
        Some(Meaning::of(verdicts.chain([Meaning::NoDifference])))
    }

    fn pairs(&self) -> Vec<LingeringPair> {
        let pair = |comm: &Option<Comm>| {
            let [base, new] = self.of(Some(*comm), |run| run.parents.get(comm));
            Some(LingeringPair {
                comm: *comm,
                verdict: self.verdict(*comm)?,
                base: base?,
                new: new?,
            })
        };
        let mut pairs: Vec<_> = self.different.iter().filter_map(pair).collect();
        pairs.sort_unstable_by_key(|pair| {
            let is_worse = pair.verdict == Meaning::Worse;
            let alive = pair.base.alive.max(pair.new.alive);
            (Reverse(is_worse), Reverse(alive), pair.comm)
        });
        pairs
    }

    fn is_worse(&self) -> bool {
        let mut verdicts = self.different.iter().map(|comm| self.verdict(*comm));
        verdicts.any(|verdict| verdict == Some(Meaning::Worse))
    }

    /// What each run says about some of its zombies; nothing of a parent is nothing left.
    fn of(
        &self,
        parent: Option<Option<Comm>>,
        get: impl Fn(&'a OfRun) -> Option<&'a LingeringSummary>,
    ) -> [Option<LingeringSummary>; 2] {
        let Some(runs) = self.runs else {
            return [None, None];
        };
        let none = || parent.map(|_| LingeringSummary::default());
        runs.map(|run| get(run).cloned().or_else(none))
    }

    /// The parents that are in one run alone: those that leave zombies, then the one with the most.
    /// `index`: which of the runs that is.
    fn only(&self, one: &Profile, other: &Profile, index: usize) -> Vec<ParentCount> {
        // Who has intervals alone knows no parents.
        let has_parents = !other.parents.is_empty();
        let named = one.parents.keys().filter(|_| has_parents);
        let comms: HashSet<_> = named.chain(&self.different).copied().collect();
        let comms = comms
            .into_iter()
            .filter(|comm| one.knows(*comm) && !other.knows(*comm));
        let mut only: Vec<_> = comms
            .map(|comm| ParentCount {
                comm,
                count: one.parents.get(&comm).map_or(0, BlockTimes::count),
                verdict: self.verdict(comm),
                lingering: self
                    .runs
                    .and_then(|runs| runs[index].parents.get(&comm).cloned())
                    .unwrap_or_default(),
            })
            .collect();
        only.sort_unstable_by_key(|parent| {
            let is_different = parent.verdict.is_some_and(Meaning::is_difference);
            (Reverse(is_different), Reverse(parent.count), parent.comm)
        });
        only
    }
}

/// Before it is known how many are judged at once.
struct Estimates {
    figures: [RunFigures; 2],
    rate: [Option<Estimate>; 2],
    quantiles: [[Result<Estimate, Shortfall>; QUANTILES.len()]; 2],
}

impl Estimates {
    fn new(base: (&Profile, &BlockTimes), new: (&Profile, &BlockTimes)) -> Self {
        let runs = [base, new];
        Self {
            figures: runs.map(|(profile, times)| {
                let seconds = profile.spans.iter().sum::<u64>() as f64 / 1e9;
                let rate = times.count() as f64 / seconds;
                RunFigures {
                    rate: rate.is_finite().then_some(rate),
                    zombie_time_ns: None,
                    alive: None,
                    oldest_ns: None,
                    zombie_ns: times.summary(),
                    error_ns: profile.error_ns,
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
        both.any(|(base, new)| base.is_ok() && new.is_ok())
    }

    /// With this probability of an error for each.
    fn judge(&self, error: f64) -> Pair {
        let [base, new] = self.figures;
        let seen =
            |figure: fn(&RunFigures) -> Option<f64>| Change::seen(figure(&base), figure(&new));
        let within = |of: [Option<Estimate>; 2]| Some(interval(of[0]?, of[1]?, error));
        let percentile = |index: usize, figure| {
            let estimates = [0, 1].map(|run| self.quantiles[run][index]);
            let interval = within(estimates.map(Result::ok));
            let change = seen(figure);
            let verdict = change.relative.zip(interval).map(judge);
            Change {
                interval,
                verdict: Some(verdict.unwrap_or(Meaning::NotEnoughData)),
                needed: Needed::of(QUANTILES[index], estimates),
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
            zombie_time: Change::default(),
            alive: Change::default(),
            oldest: Change::default(),
        };
        Pair {
            verdict: Meaning::of(changes.percentiles().filter_map(|change| change.verdict)),
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

impl Change {
    fn seen(base: Option<f64>, new: Option<f64>) -> Self {
        let ratio = base.zip(new).map(|(base, new)| new / base);
        let ratio = ratio.filter(|ratio| ratio.is_finite());
        Self {
            relative: ratio.map(|ratio| ratio - 1.0),
            ratio,
            ..Self::default()
        }
    }
}

impl Needed {
    fn of(quantile: f64, estimates: [Result<Estimate, Shortfall>; 2]) -> Option<Self> {
        let longer = |estimate: Result<_, Shortfall>| estimate.err().and_then(|lack| lack.longer);
        let [base_longer, new_longer] = estimates.map(longer);
        estimates.iter().any(Result::is_err).then_some(Self {
            zombies: (LEAST_BEYOND / (1.0 - quantile)).round() as u64,
            base_longer,
            new_longer,
        })
    }
}

impl Pair {
    /// With the zombies that were not reaped.
    fn with(mut self, verdict: Option<Meaning>, lingering: [Option<LingeringSummary>; 2]) -> Self {
        for (figures, lingering) in [&mut self.base, &mut self.new].into_iter().zip(lingering) {
            if let Some(lingering) = lingering {
                figures.zombie_time_ns = Some(lingering.zombie_time_ns);
                figures.alive = Some(lingering.alive);
                figures.oldest_ns = lingering.oldest_ns;
            }
        }
        let seen = |figure: fn(&RunFigures) -> Option<u64>| {
            let number = |run| figure(run).map(|number| number as f64);
            Change::seen(number(&self.base), number(&self.new))
        };
        self.changes.zombie_time = seen(|run| run.zombie_time_ns);
        self.changes.oldest = seen(|run| run.oldest_ns);
        self.changes.alive = Change {
            verdict,
            ..seen(|run| run.alive)
        };
        self.verdict = match verdict {
            Some(Meaning::Worse) => Meaning::Worse,
            Some(verdict) if verdict.is_difference() => {
                Meaning::of([self.verdict, verdict].into_iter())
            }
            _ => self.verdict,
        };
        self
    }

    /// For sorting: what is worse for sure comes first, then what seems worse.
    fn badness(&self) -> (u8, f64) {
        let changes = &self.changes;
        let worst = changes.percentiles().filter_map(|change| change.relative);
        let worst = worst.fold(-1.0, f64::max);
        match self.verdict {
            Meaning::Worse => (4, worst),
            Meaning::Mixed => (3, worst),
            Meaning::Better => (2, worst),
            Meaning::NoDifference => (1, changes.p50.relative.unwrap_or(-1.0)),
            Meaning::NotEnoughData => (0, self.base.zombie_ns.count as f64),
        }
    }
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

fn judge((relative, [low, high]): (f64, [f64; 2])) -> Meaning {
    let factor = 1.0 + relative;
    if factor >= LEAST_CHANGE && low > 0.0 {
        Meaning::Worse
    } else if factor <= 1.0 / LEAST_CHANGE && high < 0.0 {
        Meaning::Better
    } else {
        Meaning::NoDifference
    }
}

#[cfg(test)]
mod tests;
