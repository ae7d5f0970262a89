use std::time::Duration;

use super::{Metric, Value};
use crate::aggregate::{Summary, ZombieTimes};

/// What conditions are judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The zombie times of the listed processes that were reaped.
    pub zombie_ns: ZombieTimes,
    /// How many zombies there are still.
    pub alive: u64,
    /// The age of the oldest of them, if it is known, in ns.
    pub oldest_ns: Option<u64>,
    /// How long the run lasted.
    pub duration: Duration,
}

impl Figures {
    /// The figure that this metric is about; [`None`] if it is not known.
    pub fn get(&self, metric: Metric) -> Option<Value> {
        let times = &self.zombie_ns;
        let time = match metric {
            Metric::P50 => times.p50,
            Metric::P90 => times.p90,
            Metric::P99 => times.p99,
            Metric::P999 => times.p999,
            Metric::Max => times.max,
            Metric::Mean => times.mean,
            Metric::Age => self.oldest_ns,
            Metric::Count => return Some(Value::Number(times.count)),
            Metric::Alive => return Some(Value::Number(self.alive)),
            Metric::Rate => {
                let rate = times.count as f64 / self.duration.as_secs_f64();
                return rate.is_finite().then_some(Value::Rate(rate));
            }
        };
        time.map(Value::Time)
    }
}

impl From<&Summary> for Figures {
    fn from(summary: &Summary) -> Self {
        Self {
            zombie_ns: summary.zombie_ns,
            alive: summary.counts.alive,
            oldest_ns: None,
            duration: Duration::from_nanos(summary.duration_ns),
        }
    }
}
