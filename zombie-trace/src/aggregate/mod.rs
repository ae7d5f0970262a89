//! Counts, percentiles and histograms over a run. Pure.

#[cfg(feature = "cli")]
mod breakdown;
mod by;
mod by_container;
pub(crate) mod doing;
#[cfg(test)]
pub(crate) mod fixtures;
mod group;
mod groups;
mod interval;
mod log_histogram;
mod phase_totals;
mod rows;
mod samples;
mod summary;

use std::time::Duration;

use jiff::Timestamp;

#[cfg(feature = "cli")]
pub(crate) use breakdown::{Breakdown, MEANINGS, PARTS};
pub use by::By;
pub use doing::WhatParentsDid;
pub use group::GroupSummary;
pub use interval::Interval;
pub(crate) use log_histogram::SparseHistogram;
pub use log_histogram::{FineHistogram, Log2Histogram};
pub use phase_totals::PhaseTotals;
pub use rows::{CauseSummary, CommSummary, ContainerSummary, ParentSummary, Row, worst_first};
pub use samples::{Quantile, Samples};
pub use summary::{Summary, ZombieTimes};

use self::{by_container::ByContainer, groups::Groups, interval::Since};
use crate::model::{Alive, Cause, Comm, Counts, Flag, Zombie};

/// The number of characters of a command line that is kept.
const LONGEST_CMDLINE: usize = 256;

/// What a run has seen so far: everything in scope, listed or not.
#[derive(Clone, Debug)]
pub struct Aggregate {
    run: RunFacts,
    times: Samples,
    /// Zombies that were reaped, but whose time is not exact.
    inexact: u64,
    listed: u64,
    zombie_time: u64,
    /// The age of the oldest zombie that is left.
    oldest: Option<u64>,
    histogram: Log2Histogram,
    /// By pid and name, so that neither a pid used again nor an exec mixes two parents.
    parents: Groups<ParentKey>,
    commands: Groups<Option<Comm>>,
    causes: Groups<Option<Cause>>,
    containers: ByContainer,
    /// Only if intervals are asked for.
    since: Option<Since>,
}

/// What has to be known of a run to sum it up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// When it began: zombie time before does not count.
    pub begin: Option<Timestamp>,
    /// The backend's error for a zombie time that is exact, in ns.
    pub error_ns: u64,
    /// The tracer's own pid, which is no row.
    pub tracer_pid: Option<u32>,
}

impl RunFacts {
    /// The part of a zombie's time up to `ts` that lies in the run.
    pub fn in_run(&self, ts: Timestamp, time: u64, flags: &[Flag]) -> u64 {
        // Only pre-existing zombies have another part. The wall clock may be set meanwhile.
        let Some(begin) = self.begin.filter(|_| flags.contains(&Flag::PreExisting)) else {
            return time;
        };
        let since = ts.duration_since(begin).as_nanos();
        time.min(u64::try_from(since).unwrap_or(0))
    }

    /// Whether the zombie's time is in percentiles: it was a zombie of this run, and its error is below a
    /// tenth of its time, or no more than that of the hooks.
    pub fn is_measured(&self, zombie: &Zombie) -> bool {
        !zombie.autoreaped() && !zombie.pre_existing() && self.is_exact(zombie)
    }

    fn is_exact(&self, zombie: &Zombie) -> bool {
        const INEXACT: [Flag; 2] = [Flag::ApproximateStart, Flag::BoundedEnd];
        zombie.error_ns <= self.error_ns
            || zombie.error_ns < zombie.zombie_ns / 10
            || !zombie.flags.iter().any(|flag| INEXACT.contains(flag))
    }
}

/// A parent: its pid and command name.
pub type ParentKey = (Option<u32>, Option<Comm>);

/// Who is not kept apart any more, and who is not known.
const OTHERS: ParentKey = (None, None);

impl Default for Aggregate {
    fn default() -> Self {
        Self::new(RunFacts::default())
    }
}

impl Aggregate {
    /// Of this run.
    pub fn new(run: RunFacts) -> Self {
        Self {
            run,
            times: Samples::default(),
            inexact: 0,
            listed: 0,
            zombie_time: 0,
            oldest: None,
            histogram: Log2Histogram::default(),
            parents: Groups::new(OTHERS),
            commands: Groups::new(None),
            causes: Groups::new(None),
            containers: ByContainer::default(),
            since: None,
        }
    }

    /// What follows is of another run, which is summed up together with those before.
    pub fn next_run(&mut self, run: RunFacts) {
        self.run = run;
    }

    /// From now on, intervals are asked for.
    pub fn begin_intervals(&mut self) {
        self.since = Some(Since::new());
    }

    /// An interval ends at `ts`, `elapsed` after the begin of the run, and the next begins; [`None`]
    /// if they are not asked for. `counts` are those of the run so far.
    pub fn end_interval(
        &mut self,
        counts: Counts,
        ts: Timestamp,
        elapsed: Duration,
    ) -> Option<Interval> {
        let since = self.since.as_mut()?;
        Some(since.end(counts, ts, nanos(elapsed)))
    }

    /// Takes in a process that is gone. Gives whether its parent is seen for the first time.
    pub fn zombie(&mut self, zombie: &Zombie, is_listed: bool) -> bool {
        self.listed += u64::from(is_listed);
        let is_exact = self.run.is_exact(zombie);
        let in_run = self.run.in_run(zombie.ts, zombie.zombie_ns, &zombie.flags);
        if let Some(container) = &zombie.container {
            let group = self.containers.group(container);
            group.zombie(zombie, in_run, is_exact);
        }
        self.commands
            .zombie(&Some(zombie.comm), zombie, in_run, is_exact);
        self.parents.end(&(Some(zombie.pid), Some(zombie.comm)));
        let is_new = zombie
            .ppid
            .is_none_or(|ppid| Some(ppid) != self.run.tracer_pid)
            && self
                .parents
                .zombie(&(zombie.ppid, zombie.parent_comm), zombie, in_run, is_exact);
        if zombie.autoreaped() {
            return is_new;
        }
        self.causes.zombie(&zombie.cause, zombie, in_run, is_exact);
        self.zombie_time = self.zombie_time.saturating_add(in_run);
        if zombie.pre_existing() {
            return is_new;
        }
        if !is_exact {
            self.inexact += 1;
            return is_new;
        }
        self.times.record(zombie.zombie_ns);
        self.histogram.record(zombie.zombie_ns);
        if let Some(since) = &mut self.since {
            since.record(zombie.zombie_ns);
        }
        is_new
    }

    /// Takes in a zombie that is still there at the end of the run. To be called once for each.
    pub fn alive(&mut self, alive: &Alive) {
        let in_run = self.run.in_run(alive.ts, alive.age_ns, &alive.flags);
        self.zombie_time = self.zombie_time.saturating_add(in_run);
        self.oldest = self.oldest.max(Some(alive.age_ns));
        if alive
            .ppid
            .is_none_or(|ppid| Some(ppid) != self.run.tracer_pid)
        {
            self.parents
                .alive(&(alive.ppid, alive.parent_comm), alive, in_run);
        }
        self.commands.alive(&Some(alive.comm), alive, in_run);
        self.causes.alive(&alive.cause, alive, in_run);
        if let Some(container) = &alive.container {
            self.containers.group(container).alive(alive, in_run);
        }
    }

    /// Whether children of that parent were taken in.
    pub(crate) fn has_parent(&self, parent: &ParentKey) -> bool {
        self.parents.contains(parent)
    }

    /// The command line of a parent that has children in scope.
    pub fn named(&mut self, parent: ParentKey, cmdline: &str) {
        let cut: String = cmdline.chars().take(LONGEST_CMDLINE).collect();
        self.parents.get(&parent).0.named(&cut.into());
    }

    /// Takes in a zombie that a recording does not list: its parent and its exact time.
    pub fn unlisted(&mut self, parent: ParentKey, zombie_ns: u64) {
        self.times(zombie_ns, 1);
        self.zombie_time(zombie_ns);
        self.parents.time(&parent, zombie_ns);
    }

    /// Takes in the times of `count` zombies, which lasted about this long, but not their zombie time.
    pub fn times(&mut self, zombie_ns: u64, count: u64) {
        self.times.record_n(zombie_ns, count);
        self.histogram.record_n(zombie_ns, count);
    }

    /// Of the times that were taken in, the sum is not `rounded` but `exact`.
    pub(crate) fn correct_sum(&mut self, rounded: u128, exact: u128) {
        self.times.correct_sum(rounded, exact);
    }

    /// Takes over how many zombies lasted how long, and nothing else.
    pub(crate) fn merge_histogram(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
    }

    /// Takes in the zombie time of zombies about which nothing else is known.
    pub(crate) fn zombie_time(&mut self, ns: u64) {
        self.zombie_time = self.zombie_time.saturating_add(ns);
    }

    /// Takes in a run that is summed up, whose zombies are not listed.
    pub fn summed(&mut self, other: &Summary) {
        for row in &other.by_parent {
            self.parents.get(&(row.ppid, row.comm)).0.summed(&row.group);
        }
        for row in &other.by_comm {
            self.commands.get(&row.comm).0.summed(&row.group);
        }
        for row in &other.by_container {
            self.containers.group(&row.container).summed(&row.group);
        }
        for row in &other.by_cause {
            self.causes.get(&row.group.cause).0.summed(&row.group);
        }
        self.zombie_time = self.zombie_time.saturating_add(other.zombie_time_ns);
        self.oldest = self.oldest.max(other.oldest_ns);
        self.inexact = self.inexact.saturating_add(other.inexact);
        self.listed = self.listed.saturating_add(other.listed);
        self.name_parents(other);
    }

    /// Takes in the autoreaped processes of a run that does not list them.
    pub fn unlisted_autoreaped(&mut self, other: &Summary) {
        let some = |group: &GroupSummary| group.autoreaped > 0;
        for row in other.by_parent.iter().filter(|row| some(&row.group)) {
            let (group, _) = self.parents.get(&(row.ppid, row.comm));
            group.autoreaped(&row.group);
        }
        for row in other.by_comm.iter().filter(|row| some(&row.group)) {
            let (group, _) = self.commands.get(&row.comm);
            group.autoreaped(&row.group);
        }
        for row in other.by_container.iter().filter(|row| some(&row.group)) {
            let group = self.containers.group(&row.container);
            group.autoreaped(&row.group);
        }
    }

    /// Takes over the parents' command lines, which only a summary has.
    pub fn name_parents(&mut self, other: &Summary) {
        for row in &other.by_parent {
            if let Some(cmdline) = &row.cmdline {
                self.named((row.ppid, row.comm), cmdline);
            }
        }
    }

    /// The part of a zombie's time up to `ts` that lies in the run.
    pub fn in_run(&self, ts: Timestamp, time: u64, flags: &[Flag]) -> u64 {
        self.run.in_run(ts, time, flags)
    }

    /// The end of the run, at `ts`, after `duration`.
    pub fn summary(&self, counts: Counts, ts: Timestamp, duration: Duration) -> Summary {
        let parents = self.parents.iter().map(|((ppid, comm), group)| {
            let (ppid, comm, cmdline) = (*ppid, *comm, group.cmdline());
            ParentSummary {
                ppid,
                comm,
                cmdline,
                place: None,
                group: group.summary(),
            }
        });
        let commands = self.commands.iter().map(|(comm, group)| CommSummary {
            comm: *comm,
            group: group.summary(),
        });
        let causes = self.causes.iter().map(|(_, group)| CauseSummary {
            group: group.summary(),
        });
        Summary {
            ts,
            duration_ns: nanos(duration),
            counts,
            complete: counts.lost.is_none(),
            listed: self.listed,
            zombie_time_ns: self.zombie_time,
            oldest_ns: self.oldest,
            inexact: self.inexact,
            zombie_ns: ZombieTimes::from(&self.times),
            by_parent: ranked(parents),
            by_comm: ranked(commands),
            by_container: self.containers.summary(),
            by_cause: ranked(causes),
            is_cut: false,
            stacks: None,
            histogram: self.histogram.clone(),
        }
    }

    /// Whether a zombie's time is in percentiles.
    pub fn is_measured(&self, zombie: &Zombie) -> bool {
        self.run.is_measured(zombie)
    }

    /// What an exact zombie time is exact to, in ns.
    pub(crate) fn error_ns(&self) -> u64 {
        self.run.error_ns
    }

    /// The zombie times that are exact.
    pub fn exact_times(&self) -> &Samples {
        &self.times
    }
}

fn ranked<R: Row>(rows: impl Iterator<Item = R>) -> Vec<R> {
    let mut rows: Vec<_> = rows.collect();
    worst_first(&mut rows);
    rows
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Flag, How, Lost,
        fixtures::{alive, zombie},
    };

    fn summary(aggregate: &Aggregate) -> Summary {
        aggregate.summary(
            Counts::default(),
            Timestamp::UNIX_EPOCH,
            Duration::from_secs(1),
        )
    }

    fn lasting(zombie_ns: u64) -> Zombie {
        Zombie {
            zombie_ns,
            ..zombie()
        }
    }

    #[test]
    fn empty_run() {
        let summary = summary(&Aggregate::default());
        assert_eq!(summary.zombie_ns, ZombieTimes::default());
        assert!(summary.by_parent.is_empty());
        assert!(summary.complete);
    }

    #[test]
    fn parents_are_bounded_and_their_sum_is_kept() {
        let mut aggregate = Aggregate::default();
        let runs = 3 * groups::MOST as u32;
        for ppid in 1..=runs {
            let zombie = Zombie {
                ppid: Some(ppid),
                zombie_ns: u64::from(ppid),
                ..zombie()
            };
            aggregate.zombie(&zombie, true);
        }
        let summary = summary(&aggregate);
        assert!(summary.by_parent.len() <= groups::MOST);
        let reaped: u64 = summary
            .by_parent
            .iter()
            .map(|parent| parent.group.reaped)
            .sum();
        assert_eq!(reaped, u64::from(runs));
        let total: u64 = summary
            .by_parent
            .iter()
            .map(|parent| parent.group.total_ns)
            .sum();
        assert_eq!(total, u64::from(runs) * (u64::from(runs) + 1) / 2);
        let worst = summary
            .by_parent
            .iter()
            .find(|parent| parent.ppid.is_some());
        assert_eq!(worst.unwrap().ppid, Some(runs));
    }

    #[test]
    fn histograms_are_bounded() {
        let mut aggregate = Aggregate::default();
        for ppid in 1..=2 * groups::MOST_HISTOGRAMS as u32 {
            for time in 1..=100 {
                let zombie = Zombie {
                    ppid: Some(ppid),
                    zombie_ns: time * 1000,
                    ..zombie()
                };
                aggregate.zombie(&zombie, true);
            }
            assert!(aggregate.parents.histograms() <= groups::MOST_HISTOGRAMS);
        }
        let reaped = summary(&aggregate);
        let reaped: u64 = reaped
            .by_parent
            .iter()
            .map(|parent| parent.group.reaped)
            .sum();
        assert_eq!(reaped, 200 * groups::MOST_HISTOGRAMS as u64);
    }

    #[test]
    fn any_loss_makes_it_incomplete() {
        for lost in [
            Lost {
                ring_full: 1,
                ..Lost::default()
            },
            Lost {
                map_full: 1,
                ..Lost::default()
            },
            Lost {
                missed: 1,
                ..Lost::default()
            },
        ] {
            let counts = Counts {
                lost,
                ..Counts::default()
            };
            let summary =
                Aggregate::default().summary(counts, Timestamp::UNIX_EPOCH, Duration::ZERO);
            assert!(!summary.complete);
        }
    }

    #[test]
    fn what_is_not_listed_counts_all_the_same() {
        let mut aggregate = Aggregate::default();
        aggregate.zombie(&lasting(10), true);
        aggregate.zombie(&lasting(1000), false);
        let summary = summary(&aggregate);
        assert_eq!((summary.listed, summary.zombie_ns.count), (1, 2));
        assert_eq!(summary.zombie_ns.max, Some(1000));
        let parent = &summary.by_parent[0].group;
        assert_eq!((parent.reaped, parent.total_ns), (2, 1010));
        assert_eq!(
            (summary.zombie_time_ns, parent.zombie_time_ns),
            (1010, 1010)
        );
    }

    #[test]
    fn autoreaped_count_for_their_parent_alone() {
        let autoreaped = Zombie {
            how: How::Autoreap,
            ..lasting(0)
        };
        let mut aggregate = Aggregate::default();
        aggregate.zombie(&autoreaped, true);
        aggregate.zombie(&autoreaped, false);
        let summary = summary(&aggregate);
        assert_eq!(summary.zombie_ns.count, 0);
        let parent = &summary.by_parent[0].group;
        assert_eq!(
            (parent.reaped, parent.autoreaped, parent.p50_ns),
            (0, 2, None)
        );
        assert_eq!((summary.by_cause.len(), summary.by_comm.len()), (0, 1));
    }

    #[test]
    fn what_is_not_exact_is_in_no_percentile() {
        let mut aggregate = Aggregate::new(RunFacts {
            error_ns: 25_000,
            ..RunFacts::default()
        });
        for (zombie_ns, error_ns, flag) in [
            (1_000, 25_000, Flag::BoundedEnd),
            (1_000_000, 99_999, Flag::ApproximateStart),
            (1_000_000, 100_000, Flag::BoundedEnd),
            (5_000_000, 5_000_000, Flag::BoundedEnd),
        ] {
            let zombie = Zombie {
                error_ns,
                flags: vec![flag],
                ..lasting(zombie_ns)
            };
            aggregate.zombie(&zombie, true);
        }
        let summary = summary(&aggregate);
        assert_eq!((summary.inexact, summary.zombie_ns.count), (2, 2));
        assert_eq!(summary.zombie_ns.max, Some(1_000_000));
        assert_eq!(summary.by_parent[0].group.reaped, 4);
        assert_eq!(summary.zombie_time_ns, 7_001_000);
    }

    #[test]
    fn our_own_process_is_no_row() {
        let mut aggregate = Aggregate::new(RunFacts {
            tracer_pid: zombie().ppid,
            ..RunFacts::default()
        });
        aggregate.zombie(&lasting(10), true);
        aggregate.alive(&alive());
        let summary = summary(&aggregate);
        assert!(summary.by_parent.is_empty());
        assert_eq!(summary.zombie_time_ns, 3_000_000_010);
    }

    #[test]
    fn rows_by_command_and_cause() {
        let mut aggregate = Aggregate::default();
        aggregate.zombie(&lasting(10), true);
        aggregate.alive(&Alive {
            comm: "worker".into(),
            cause: Some(Cause::NeverWaits),
            cause_text: Some("the parent does not wait".into()),
            ..alive()
        });
        let summary = summary(&aggregate);
        let commands = summary.by_comm.iter();
        let commands: Vec<_> = commands
            .map(|row| (row.comm.unwrap().to_str().into_owned(), row.group.alive))
            .collect();
        assert_eq!(
            commands,
            [("worker".to_owned(), 1), ("sleep".to_owned(), 0)]
        );
        let causes = summary.by_cause.iter();
        let causes: Vec<_> = causes
            .map(|row| (row.group.cause, row.group.zombie_time_ns))
            .collect();
        assert_eq!(
            causes,
            [(Some(Cause::NeverWaits), 3_000_000_000), (None, 10)]
        );
        let parent = &summary.by_parent[0].group;
        assert_eq!(parent.cause, Some(Cause::NeverWaits));
        assert_eq!(parent.oldest_ns, Some(3_000_000_000));
    }

    /// The youngest has often had no time to be reaped.
    #[test]
    fn an_unknown_cause_replaces_no_known_one() {
        for causes in [
            [Cause::NeverWaits, Cause::Unknown],
            [Cause::Unknown, Cause::NeverWaits],
        ] {
            let mut aggregate = Aggregate::default();
            for cause in causes {
                aggregate.alive(&Alive {
                    cause: Some(cause),
                    ..alive()
                });
            }
            let summary = summary(&aggregate);
            assert_eq!(summary.by_parent[0].group.cause, Some(Cause::NeverWaits));
        }
    }

    #[test]
    fn autoreap_on_reparent_was_a_zombie() {
        let mut aggregate = Aggregate::default();
        let zombie = Zombie {
            how: How::AutoreapOnReparent,
            ..lasting(7)
        };
        aggregate.zombie(&zombie, true);
        let summary = summary(&aggregate);
        assert_eq!(summary.zombie_ns.count, 1);
        assert_eq!(summary.by_parent[0].group.reaped, 1);
    }

    #[test]
    fn of_pre_existing_zombies_the_time_in_the_run_counts() {
        let begin: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let ts: Timestamp = "2026-01-02T03:04:07Z".parse().unwrap();
        let flags = vec![Flag::PreExisting];
        let mut aggregate = Aggregate::new(RunFacts {
            begin: Some(begin),
            ..RunFacts::default()
        });
        aggregate.zombie(
            &Zombie {
                ts,
                flags: flags.clone(),
                ..lasting(480_000_000_000)
            },
            true,
        );
        aggregate.alive(&Alive {
            ts,
            flags,
            age_ns: 480_000_000_000,
            ..alive()
        });
        let summary = summary(&aggregate);
        assert_eq!((summary.zombie_ns.count, summary.inexact), (0, 0));
        assert_eq!(summary.zombie_time_ns, 4_000_000_000);
        let parent = &summary.by_parent[0].group;
        assert_eq!((parent.reaped, parent.alive), (0, 1));
        assert_eq!(parent.oldest_ns, Some(480_000_000_000));
        // It lives, although this run did not see its exit.
        assert_eq!((summary.counts.alive, summary.living()), (0, 1));
    }

    #[test]
    fn a_parent_that_ended_is_known() {
        let mut aggregate = Aggregate::default();
        let flags = vec![Flag::Reparented];
        let left = Zombie {
            ppid: Some(7),
            flags,
            ..zombie()
        };
        let parent = Zombie {
            pid: 8,
            comm: "bash".into(),
            ppid: Some(1),
            ..zombie()
        };
        let other = Zombie {
            ppid: Some(8),
            parent_comm: Some("bash".into()),
            ..zombie()
        };
        for zombie in [&left, &other, &parent] {
            aggregate.zombie(zombie, true);
        }
        let summary = summary(&aggregate);
        let found = |ppid| {
            let mut rows = summary.by_parent.iter();
            let row = rows.find(|row| row.ppid == Some(ppid)).unwrap();
            (row.group.ended, row.group.reparented)
        };
        assert_eq!([7, 8, 1].map(found), [(false, 1), (true, 0), (false, 0)]);
    }

    #[test]
    fn most_zombie_time_comes_first() {
        let mut aggregate = Aggregate::default();
        let child_of = |ppid, zombie_ns| Zombie {
            ppid: Some(ppid),
            ..lasting(zombie_ns)
        };
        aggregate.zombie(&child_of(1, 50), true);
        aggregate.zombie(&child_of(2, 30), true);
        aggregate.zombie(&child_of(2, 30), true);
        for (ppid, age_ns) in [(4, 40), (3, 40), (4, 40), (3, 39)] {
            aggregate.alive(&Alive {
                ppid: Some(ppid),
                age_ns,
                ..alive()
            });
        }
        let order: Vec<_> = summary(&aggregate)
            .by_parent
            .iter()
            .map(|p| p.ppid)
            .collect();
        assert_eq!(order, [Some(4), Some(3), Some(2), Some(1)]);
    }

    #[test]
    fn a_parent_that_execs_is_two() {
        let mut aggregate = Aggregate::default();
        aggregate.zombie(&zombie(), true);
        aggregate.zombie(
            &Zombie {
                parent_comm: Some("make".into()),
                ..zombie()
            },
            true,
        );
        assert_eq!(summary(&aggregate).by_parent.len(), 2);
    }
}
