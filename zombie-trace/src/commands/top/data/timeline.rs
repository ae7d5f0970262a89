//! The run from its start, in bins that double in width.

/// As many bins at the most.
const MOST: usize = 512;

/// What a bin comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bin {
    /// The most living zombies at a time.
    pub(crate) alive: u64,
    /// Processes that were reaped or autoreaped.
    pub(crate) gone: u64,
    /// The longest zombie time, ns.
    pub(crate) max: u64,
}

impl Bin {
    fn merge(&mut self, other: &Self) {
        self.alive = self.alive.max(other.alive);
        self.gone += other.gone;
        self.max = self.max.max(other.max);
    }
}

/// A run over time.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    begin: i64,
    width: i64,
    bins: Vec<Bin>,
}

impl Timeline {
    /// Of a run that began then, ns since the epoch.
    pub(crate) fn new(begin: i64) -> Self {
        Self {
            begin,
            width: 1_000_000_000,
            bins: Vec::new(),
        }
    }

    /// How long a bin is, ns.
    pub(crate) fn width(&self) -> i64 {
        self.width
    }

    /// From the start on.
    pub(crate) fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// The bin of that time.
    pub(crate) fn at(&mut self, time: i64) -> &mut Bin {
        let since = time.saturating_sub(self.begin).max(0);
        while since / self.width >= MOST as i64 {
            self.bins = self
                .bins
                .chunks(2)
                .map(|pair| {
                    let mut both = pair[0];
                    pair[1..].iter().for_each(|bin| both.merge(bin));
                    both
                })
                .collect();
            self.width *= 2;
        }
        let index = (since / self.width) as usize;
        if index >= self.bins.len() {
            // Living zombies stay while nothing happens.
            let alive = self.bins.last().map_or(0, |bin| bin.alive);
            let gap = Bin {
                alive,
                ..Bin::default()
            };
            self.bins.resize(index, gap);
            self.bins.push(Bin::default());
        }
        &mut self.bins[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_loses_nothing() {
        let mut timeline = Timeline::new(0);
        for second in 0..100_000_i64 {
            let bin = timeline.at(second * 1_000_000_000);
            bin.gone += 1;
            bin.max = bin.max.max(second as u64);
        }
        assert!(timeline.bins().len() <= MOST);
        let gone: u64 = timeline.bins().iter().map(|bin| bin.gone).sum();
        assert_eq!(gone, 100_000);
        assert_eq!(timeline.bins().last().unwrap().max, 99_999);
    }

    #[test]
    fn zombies_live_on_through_a_gap() {
        let mut timeline = Timeline::new(0);
        timeline.at(0).alive = 3;
        timeline.at(5_000_000_000).alive = 4;
        let alive: Vec<_> = timeline.bins().iter().map(|bin| bin.alive).collect();
        assert_eq!(alive, [3, 3, 3, 3, 3, 4]);
    }
}
