use std::time::Duration;

use super::{Metric, Value};
use crate::aggregate::{Quantile, Samples, Summary, ZombieTimes};

/// What conditions are judged by.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The exact zombie times.
    pub zombie_ns: ZombieTimes,
    /// The same, for percentiles that those do not have; `None` if only those are known.
    pub times: Option<Samples>,
    /// How many zombies were reaped.
    pub count: u64,
    /// Living zombies at the end, including pre-existing ones; `None` if their number is not known.
    pub alive: Option<u64>,
    /// The age of the oldest of them, in ns; `None` if there is none.
    pub oldest_ns: Option<u64>,
    /// The zombie time of all, in ns; `None` if it is not known.
    pub zombie_time_ns: Option<u64>,
    /// How long the run lasted.
    pub duration: Duration,
}

impl Figures {
    /// Those of a summary.
    pub fn new(summary: &Summary) -> Self {
        Self {
            zombie_ns: summary.zombie_ns,
            times: None,
            count: summary.counts.reaped,
            alive: Some(summary.living()),
            oldest_ns: summary.oldest_ns,
            zombie_time_ns: Some(summary.zombie_time_ns),
            duration: Duration::from_nanos(summary.duration_ns),
        }
    }

    /// The same without what only the end of a run shows: it was not recorded.
    pub fn without_end(self) -> Self {
        Self {
            alive: None,
            oldest_ns: None,
            zombie_time_ns: None,
            ..self
        }
    }

    /// The figure that this metric is about; [`None`] if it is not known.
    pub fn get(&self, metric: Metric) -> Option<Value> {
        let times = &self.zombie_ns;
        let time = match metric {
            Metric::Percentile(quantile) => match quantile {
                Quantile::P50 => times.p50,
                Quantile::P90 => times.p90,
                Quantile::P99 => times.p99,
                Quantile::P999 => times.p999,
                _ => self.times.as_ref()?.quantile(quantile),
            },
            Metric::Max => times.max,
            Metric::Mean => times.mean,
            // Where there is no zombie none is old.
            Metric::Oldest if self.alive == Some(0) => Some(self.oldest_ns.unwrap_or(0)),
            Metric::Oldest => self.oldest_ns,
            Metric::ZombieTime => self.zombie_time_ns,
            Metric::Count => return Some(Value::Number(self.count)),
            Metric::Alive => return self.alive.map(Value::Number),
            Metric::Rate => {
                let rate = self.count as f64 / self.duration.as_secs_f64();
                return rate.is_finite().then_some(Value::Rate(rate));
            }
        };
        time.map(Value::Time)
    }
}
