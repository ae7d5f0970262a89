use jiff::Timestamp;

use super::{Labels, Series, SeriesTable, Slot, ageing::Ageing};
use crate::{
    aggregate::RunFacts,
    container::Container,
    lifecycle::{Pids, Standing, TaskId},
    model::{Comm, Lost, Zombie},
    text::visible,
};

/// All that is exported, as of now.
#[derive(Clone, Debug)]
pub struct MetricFigures {
    /// By parent and container.
    pub series: Vec<Slot>,
    /// Zombies that were counted under [`OTHER`](super::series::OTHER) for lack of room.
    pub overflow: u64,
    /// See [`Standing::autoreaped`].
    pub autoreaped: u64,
    /// See [`Standing::lost`].
    pub lost: Lost,
    /// See [`Standing::dying`].
    pub dying: Option<u64>,
    /// See [`Standing::pids`].
    pub pids: Option<Pids>,
    /// When counting began.
    pub started: Timestamp,
    /// The backend's name.
    pub backend: &'static str,
}

/// How [`Totals`] count.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Room for this many pairs of parent and container.
    pub max_series: usize,
    /// Exponential histograms are kept as well.
    pub exponential: bool,
    /// The backend's name.
    pub backend: &'static str,
    /// When counting began: zombie time before does not count.
    pub started: Timestamp,
}

/// Counts for [`MetricFigures`].
#[derive(Debug)]
pub struct Totals {
    series: SeriesTable,
    ageing: Ageing,
    autoreaped: u64,
    lost: Lost,
    dying: Option<u64>,
    pids: Option<Pids>,
    run: RunFacts,
    started: Timestamp,
    backend: &'static str,
}

impl Totals {
    /// Starts at 0.
    pub fn new(settings: Settings) -> Self {
        let series = SeriesTable::new(settings.max_series);
        Self {
            series: match settings.exponential {
                true => series.with_exponential(),
                false => series,
            },
            ageing: Ageing::default(),
            autoreaped: 0,
            lost: Lost::default(),
            dying: None,
            pids: None,
            run: RunFacts {
                begin: Some(settings.started),
                ..RunFacts::default()
            },
            started: settings.started,
            backend: settings.backend,
        }
    }

    /// Takes in a zombie that was reaped.
    pub fn zombie(&mut self, id: TaskId, zombie: &Zombie) {
        let in_run = self.run.in_run(zombie.ts, zombie.zombie_ns, &zombie.flags);
        let new = self.ageing.gone(id, in_run);
        let series = self.series(
            zombie.parent_comm.as_ref(),
            zombie.container.as_ref(),
            zombie.uid,
            zombie.ts,
        );
        series.durations.record(zombie.zombie_ns);
        series.zombie_time_ns = series.zombie_time_ns.saturating_add(new);
    }

    /// Takes in what is now.
    pub fn standing(&mut self, standing: &Standing) {
        self.series.forget_living();
        self.ageing.begin_look();
        for (id, alive) in &standing.living {
            let in_run = self.run.in_run(standing.ts, alive.age_ns, &alive.flags);
            let new = self.ageing.living(*id, in_run);
            let series = self.series(
                alive.parent_comm.as_ref(),
                alive.container.as_ref(),
                alive.uid,
                standing.ts,
            );
            series.living(alive.age_ns, alive.cause);
            series.zombie_time_ns = series.zombie_time_ns.saturating_add(new);
        }
        self.autoreaped = standing.autoreaped;
        self.lost = standing.lost;
        self.dying = standing.dying;
        self.pids = standing.pids;
    }

    /// All of it, as of now.
    pub fn figures(&self) -> MetricFigures {
        MetricFigures {
            series: self.series.slots().cloned().collect(),
            overflow: self.series.overflow(),
            autoreaped: self.autoreaped,
            lost: self.lost,
            dying: self.dying,
            pids: self.pids,
            started: self.started,
            backend: self.backend,
        }
    }

    fn series(
        &mut self,
        parent: Option<&Comm>,
        container: Option<&Container>,
        uid: u32,
        ts: Timestamp,
    ) -> &mut Series {
        // Anybody names processes and containers, and labels reach terminals, logs and mails.
        let parent = parent.map(Comm::to_str).unwrap_or_default();
        let labels = Labels {
            parent: &visible(&parent),
            container: &visible(container.map_or("", Container::name)),
        };
        self.series.series(labels, uid, ts)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        metrics::series::Living,
        model::{
            Alive, Cause, Flag,
            fixtures::{alive, zombie},
        },
    };

    fn totals() -> Totals {
        Totals::new(settings(false))
    }

    fn settings(exponential: bool) -> Settings {
        Settings {
            max_series: 10,
            exponential,
            backend: "fentry",
            started: Timestamp::UNIX_EPOCH,
        }
    }

    fn standing(seconds: i64, living: Vec<(TaskId, Alive)>) -> Standing {
        Standing {
            ts: Timestamp::from_second(seconds).unwrap(),
            living,
            autoreaped: 0,
            lost: Lost::default(),
            dying: None,
            pids: None,
        }
    }

    /// Of a parent that has a name to be escaped, and of one that is not known.
    pub(in super::super) fn figures(exponential: bool) -> MetricFigures {
        let mut totals = Totals::new(settings(exponential));
        let parent = Comm::from("a\"\\\n");
        for (number, zombie_ns) in [1_500, 3_000_000, 600_000_000_000].into_iter().enumerate() {
            let reaped = Zombie {
                parent_comm: Some(parent),
                zombie_ns,
                ..zombie()
            };
            totals.zombie((number as u64, 0), &reaped);
        }
        let living = |parent_comm, age_ns| {
            let alive = Alive {
                parent_comm,
                age_ns,
                ..alive()
            };
            ((age_ns, 0), alive)
        };
        totals.standing(&Standing {
            autoreaped: 4,
            lost: Lost {
                ring_full: 1,
                map_full: 2,
                missed: 3,
            },
            dying: Some(2),
            pids: Some(Pids {
                used: 200,
                max: 32_768,
            }),
            ..standing(
                0,
                vec![
                    living(Some(parent), 1_500_000_000),
                    living(Some(parent), 250_000_000),
                    living(None, 7_000_000_000),
                ],
            )
        });
        totals.figures()
    }

    #[test]
    fn the_reaped_and_the_living_are_of_one_series() {
        let figures = figures(false);
        let [known, unknown] = &figures.series[..] else {
            panic!("{figures:?}");
        };
        assert_eq!(known.series.durations.count(), 3);
        assert_eq!(
            (known.series.zombies, known.series.oldest_ns),
            (2, 1_500_000_000)
        );
        assert_eq!((&*unknown.parent, unknown.series.zombies), ("", 1));
    }

    #[test]
    fn the_living_are_counted_by_cause_once_they_have_one() {
        let mut totals = totals();
        let causes = [
            None,
            Some(Cause::NeverWaits),
            Some(Cause::ParentStopped),
            Some(Cause::NeverWaits),
        ];
        let living = (1..).zip(causes).map(|(number, cause)| {
            let alive = Alive {
                cause,
                age_ns: number,
                ..alive()
            };
            ((number, 0), alive)
        });
        let living: Vec<_> = living.collect();
        // A look counts anew.
        for _ in 0..2 {
            totals.standing(&standing(0, living.clone()));
        }
        let of_cause = |zombies, oldest_ns| Living { zombies, oldest_ns };
        let figures = totals.figures();
        assert_eq!(
            figures.series[0].series.by_cause,
            [
                (Cause::NeverWaits, of_cause(2, 4)),
                (Cause::ParentStopped, of_cause(1, 3)),
            ]
        );
        assert_eq!(figures.series[0].series.zombies, 4);
        totals.standing(&standing(1, vec![]));
        assert!(totals.figures().series[0].series.by_cause.is_empty());
    }

    #[test]
    fn who_is_gone_is_not_alive() {
        let mut totals = totals();
        totals.standing(&standing(0, vec![((1, 1), alive())]));
        totals.standing(&standing(1, vec![]));
        let series = &totals.figures().series[0].series;
        assert_eq!((series.zombies, series.oldest_ns), (0, 0));
    }

    #[test]
    fn names_that_read_alike_are_one_series() {
        let mut totals = totals();
        for name in [b"a\xfe", b"a\xff"] {
            let reaped = Zombie {
                parent_comm: Some(Comm::from_bytes(name)),
                ..zombie()
            };
            totals.zombie((1, 1), &reaped);
        }
        assert_eq!(totals.figures().series.len(), 1);
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn zombie_time_grows_while_zombies_live_and_never_shrinks() {
        let mut totals = totals();
        let aged = |seconds| Alive {
            age_ns: seconds * SECOND,
            ..alive()
        };
        let reaped = |zombie_ns| Zombie {
            zombie_ns,
            ..zombie()
        };
        let mut seen = Vec::new();
        let mut see = |totals: &Totals| {
            let series = totals.figures().series;
            seen.push(series[0].series.zombie_time_ns);
        };
        totals.standing(&standing(10, vec![((1, 1), aged(3))]));
        see(&totals);
        totals.standing(&standing(11, vec![((1, 1), aged(4)), ((2, 1), aged(1))]));
        see(&totals);
        // Reaped after the look, and one that no look has seen.
        totals.zombie((1, 1), &reaped(4 * SECOND + 500));
        see(&totals);
        totals.zombie((3, 1), &reaped(70));
        see(&totals);
        totals.standing(&standing(12, vec![((2, 1), aged(2))]));
        see(&totals);
        totals.zombie((2, 1), &reaped(2 * SECOND - 1));
        see(&totals);
        assert_eq!(
            seen,
            [
                3 * SECOND,
                5 * SECOND,
                5 * SECOND + 500,
                5 * SECOND + 570,
                6 * SECOND + 570,
                6 * SECOND + 570,
            ]
        );
    }

    #[test]
    fn zombie_time_before_the_start_does_not_count() {
        let mut totals = totals();
        let flags = vec![Flag::PreExisting];
        let old = Alive {
            age_ns: 500 * SECOND,
            flags: flags.clone(),
            ..alive()
        };
        totals.standing(&standing(3, vec![((1, 1), old)]));
        let time = |totals: &Totals| totals.figures().series[0].series.zombie_time_ns;
        assert_eq!(time(&totals), 3 * SECOND);
        let reaped = Zombie {
            ts: Timestamp::from_second(5).unwrap(),
            zombie_ns: 502 * SECOND,
            flags,
            ..zombie()
        };
        totals.zombie((1, 1), &reaped);
        assert_eq!(time(&totals), 5 * SECOND);
    }
}
