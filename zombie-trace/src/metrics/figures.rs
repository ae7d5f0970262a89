use jiff::Timestamp;

use super::{Labels, Series, SeriesTable, Slot};
use crate::{
    container::Container,
    model::{Alive, Comm, Lost, Zombie},
    text::visible,
};

/// How full the machine's table of pids is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pids {
    /// Pids in use: threads, zombies included.
    pub used: u64,
    /// kernel.pid_max.
    pub max: u64,
}

/// What is now, and what the kernel side has counted so far.
#[derive(Clone, Debug)]
pub struct Standing {
    /// When it was looked at.
    pub ts: Timestamp,
    /// The zombies that exist, those from before the tracer too.
    pub living: Vec<Alive>,
    /// Processes that the kernel released at once.
    pub autoreaped: u64,
    /// What could not be told of.
    pub lost: Lost,
    /// `None` if it can't be read.
    pub pids: Option<Pids>,
}

/// All that is exported, as of now.
#[derive(Clone, Debug)]
pub struct MetricFigures {
    /// By parent and container.
    pub series: Vec<Slot>,
    /// Zombies that were counted under [`super::OTHER`] for lack of room.
    pub overflow: u64,
    /// See [`Standing::autoreaped`].
    pub autoreaped: u64,
    /// See [`Standing::lost`].
    pub lost: Lost,
    /// See [`Standing::pids`].
    pub pids: Option<Pids>,
    /// When counting began.
    pub started: Timestamp,
    /// The backend's name.
    pub backend: &'static str,
}

/// Counts for [`MetricFigures`].
#[derive(Debug)]
pub struct Totals {
    series: SeriesTable,
    autoreaped: u64,
    lost: Lost,
    pids: Option<Pids>,
    started: Timestamp,
    backend: &'static str,
}

impl Totals {
    /// Begins, with room for so many pairs of parent and container.
    pub fn new(max_series: usize, backend: &'static str, started: Timestamp) -> Self {
        Self {
            series: SeriesTable::new(max_series),
            autoreaped: 0,
            lost: Lost::default(),
            pids: None,
            started,
            backend,
        }
    }

    /// Takes in a zombie that was reaped.
    pub fn zombie(&mut self, zombie: &Zombie) {
        let series = self.series(
            zombie.parent_comm.as_ref(),
            zombie.container.as_ref(),
            zombie.uid,
            zombie.ts,
        );
        series.durations.record(zombie.zombie_ns);
    }

    /// Takes in what is now.
    pub fn standing(&mut self, standing: &Standing) {
        self.series.forget_living();
        for alive in &standing.living {
            let series = self.series(
                alive.parent_comm.as_ref(),
                alive.container.as_ref(),
                alive.uid,
                standing.ts,
            );
            series.zombies += 1;
            series.oldest_ns = series.oldest_ns.max(alive.age_ns);
        }
        self.autoreaped = standing.autoreaped;
        self.lost = standing.lost;
        self.pids = standing.pids;
    }

    /// All of it, as of now.
    pub fn figures(&self) -> MetricFigures {
        MetricFigures {
            series: self.series.slots().cloned().collect(),
            overflow: self.series.overflow(),
            autoreaped: self.autoreaped,
            lost: self.lost,
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
    use crate::model::fixtures::{alive, zombie};

    /// Of a parent that has a name to be escaped, and of one that is not known.
    pub(in super::super) fn figures() -> MetricFigures {
        let mut totals = Totals::new(10, "fentry", Timestamp::UNIX_EPOCH);
        let parent = Comm::from("a\"\\\n");
        for zombie_ns in [1_500, 3_000_000, 600_000_000_000] {
            totals.zombie(&Zombie {
                parent_comm: Some(parent),
                zombie_ns,
                ..zombie()
            });
        }
        let living = |parent_comm, age_ns| Alive {
            parent_comm,
            age_ns,
            ..alive()
        };
        totals.standing(&Standing {
            ts: Timestamp::UNIX_EPOCH,
            living: vec![
                living(Some(parent), 1_500_000_000),
                living(Some(parent), 250_000_000),
                living(None, 7_000_000_000),
            ],
            autoreaped: 4,
            lost: Lost {
                ring_full: 1,
                map_full: 2,
                missed: 3,
            },
            pids: Some(Pids {
                used: 200,
                max: 32_768,
            }),
        });
        totals.figures()
    }

    #[test]
    fn the_reaped_and_the_living_are_of_one_series() {
        let figures = figures();
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
    fn who_is_gone_is_not_alive() {
        let mut totals = Totals::new(10, "fentry", Timestamp::UNIX_EPOCH);
        let mut standing = Standing {
            ts: Timestamp::UNIX_EPOCH,
            living: vec![alive()],
            autoreaped: 0,
            lost: Lost::default(),
            pids: None,
        };
        totals.standing(&standing);
        standing.living.clear();
        totals.standing(&standing);
        let series = &totals.figures().series[0].series;
        assert_eq!((series.zombies, series.oldest_ns), (0, 0));
    }

    #[test]
    fn names_that_read_alike_are_one_series() {
        let mut totals = Totals::new(10, "fentry", Timestamp::UNIX_EPOCH);
        for name in [b"a\xfe", b"a\xff"] {
            totals.zombie(&Zombie {
                parent_comm: Some(Comm::from_bytes(name)),
                ..zombie()
            });
        }
        assert_eq!(totals.figures().series.len(), 1);
    }
}
