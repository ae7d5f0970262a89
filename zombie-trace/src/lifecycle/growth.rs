use std::collections::{HashMap, VecDeque};

use crate::model::Comm;

/// Decides which parents have a growing number of zombies: those that leave more and more of them unreaped. A
/// parent that reaps in bursts, such as a pre-forking server, has many zombies now and then, but none that
/// lingers.
///
/// What has to grow is the floor: the fewest lingering zombies that were seen within a window. It must rise
/// several times without falling.
#[derive(Clone, Debug, Default)]
pub struct Growth {
    parents: HashMap<ParentId, Watched>,
}

type ParentId = (u32, Comm);

/// So many are worth a line.
const FIRST: usize = 10;

/// As many parents without zombies are remembered, at the most.
const MOST_IDLE: usize = 4096;

/// The length of a window, ns.
const WINDOW: u64 = 2_000_000_000;

/// So many times the floor must rise.
const RISES: usize = 3;

/// The zombies of a parent at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZombieCount {
    /// All of them.
    pub all: usize,
    /// Those of [`Growth::LINGERING`] or older.
    pub lingering: usize,
}

#[derive(Clone, Debug)]
struct Watched {
    window_start: u64,
    /// The fewest lingering zombies in the running window.
    floor: usize,
    /// The floors of the windows before, each with the end of its window: only those that rose.
    floors: VecDeque<(u64, usize)>,
    /// The number of zombies at which it is reported next. It never falls: a parent that comes to the same
    /// number again and again, and reaps them all, does not grow.
    next: usize,
    /// The most zombies since the last warning, while that holds.
    warned: Option<usize>,
}

/// What is new about a parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trend {
    /// It leaves more and more zombies.
    Growing(Growing),
    /// It was reported as growing, but has reaped since.
    Shrunk(Shrunk),
}

/// A parent with a growing number of zombies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growing {
    /// The parent.
    pub ppid: u32,
    /// Its name.
    pub comm: Comm,
    /// Its zombies now.
    pub zombies: usize,
    /// How many more there are each second.
    pub rate: f64,
}

/// A parent whose zombies have grown fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The parent.
    pub ppid: u32,
    /// Its name.
    pub comm: Comm,
    /// Its zombies now.
    pub zombies: usize,
    /// Its zombies when there were most.
    pub most: usize,
}

impl Growth {
    /// The age from which a zombie counts as lingering, ns.
    pub const LINGERING: u64 = 3_000_000_000;

    /// What is to be reported, `now` (monotonic, ns), about all parents with zombies.
    pub fn report(&mut self, now: u64, counts: &HashMap<ParentId, ZombieCount>) -> Vec<Trend> {
        if self.parents.len() > counts.len() + MOST_IDLE {
            self.parents
                .retain(|parent, watched| counts.contains_key(parent) || watched.warned.is_some());
        }
        for (&parent, &zombies) in counts {
            self.parents
                .entry(parent)
                .or_insert_with(|| Watched::new(now, zombies));
        }
        let mut trends = Vec::new();
        for (&(ppid, comm), watched) in &mut self.parents {
            let zombies = counts.get(&(ppid, comm)).copied().unwrap_or_default();
            if let Some(most) = watched.shrinks(zombies.all) {
                trends.push(Trend::Shrunk(Shrunk {
                    ppid,
                    comm,
                    zombies: zombies.all,
                    most,
                }));
            }
            if let Some(rate) = watched.grows(now, zombies) {
                trends.push(Trend::Growing(Growing {
                    ppid,
                    comm,
                    zombies: zombies.all,
                    rate,
                }));
            }
        }
        trends.sort_by_key(|trend| match trend {
            Trend::Growing(Growing { zombies, ppid, .. })
            | Trend::Shrunk(Shrunk { zombies, ppid, .. }) => (std::cmp::Reverse(*zombies), *ppid),
        });
        trends
    }
}

impl Watched {
    fn new(now: u64, zombies: ZombieCount) -> Self {
        Self {
            window_start: now,
            floor: zombies.lingering,
            floors: VecDeque::new(),
            next: FIRST.max(zombies.lingering.saturating_add(FIRST)),
            warned: None,
        }
    }

    /// If it was warned of, and has half as many zombies: how many there were.
    fn shrinks(&mut self, zombies: usize) -> Option<usize> {
        let most = self.warned?.max(zombies);
        self.warned = Some(most);
        if zombies > most / 2 {
            return None;
        }
        self.warned = None;
        self.floors.clear();
        self.next = self.next.max(most.saturating_mul(2));
        Some(most)
    }

    /// If there is something to warn of: how many more zombies there are each second.
    fn grows(&mut self, now: u64, zombies: ZombieCount) -> Option<f64> {
        self.floor = self.floor.min(zombies.lingering);
        if now.saturating_sub(self.window_start) < WINDOW {
            return None;
        }
        let floor = std::mem::replace(&mut self.floor, zombies.lingering);
        self.window_start = now;
        match self.floors.back() {
            Some(&(_, last)) if floor == last => return None,
            Some(&(_, last)) if floor < last => self.floors.clear(),
            _ => {}
        }
        // Growth starts where the first one lingers, or else its rate would be too low.
        if floor == 0 {
            return None;
        }
        self.floors.push_back((now, floor));
        if self.floors.len() > RISES + 1 {
            self.floors.pop_front();
        }
        let (&(start, first), &(end, last)) = (self.floors.front()?, self.floors.back()?);
        if self.floors.len() <= RISES || zombies.all < self.next {
            return None;
        }
        self.next = zombies.all.saturating_mul(2);
        self.warned = Some(zombies.all);
        Some((last - first) as f64 * 1e9 / (end - start).max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn counts(all: usize, lingering: usize) -> HashMap<ParentId, ZombieCount> {
        match all {
            0 => HashMap::new(),
            _ => HashMap::from([((7, Comm::from("parent")), ZombieCount { all, lingering })]),
        }
    }

    /// What is reported, looked at each second, of a parent with these zombies.
    fn reports(zombies: impl IntoIterator<Item = (usize, usize)>) -> Vec<(usize, Trend)> {
        let mut growth = Growth::default();
        let mut reports = Vec::new();
        for (second, (all, lingering)) in zombies.into_iter().enumerate() {
            let now = second as u64 * SECOND;
            let trends = growth.report(now, &counts(all, lingering));
            reports.extend(trends.into_iter().map(|trend| (second, trend)));
        }
        reports
    }

    fn growing(reports: &[(usize, Trend)]) -> Vec<(usize, f64)> {
        let growing = reports.iter().filter_map(|(_, trend)| match trend {
            Trend::Growing(growing) => Some((growing.zombies, growing.rate)),
            Trend::Shrunk(_) => None,
        });
        growing.collect()
    }

    #[test]
    fn a_leak_is_reported_at_each_doubling_with_its_rate() {
        // One more each second, each lingering after three.
        let reports = reports((0..100_usize).map(|second| (second, second.saturating_sub(3))));
        let growing = growing(&reports);
        let zombies: Vec<_> = growing.iter().map(|(zombies, _)| *zombies).collect();
        assert_eq!(zombies.len(), 3, "{reports:?}");
        assert!(
            zombies.windows(2).all(|pair| pair[1] >= pair[0] * 2),
            "{zombies:?}"
        );
        for (_, rate) in growing {
            assert!((rate - 1.0).abs() < 1e-9, "{reports:?}");
        }
    }

    #[test]
    fn a_slow_leak_is_reported_too() {
        // One more each 20 s.
        let reports =
            reports((0..1000_usize).map(|second| (second / 20, second.saturating_sub(3) / 20)));
        let growing = growing(&reports);
        assert_eq!(growing.len(), 3, "{reports:?}");
        assert!(
            growing.iter().all(|(_, rate)| (rate - 0.05).abs() < 0.01),
            "{reports:?}"
        );
    }

    /// 64 workers end at a time; the server reaps them within 2 s: 448 of 448.
    #[test]
    fn a_pre_forking_server_does_not_grow() {
        let pattern = [0, 3, 40, 64, 12];
        let rounds = 448 / 64;
        assert_eq!(
            reports((0..rounds).flat_map(|_| pattern.map(|all| (all, 0)))),
            []
        );
        // Nor if each generation is larger than the one before, as under a rising load.
        let rising = (1..=8).flat_map(|round| pattern.map(|all| (all * round, 0)));
        assert_eq!(reports(rising), []);
        // Nor if one child of it was never reaped.
        let stuck = (0..100).flat_map(|_| pattern.map(|all| (all + 1, 1)));
        assert_eq!(reports(stuck), []);
    }

    #[test]
    fn the_warning_is_withdrawn_when_the_zombies_are_reaped() {
        let leak = (0..20_usize).map(|second| (second, second.saturating_sub(3)));
        let reaped = [(2, 1), (0, 0), (0, 0)];
        let reports = reports(leak.chain(reaped));
        let [(_, Trend::Growing(grown)), (second, Trend::Shrunk(shrunk))] = &reports[..] else {
            panic!("{reports:?}");
        };
        assert!(grown.zombies >= FIRST);
        assert_eq!((*second, shrunk.zombies, shrunk.most), (20, 2, 19));
    }

    #[test]
    fn a_parent_that_is_gone_has_no_zombies() {
        let leak = (0..20_usize).map(|second| (second, second.saturating_sub(3)));
        let reports = reports(leak.chain([(0, 0); 10]));
        assert!(
            matches!(
                reports[..],
                [_, (20, Trend::Shrunk(Shrunk { zombies: 0, .. }))]
            ),
            "{reports:?}"
        );
    }

    #[test]
    fn what_does_not_grow_is_not_reported() {
        assert_eq!(reports([(500, 500); 100]), []);
    }

    #[test]
    fn a_cycle_is_reported_once() {
        // All are reaped each minute.
        let cycle = (0..60_usize).map(|second| (second, second.saturating_sub(3)));
        let reports = reports((0..10).flat_map(|_| cycle.clone()));
        let grew = growing(&reports).len();
        assert!((1..=3).contains(&grew), "{reports:?}");
        let withdrawn = reports.len() - grew;
        assert_eq!(withdrawn, 1, "{reports:?}");
    }

    #[test]
    fn idle_parents_are_forgotten_in_the_end() {
        let mut growth = Growth::default();
        for pid in 0..=MOST_IDLE as u32 {
            let zombies = ZombieCount {
                all: 1,
                lingering: 0,
            };
            growth.report(0, &HashMap::from([((pid, Comm::from("parent")), zombies)]));
        }
        assert_eq!(growth.parents.len(), MOST_IDLE + 1);
        growth.report(SECOND, &HashMap::new());
        assert!(growth.parents.is_empty());
    }
}
