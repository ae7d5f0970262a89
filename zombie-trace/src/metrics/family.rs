use std::time::Duration;

use jiff::Timestamp;

use super::{DurationHistogram, MetricFigures, Slot, duration_histogram::seconds, series::Living};

/// The age at which zombies are looked at for their cause; the help texts below name it.
pub const CAUSE_AFTER: Duration = Duration::from_secs(5);

/// Figures of one kind. Prometheus adds the unit to the name, and `_total` for counters.
#[derive(Debug)]
pub struct Family<'a> {
    /// The name but for its suffixes.
    pub name: &'static str,
    /// The description.
    pub help: &'static str,
    /// Its unit is the second, or else none.
    pub in_seconds: bool,
    /// The figures.
    pub samples: FamilySamples<'a>,
}

/// Figures of one kind, by kind.
#[derive(Debug)]
pub enum FamilySamples<'a> {
    /// Numbers that only grow.
    Counters(Vec<Sample<'a, u64>>),
    /// Times that only grow, s.
    Times(Vec<Sample<'a, f64>>),
    /// As it is now.
    Gauges(Vec<Sample<'a, f64>>),
    /// Durations that have ended.
    Histograms(Vec<Sample<'a, &'a DurationHistogram>>),
    /// No figure at all, only labels.
    Info(LabelSet<'a>),
}

/// Labels: name and value.
pub type LabelSet<'a> = Vec<(&'static str, &'a str)>;

/// One figure.
#[derive(Debug)]
pub struct Sample<'a, T> {
    /// What distinguishes it.
    pub labels: LabelSet<'a>,
    /// When counting began.
    pub since: Timestamp,
    /// How much.
    pub value: T,
}

impl MetricFigures {
    /// All that is exported, for any encoding.
    pub fn families(&self) -> Vec<Family<'_>> {
        let family = |name, help, samples| Family {
            name,
            help,
            in_seconds: false,
            samples,
        };
        let mut families = vec![
            Family {
                in_seconds: true,
                ..family(
                    "zombie_trace_zombie",
                    "Time that processes spent as zombies since counting began; living zombies count as they age.",
                    FamilySamples::Times(self.each(|slot| seconds(slot.series.zombie_time_ns))),
                )
            },
            Family {
                in_seconds: true,
                ..family(
                    "zombie_trace_zombie_duration",
                    "How long reaped processes were zombies.",
                    FamilySamples::Histograms(self.each(|slot| &slot.series.durations)),
                )
            },
            family(
                "zombie_trace_reaped",
                "Zombies that have been reaped.",
                FamilySamples::Counters(self.each(|slot| slot.series.durations.count())),
            ),
            family(
                "zombie_trace_zombies",
                "Living zombies, pre-existing ones included.",
                FamilySamples::Gauges(self.each(|slot| slot.series.zombies as f64)),
            ),
            Family {
                in_seconds: true,
                ..family(
                    "zombie_trace_oldest_zombie",
                    "Age of the oldest living zombie.",
                    FamilySamples::Gauges(self.each(|slot| seconds(slot.series.oldest_ns))),
                )
            },
            family(
                "zombie_trace_zombies_by_cause",
                "Living zombies older than 5 s, by the cause that the last look at their parent has found.",
                FamilySamples::Gauges(self.each_cause(|living| living.zombies as f64)),
            ),
            Family {
                in_seconds: true,
                ..family(
                    "zombie_trace_oldest_zombie_by_cause",
                    "Age of the oldest of those zombies.",
                    FamilySamples::Gauges(self.each_cause(|living| seconds(living.oldest_ns))),
                )
            },
            family(
                "zombie_trace_autoreaped",
                "Processes that the kernel reaped at once, because their parent ignores SIGCHLD.",
                FamilySamples::Counters(vec![self.sample(vec![], self.autoreaped)]),
            ),
            family(
                "zombie_trace_lost",
                "Processes that no figure includes, by what was full or failed.",
                FamilySamples::Counters(vec![
                    self.sample(vec![("kind", "ring_full")], self.lost.ring_full),
                    self.sample(vec![("kind", "map_full")], self.lost.map_full),
                    self.sample(vec![("kind", "missed")], self.lost.missed),
                ]),
            ),
            family(
                "zombie_trace_series_overflow",
                "Reaped zombies counted under other parents, because --max-series was reached.",
                FamilySamples::Counters(vec![self.sample(vec![], self.overflow)]),
            ),
        ];
        if let Some(dying) = self.dying {
            families.push(family(
                "zombie_trace_dying",
                "Processes that were killed or began to exit over a second ago and have not ended.",
                FamilySamples::Gauges(vec![self.sample(vec![], dying as f64)]),
            ));
        }
        if let Some(pids) = self.pids {
            families.extend([
                family(
                    "zombie_trace_pids",
                    "Pids in use by the threads and zombies of the whole machine.",
                    FamilySamples::Gauges(vec![self.sample(vec![], pids.used as f64)]),
                ),
                family(
                    "zombie_trace_pids_max",
                    "Limit of pids (kernel.pid_max).",
                    FamilySamples::Gauges(vec![self.sample(vec![], pids.max as f64)]),
                ),
            ]);
        }
        families.push(family(
            "zombie_trace_build",
            "Version of zombie-trace, and the backend that it uses.",
            FamilySamples::Info(vec![
                ("version", env!("CARGO_PKG_VERSION")),
                ("backend", self.backend),
            ]),
        ));
        families
    }

    fn each_cause(&self, value: impl Fn(&Living) -> f64) -> Vec<Sample<'_, f64>> {
        let mut samples = Vec::new();
        for slot in &self.series {
            for (cause, living) in &slot.series.by_cause {
                samples.push(Sample {
                    labels: vec![
                        ("parent", &*slot.parent),
                        ("container", &*slot.container),
                        ("cause", cause.code()),
                    ],
                    since: slot.created,
                    value: value(living),
                });
            }
        }
        samples
    }

    fn each<'a, T>(&'a self, value: impl Fn(&'a Slot) -> T) -> Vec<Sample<'a, T>> {
        let sample = |slot: &'a Slot| Sample {
            labels: vec![("parent", &*slot.parent), ("container", &*slot.container)],
            since: slot.created,
            value: value(slot),
        };
        self.series.iter().map(sample).collect()
    }

    fn sample<'a, T>(&self, labels: LabelSet<'a>, value: T) -> Sample<'a, T> {
        Sample {
            labels,
            since: self.started,
            value,
        }
    }
}
