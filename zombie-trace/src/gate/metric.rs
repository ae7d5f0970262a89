use std::fmt;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// The median of the zombie times.
    P50,
    /// What 90 % of them do not exceed.
    P90,
    /// What 99 % of them do not exceed.
    P99,
    /// What 99.9 % of them do not exceed.
    P999,
    /// The longest.
    Max,
    /// The arithmetic mean.
    Mean,
    /// How many zombies were listed.
    Count,
    /// How many there are still.
    Alive,
    /// How many were listed each second.
    Rate,
    /// The age of the oldest that exists now.
    Age,
}

impl Metric {
    /// What is known of a run.
    pub const OF_A_RUN: &[Self] = &[
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::Mean,
        Self::Count,
        Self::Alive,
        Self::Rate,
    ];

    /// What is known of the zombies that exist now.
    pub const OF_NOW: &[Self] = &[Self::Alive, Self::Age];

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::OF_A_RUN, Self::OF_NOW]
            .concat()
            .into_iter()
            .find(|metric| metric.name() == name)
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Count => "count",
            Self::Alive => "alive",
            Self::Rate => "rate",
            Self::Age => "age",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
