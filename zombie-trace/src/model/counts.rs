use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How many processes in scope ended, and what became of them.
///
/// `exits = reaped + autoreaped + alive + lost.map_full + lost.missed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// Processes that ended during the run.
    pub exits: u64,
    /// Zombies that were reaped.
    pub reaped: u64,
    /// Processes that the kernel released at once.
    pub autoreaped: u64,
    /// Zombies that are still there.
    pub alive: u64,
    /// Zombies that were there when the run began; in no other count.
    pub pre_existing: u64,
    /// Records that were not listed because of what was asked for.
    pub filtered: u64,
    /// What could not be reported.
    pub lost: Lost,
    /// Forged notifications and reaps that were ignored.
    #[serde(default)]
    pub suspicious: u64,
}

/// Sums stop at the largest number, which a recording can hold.
impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.exits = self.exits.saturating_add(other.exits);
        self.reaped = self.reaped.saturating_add(other.reaped);
        self.autoreaped = self.autoreaped.saturating_add(other.autoreaped);
        self.alive = self.alive.saturating_add(other.alive);
        self.pre_existing = self.pre_existing.saturating_add(other.pre_existing);
        self.filtered = self.filtered.saturating_add(other.filtered);
        self.lost += other.lost;
        self.suspicious = self.suspicious.saturating_add(other.suspicious);
    }
}

/// Counts of what could not be reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lost {
    /// Records that the ring buffer or the output had no room for, or that did not arrive before the end
    /// of the run.
    pub ring_full: u64,
    /// Processes that the kernel's map of dying processes had no room for.
    pub map_full: u64,
    /// Processes that the programs missed.
    pub missed: u64,
}

impl Lost {
    /// Nothing was lost.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What was lost since this was all.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            ring_full: self.ring_full.saturating_sub(earlier.ring_full),
            map_full: self.map_full.saturating_sub(earlier.map_full),
            missed: self.missed.saturating_sub(earlier.missed),
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        let counts = [self.ring_full, self.map_full, self.missed];
        counts.into_iter().fold(0, u64::saturating_add)
    }
}

/// Sums stop at the largest number, which a recording can hold.
impl AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        self.ring_full = self.ring_full.saturating_add(other.ring_full);
        self.map_full = self.map_full.saturating_add(other.map_full);
        self.missed = self.missed.saturating_add(other.missed);
    }
}
