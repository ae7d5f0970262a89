//! What happened in the last minute, a second at a time.

use std::{borrow::Cow, cmp::Ordering, collections::VecDeque};

use super::times::DurationSet;
use crate::model::Phases;

/// Seconds that are kept, the present one included.
pub(crate) const KEPT: i64 = 60;

const SECOND: i64 = 1_000_000_000;

/// A reaped zombie, as much as rates need of it. Times are ns since the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecentReap<'a> {
    /// When it was reaped.
    pub(crate) at: i64,
    /// How long it was a zombie inside the run, ns.
    pub(crate) zombie_ns: u64,
    /// How long it was a zombie, also before the run, ns.
    pub(crate) lasted: u64,
    /// It was a zombie before the run.
    pub(crate) is_pre_existing: bool,
    /// Its time belongs into percentiles.
    pub(crate) is_measured: bool,
    pub(crate) phases: Option<&'a Phases>,
}

/// What a stretch of time comes to.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Sums {
    /// Zombies of the run that were reaped.
    pub(crate) reaped: u64,
    /// Pre-existing zombies that were reaped.
    pub(crate) pre_existing: u64,
    /// Processes that the kernel released at once.
    pub(crate) autoreaped: u64,
    /// Zombie time of those that are gone, ns.
    pub(crate) zombie_ns: u64,
    /// The longest of the measured times, ns.
    pub(crate) max: u64,
    /// The longest time of all, measured or not, ns.
    pub(crate) longest: u64,
    /// How the zombie time is split, in the order of `Phase::ALL`, ns.
    pub(crate) phases: [u64; 5],
    /// The measured times.
    pub(crate) times: DurationSet,
    /// The median and the 99th percentile, if a summary gives them.
    pub(crate) given: Option<(Option<u64>, Option<u64>)>,
}

impl Sums {
    /// Takes in other sums.
    pub(crate) fn add(&mut self, other: &Self) {
        self.reaped = self.reaped.saturating_add(other.reaped);
        self.pre_existing = self.pre_existing.saturating_add(other.pre_existing);
        self.autoreaped = self.autoreaped.saturating_add(other.autoreaped);
        self.zombie_ns = self.zombie_ns.saturating_add(other.zombie_ns);
        self.max = self.max.max(other.max);
        self.longest = self.longest.max(other.longest);
        // Nobody can put two percentiles together.
        self.given = None;
        for (sum, more) in self.phases.iter_mut().zip(other.phases) {
            *sum = sum.saturating_add(more);
        }
        self.times.merge(&other.times);
    }

    /// Takes out other sums, which were taken in before. Nobody knows the longest time of the rest.
    fn subtract(&mut self, other: &Self) {
        self.reaped = self.reaped.saturating_sub(other.reaped);
        self.pre_existing = self.pre_existing.saturating_sub(other.pre_existing);
        self.autoreaped = self.autoreaped.saturating_sub(other.autoreaped);
        self.zombie_ns = self.zombie_ns.saturating_sub(other.zombie_ns);
        for (sum, less) in self.phases.iter_mut().zip(other.phases) {
            *sum = sum.saturating_sub(less);
        }
        self.times.subtract(&other.times);
    }

    /// Takes in a zombie that is gone, without its time.
    fn count(&mut self, reap: &RecentReap<'_>) {
        match reap.is_pre_existing {
            true => self.pre_existing += 1,
            false => self.reaped += 1,
        }
        self.longest = self.longest.max(reap.lasted);
        if reap.is_measured {
            self.max = self.max.max(reap.zombie_ns);
            self.times.record(reap.zombie_ns);
        }
        if let Some(phases) = reap.phases {
            for (sum, more) in self.phases.iter_mut().zip(phases.times()) {
                *sum = sum.saturating_add(more);
            }
        }
    }

    /// About how much memory it takes, with its share of what holds it.
    fn bytes(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<usize>() + self.times.bytes()
    }

    /// The median of the measured times.
    pub(crate) fn p50(&self) -> Option<u64> {
        self.given
            .map_or_else(|| self.permille(500), |(p50, _)| p50)
    }

    /// The measured time that 99 % of them do not exceed.
    pub(crate) fn p99(&self) -> Option<u64> {
        self.given
            .map_or_else(|| self.permille(990), |(_, p99)| p99)
    }

    /// A percentile of the measured times, never above the longest.
    fn permille(&self, permille: u64) -> Option<u64> {
        let time = self.times.permille(permille)?;
        Some(time.min(self.max))
    }

    /// The longest of the measured times.
    pub(crate) fn longest_measured(&self) -> Option<u64> {
        (self.max > 0 || self.times.count() > 0).then_some(self.max)
    }

    /// Something happened.
    pub(crate) fn is_some(&self) -> bool {
        self.reaped > 0 || self.pre_existing > 0 || self.autoreaped > 0
    }
}

/// The last minute and the whole run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rolling {
    /// Seconds since the epoch in which something happened, ascending.
    slots: VecDeque<(i64, Sums)>,
    /// All of these seconds together: with thousands of parents, nobody can add them up for each screen.
    kept: Sums,
    /// All of it.
    pub(crate) total: Sums,
}

impl Rolling {
    /// Takes in a zombie that was reaped.
    pub(crate) fn reaped(&mut self, reap: &RecentReap<'_>) {
        self.total.count(reap);
        self.total.zombie_ns = self.total.zombie_ns.saturating_add(reap.zombie_ns);
        let last = reap.at.div_euclid(SECOND);
        self.change(last, |sums| sums.count(reap));
        // Each second gets its own part of the zombie time.
        let zombie_ns = i64::try_from(reap.zombie_ns).unwrap_or(i64::MAX);
        let begin = reap.at.saturating_sub(zombie_ns);
        let first = begin.div_euclid(SECOND).max(last - KEPT + 1);
        for second in first..=last {
            let from = begin.max(second * SECOND);
            let to = reap.at.min((second + 1) * SECOND);
            let part = u64::try_from(to - from).unwrap_or(0);
            if part > 0 {
                self.change(second, |sums| sums.zombie_ns += part);
            }
        }
    }

    /// Takes in a process that the kernel released at once.
    pub(crate) fn autoreaped(&mut self, at: i64) {
        self.total.autoreaped += 1;
        self.change(at.div_euclid(SECOND), |sums| sums.autoreaped += 1);
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let slots = self.slots.iter().map(|(_, sums)| sums.bytes());
        slots.sum::<usize>() + self.kept.bytes() + self.total.bytes()
    }

    /// Changes the sums of a second or, if that is forgotten, of the first that is not.
    fn change(&mut self, second: i64, change: impl Fn(&mut Sums)) {
        let newest = self.slots.back().map_or(second, |(newest, _)| *newest);
        // The newest is asked for most.
        let second = second.max(newest - KEPT + 1);
        let at = match second.cmp(&newest) {
            Ordering::Equal if !self.slots.is_empty() => self.slots.len() - 1,
            _ => {
                self.forget_before(second - KEPT + 1);
                let at = self.slots.partition_point(|(other, _)| *other < second);
                let is_new = self.slots.get(at).is_none_or(|(other, _)| *other != second);
                if is_new {
                    self.slots.insert(at, (second, Sums::default()));
                }
                at
            }
        };
        change(&mut self.slots[at].1);
        change(&mut self.kept);
    }

    fn forget_before(&mut self, first: i64) {
        let mut had_longest = false;
        while self
            .slots
            .front()
            .is_some_and(|(second, _)| *second < first)
        {
            if let Some((_, sums)) = self.slots.pop_front() {
                self.kept.subtract(&sums);
                had_longest |= sums.longest == self.kept.longest || sums.max == self.kept.max;
            }
        }
        if had_longest {
            let left = || self.slots.iter().map(|(_, sums)| sums);
            self.kept.max = left().map(|sums| sums.max).max().unwrap_or(0);
            self.kept.longest = left().map(|sums| sums.longest).max().unwrap_or(0);
        }
    }

    /// Forgets seconds that nobody can ask for any more.
    pub(crate) fn expire(&mut self, now: i64) {
        self.forget_before(now.div_euclid(SECOND) - KEPT + 1);
    }

    /// The last seconds; the present one has just begun.
    pub(crate) fn last(&self, now: i64, seconds: i64) -> Cow<'_, Sums> {
        let end = now.div_euclid(SECOND);
        let is_in = |second: i64| second > end - seconds && second <= end;
        let (Some((first, _)), Some((last, _))) = (self.slots.front(), self.slots.back()) else {
            return Cow::Owned(Sums::default());
        };
        if is_in(*first) && is_in(*last) {
            return Cow::Borrowed(&self.kept);
        }
        let mut sums = Sums::default();
        let slots = self.slots.iter().rev();
        let slots = slots.skip_while(|(second, _)| *second > end);
        for (_, slot) in slots.take_while(|(second, _)| is_in(*second)) {
            sums.add(slot);
        }
        Cow::Owned(sums)
    }

    /// Each of the last seconds, the present one last.
    pub(crate) fn seconds(&self, now: i64, seconds: i64) -> impl Iterator<Item = Option<&Sums>> {
        let end = now.div_euclid(SECOND);
        (end - seconds + 1..=end).map(|second| {
            let at = self
                .slots
                .binary_search_by_key(&second, |(second, _)| *second)
                .ok()?;
            Some(&self.slots[at].1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Phases;

    fn reap(at: i64, zombie_ns: u64) -> RecentReap<'static> {
        RecentReap {
            at,
            zombie_ns,
            lasted: zombie_ns,
            is_pre_existing: false,
            is_measured: true,
            phases: None,
        }
    }

    #[test]
    fn a_window_holds_its_own_part_of_the_zombie_time() {
        let mut rolling = Rolling::default();
        // From 97.5 s to 100.5 s.
        rolling.reaped(&reap(100 * SECOND + SECOND / 2, 3 * SECOND as u64));
        let now = 100 * SECOND + SECOND / 2;
        assert_eq!(rolling.last(now, 1).zombie_ns, SECOND as u64 / 2);
        assert_eq!(rolling.last(now, 2).zombie_ns, SECOND as u64 * 3 / 2);
        assert_eq!(rolling.last(now, 60).zombie_ns, 3 * SECOND as u64);
        assert_eq!(rolling.last(now, 1).reaped, 1);
        assert_eq!(rolling.last(now + 2 * SECOND, 2).reaped, 0);
        assert_eq!(rolling.total.zombie_ns, 3 * SECOND as u64);
    }

    #[test]
    fn a_minute_is_kept() {
        let mut rolling = Rolling::default();
        for second in 0..1000 {
            rolling.reaped(&reap(second * SECOND, 1000));
            rolling.expire(second * SECOND);
        }
        assert!(rolling.slots.len() as i64 <= KEPT);
        assert_eq!(rolling.last(999 * SECOND, 60).reaped, 60);
        assert_eq!(rolling.total.reaped, 1000);
        rolling.expire(2000 * SECOND);
        assert!(rolling.slots.is_empty());
    }

    #[test]
    fn what_is_kept_together_is_the_sum_of_its_seconds() {
        let mut rolling = Rolling::default();
        for number in 0..500_i64 {
            // Some news is late, and the longest times come and go.
            let second = number - 3 * (number % 5) - if number % 97 == 0 { 70 } else { 0 };
            let phases = Phases {
                reap_ns: Some(number as u64),
                ..Phases::default()
            };
            rolling.reaped(&RecentReap {
                phases: Some(&phases),
                ..reap(
                    second * SECOND + 7,
                    (number as u64 * 7919 % 100) * SECOND as u64 / 10,
                )
            });
            if number % 3 == 0 {
                rolling.autoreaped(second * SECOND);
            }
            if number % 2 == 0 {
                rolling.expire(number * SECOND);
            }
            let mut sums = Sums::default();
            for (_, slot) in &rolling.slots {
                sums.add(slot);
            }
            assert_eq!(rolling.kept, sums, "{number}");
            assert!(rolling.slots.len() as i64 <= KEPT);
        }
        rolling.expire(1000 * SECOND);
        assert_eq!(rolling.kept, Sums::default());
    }

    #[test]
    fn one_that_lasted_for_hours_takes_no_more_memory() {
        let mut rolling = Rolling::default();
        rolling.reaped(&reap(9000 * SECOND, 8000 * SECOND as u64));
        assert!(rolling.slots.len() as i64 <= KEPT);
        assert_eq!(rolling.last(9000 * SECOND, 10).zombie_ns, 9 * SECOND as u64);
    }

    #[test]
    fn late_news_of_a_second_that_is_gone_is_counted_in_the_oldest() {
        let mut rolling = Rolling::default();
        for second in 100..200 {
            rolling.reaped(&reap(second * SECOND, 0));
        }
        rolling.reaped(&reap(20 * SECOND, 0));
        assert!(rolling.slots.len() as i64 <= KEPT);
        assert_eq!(rolling.total.reaped, 101);
    }
}
