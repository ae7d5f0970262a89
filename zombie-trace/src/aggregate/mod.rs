//! Counts, percentiles and histograms over a run. Pure.

mod by_comm;
mod by_container;
mod by_parent;
#[cfg(test)]
pub(crate) mod fixtures;
mod groups;
mod interval;
mod log_histogram;
mod samples;
mod summary;

use std::{cmp::Reverse, time::Duration};

use jiff::Timestamp;

pub use by_comm::{ByComm, CommSummary};
pub use by_container::worst_containers_first;
pub use interval::Interval;
pub use log_histogram::{FineHistogram, Log2Histogram, LogHistogram};
pub use summary::{ContainerSummary, ParentSummary, PhaseTotals, Summary, ZombieTimes};

use self::{by_container::ByContainer, groups::Groups, interval::Since, samples::Samples};
use crate::{
    filter::Listing,
    model::{Alive, Comm, Counts, Zombie},
};

/// Zombie times up to this many are kept as they are, which makes their percentiles exact.
const EXACT_TIMES: usize = 4096;
const DIGITS: u8 = 3;

/// What a run has seen so far.
///
/// Zombies that were there when the run began are in none of it.
#[derive(Debug)]
pub struct Aggregate {
    times: Samples,
    histogram: Log2Histogram,
    /// By pid and name, so that neither a pid used again nor an exec mixes two parents.
    parents: Groups<ParentKey>,
    containers: ByContainer,
    /// Only if intervals are asked for.
    since: Option<Since>,
}

type ParentKey = (Option<u32>, Option<Comm>);

/// Who is not kept apart any more, and who is not known.
const OTHERS: ParentKey = (None, None);

impl Default for Aggregate {
    fn default() -> Self {
        Self {
            times: Samples::new(EXACT_TIMES, DIGITS),
            histogram: Log2Histogram::default(),
            parents: Groups::new(OTHERS),
            containers: ByContainer::default(),
            since: None,
        }
    }
}

impl Aggregate {
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

    /// Takes in a process that is gone.
    ///
    /// Only a listed one counts, but an autoreaped one counts for its parent even if it was not
    /// listed for being autoreaped.
    pub fn zombie(&mut self, zombie: &Zombie, listing: Listing) {
        if zombie.pre_existing() || listing == Listing::Filtered {
            return;
        }
        if let Some(container) = &zombie.container {
            let group = self.containers.group(container);
            if zombie.autoreaped() {
                group.autoreaped += 1;
            } else {
                group.times.record(zombie.zombie_ns);
            }
        }
        let key = (zombie.ppid, zombie.parent_comm);
        if zombie.autoreaped() {
            self.parents.get(key).autoreaped += 1;
            return;
        }
        let parent = self.parents.record(key, zombie.zombie_ns);
        parent.phases(zombie.phases.as_ref());
        self.times.record(zombie.zombie_ns);
        self.histogram.record(zombie.zombie_ns);
        if let Some(since) = &mut self.since {
            since.record(zombie.zombie_ns);
        }
    }

    /// Takes in a zombie that passed the filter and is still there at the end of the run.
    ///
    /// To be called once for each.
    pub fn alive(&mut self, alive: &Alive) {
        if !alive.pre_existing() {
            self.parents.get((alive.ppid, alive.parent_comm)).alive += 1;
            if let Some(container) = &alive.container {
                self.containers.group(container).alive += 1;
            }
        }
    }

    /// Takes in so many zombies that lasted about so long, of parents that are not known apart.
    pub fn times(&mut self, zombie_ns: u64, count: u64) {
        self.times.record_n(zombie_ns, count);
        self.histogram.record_n(zombie_ns, count);
    }

    /// The end of the run, at `ts`, after `duration`.
    pub fn summary(&self, counts: Counts, ts: Timestamp, duration: Duration) -> Summary {
        let mut by_parent: Vec<_> = self
            .parents
            .iter()
            .map(|((ppid, comm), parent)| parent.summary(ppid, comm))
            .collect();
        worst_first(&mut by_parent);
        Summary {
            ts,
            duration_ns: nanos(duration),
            counts,
            complete: counts.lost.is_none(),
            zombie_ns: ZombieTimes::from(&self.times),
            by_parent,
            by_container: self.containers.summary(),
            histogram: self.histogram.clone(),
        }
    }
}

/// Puts the parents with the largest totals first.
pub fn worst_first(parents: &mut [ParentSummary]) {
    parents.sort_by_key(|parent| {
        (
            Reverse((
                parent.total_ns,
                parent.alive,
                parent.reaped,
                parent.autoreaped,
            )),
            parent.ppid,
            parent.comm,
        )
    });
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
            aggregate.zombie(&zombie, Listing::Listed);
        }
        let summary = summary(&aggregate);
        assert!(summary.by_parent.len() <= groups::MOST);
        let reaped: u64 = summary.by_parent.iter().map(|parent| parent.reaped).sum();
        assert_eq!(reaped, u64::from(runs));
        let total: u64 = summary.by_parent.iter().map(|parent| parent.total_ns).sum();
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
                aggregate.zombie(&zombie, Listing::Listed);
            }
            assert!(aggregate.parents.histograms() <= groups::MOST_HISTOGRAMS);
        }
        let reaped = summary(&aggregate);
        let reaped: u64 = reaped.by_parent.iter().map(|parent| parent.reaped).sum();
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
    fn only_what_is_listed_counts() {
        let mut aggregate = Aggregate::default();
        aggregate.zombie(&lasting(10), Listing::Listed);
        aggregate.zombie(&lasting(1000), Listing::Filtered);
        let summary = summary(&aggregate);
        assert_eq!(summary.zombie_ns.count, 1);
        assert_eq!(summary.zombie_ns.max, Some(10));
        assert_eq!(summary.by_parent[0].reaped, 1);
        assert_eq!(summary.by_parent[0].total_ns, 10);
    }

    #[test]
    fn autoreaped_count_for_their_parent_alone() {
        let autoreaped = Zombie {
            how: How::Autoreap,
            ..lasting(0)
        };
        let mut aggregate = Aggregate::default();
        aggregate.zombie(&autoreaped, Listing::Listed);
        aggregate.zombie(&autoreaped, Listing::Autoreaped);
        aggregate.zombie(&autoreaped, Listing::Filtered);
        let summary = summary(&aggregate);
        assert_eq!(summary.zombie_ns.count, 0);
        let parent = &summary.by_parent[0];
        assert_eq!(
            (parent.reaped, parent.autoreaped, parent.p50_ns),
            (0, 2, None)
        );
    }

    #[test]
    fn autoreap_on_reparent_was_a_zombie() {
        let mut aggregate = Aggregate::default();
        let zombie = Zombie {
            how: How::AutoreapOnReparent,
            ..lasting(7)
        };
        aggregate.zombie(&zombie, Listing::Listed);
        let summary = summary(&aggregate);
        assert_eq!(summary.zombie_ns.count, 1);
        assert_eq!(summary.by_parent[0].reaped, 1);
    }

    #[test]
    fn pre_existing_are_in_nothing() {
        let flags = vec![Flag::PreExisting];
        let mut aggregate = Aggregate::default();
        aggregate.zombie(
            &Zombie {
                flags: flags.clone(),
                ..zombie()
            },
            Listing::Listed,
        );
        aggregate.alive(&Alive { flags, ..alive() });
        let summary = summary(&aggregate);
        assert_eq!(summary.zombie_ns.count, 0);
        assert!(summary.by_parent.is_empty());
    }

    #[test]
    fn worst_total_comes_first_then_the_living() {
        let mut aggregate = Aggregate::default();
        let child_of = |ppid, zombie_ns| Zombie {
            ppid: Some(ppid),
            ..lasting(zombie_ns)
        };
        aggregate.zombie(&child_of(1, 50), Listing::Listed);
        aggregate.zombie(&child_of(2, 30), Listing::Listed);
        aggregate.zombie(&child_of(2, 30), Listing::Listed);
        aggregate.alive(&Alive {
            ppid: Some(4),
            ..alive()
        });
        aggregate.alive(&Alive {
            ppid: Some(3),
            ..alive()
        });
        aggregate.alive(&Alive {
            ppid: Some(4),
            ..alive()
        });
        let order: Vec<_> = summary(&aggregate)
            .by_parent
            .iter()
            .map(|p| p.ppid)
            .collect();
        assert_eq!(order, [Some(2), Some(1), Some(4), Some(3)]);
    }

    #[test]
    fn a_parent_that_execs_is_two() {
        let mut aggregate = Aggregate::default();
        aggregate.zombie(&zombie(), Listing::Listed);
        aggregate.zombie(
            &Zombie {
                parent_comm: Some("make".into()),
                ..zombie()
            },
            Listing::Listed,
        );
        assert_eq!(summary(&aggregate).by_parent.len(), 2);
    }
}
