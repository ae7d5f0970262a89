//! Intervals for tests.

use std::time::Duration;

use super::{Aggregate, Interval};
use crate::model::{Counts, Zombie, fixtures::zombie};

/// A second in which three zombies of bash were reaped and one was left.
pub(crate) fn interval() -> Interval {
    let mut aggregate = Aggregate::default();
    aggregate.begin_intervals();
    for zombie_ns in [18_234, 20_000, 1_500_000] {
        let zombie = Zombie {
            zombie_ns,
            ..zombie()
        };
        aggregate.zombie(&zombie, true);
    }
    let counts = Counts {
        exits: 4,
        reaped: 3,
        alive: 1,
        ..Counts::default()
    };
    let interval = aggregate.end_interval(
        counts,
        "2026-01-02T03:04:05Z".parse().unwrap(),
        Duration::from_secs(1),
    );
    interval.unwrap()
}
