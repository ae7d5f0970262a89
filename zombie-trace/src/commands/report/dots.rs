//! Single zombies for the page: all of them where there are few, else one for each part of the plane
//! of time and duration. Pure.

use foldhash::HashMap;

use crate::{
    model::{Alive, Cause, Comm, How, Zombie},
    text::status,
};

/// With more zombies, those that look alike share a dot.
const MOST_DOTS: usize = 4000;
/// The plane has at most this many columns.
const MOST_COLUMNS: u64 = 256;
const FIRST_WIDTH: u64 = 1 << 21;

/// A zombie, or several that lasted about as long at about the same time.
#[derive(Clone, Debug)]
pub(crate) struct Dot {
    /// When it was reaped, or the end of the run, from the start of the run, in ns.
    pub(crate) end: u64,
    pub(crate) time_ns: u64,
    pub(crate) pid: u32,
    pub(crate) comm: Comm,
    pub(crate) parent: (Option<u32>, Option<Comm>),
    pub(crate) status: String,
    /// `None` if it is living.
    pub(crate) how: Option<How>,
    pub(crate) reaper: (Option<u32>, Option<Comm>),
    pub(crate) phases: Option<[u64; 5]>,
    pub(crate) cause: Option<Cause>,
    /// The number of zombies that it stands for.
    pub(crate) count: u64,
}

impl Dot {
    pub(crate) fn of_zombie(zombie: &Zombie, end: u64) -> Self {
        Self {
            end,
            time_ns: zombie.zombie_ns,
            pid: zombie.pid,
            comm: zombie.comm,
            parent: (zombie.ppid, zombie.parent_comm),
            status: status(zombie.exit_code, zombie.signal, zombie.core_dumped),
            how: Some(zombie.how),
            reaper: (zombie.reaper_pid, zombie.reaper_comm),
            phases: zombie.phases.map(|phases| phases.times()),
            cause: zombie.cause,
            count: 1,
        }
    }

    pub(crate) fn of_alive(alive: &Alive, end: u64) -> Self {
        Self {
            end,
            time_ns: alive.age_ns,
            pid: alive.pid,
            comm: alive.comm,
            parent: (alive.ppid, alive.parent_comm),
            status: status(alive.exit_code, alive.signal, false),
            how: None,
            reaper: (None, None),
            phases: None,
            cause: alive.cause,
            count: 1,
        }
    }
}

/// The dots of a run so far.
#[derive(Debug)]
pub(crate) struct Dots {
    width: u64,
    all: Vec<Dot>,
    /// Where there are too many: the longest of each part of the plane. Living ones stay apart.
    thinned: Option<HashMap<Place, Dot>>,
}

/// Column, range of durations, whether it is living.
type Place = (u64, u32, bool);

impl Default for Dots {
    fn default() -> Self {
        Self {
            width: FIRST_WIDTH,
            all: Vec::new(),
            thinned: None,
        }
    }
}

impl Dots {
    /// Whether it would become a dot of its own or replace one; if not, it is only counted. Saves
    /// the making of a [`Dot`] for most zombies.
    pub(crate) fn add(
        &mut self,
        end: u64,
        time_ns: u64,
        is_alive: bool,
        dot: impl FnOnce() -> Dot,
    ) {
        let Some(thinned) = &mut self.thinned else {
            self.all.push(dot());
            if self.all.len() > MOST_DOTS {
                self.thin();
            }
            return;
        };
        match thinned.get_mut(&place(self.width, end, time_ns, is_alive)) {
            Some(known) if known.time_ns >= time_ns => known.count += 1,
            Some(known) => {
                *known = Dot {
                    count: known.count + 1,
                    ..dot()
                }
            }
            None => {
                thinned.insert(place(self.width, end, time_ns, is_alive), dot());
                if thinned.len() > MOST_DOTS || end / self.width >= MOST_COLUMNS {
                    self.thin();
                }
            }
        }
    }

    /// Puts together what lies close, until there are few.
    fn thin(&mut self) {
        let mut dots = std::mem::take(&mut self.all);
        dots.extend(
            self.thinned
                .take()
                .into_iter()
                .flatten()
                .map(|(_, dot)| dot),
        );
        loop {
            let is_too_long = dots.iter().any(|dot| dot.end / self.width >= MOST_COLUMNS);
            let mut thinned: HashMap<Place, Dot> = HashMap::default();
            for dot in dots {
                let place = place(self.width, dot.end, dot.time_ns, dot.how.is_none());
                match thinned.get_mut(&place) {
                    Some(known) => {
                        let count = known.count + dot.count;
                        if (dot.time_ns, known.pid) > (known.time_ns, dot.pid) {
                            *known = dot;
                        }
                        known.count = count;
                    }
                    None => {
                        thinned.insert(place, dot);
                    }
                }
            }
            if !is_too_long && thinned.len() <= MOST_DOTS / 2 {
                self.thinned = Some(thinned);
                return;
            }
            // In one column there are at most 256 dots.
            self.width = self.width.saturating_mul(2);
            dots = thinned.into_values().collect();
        }
    }

    /// By time; equal ones by pid.
    pub(crate) fn into_dots(self) -> Vec<Dot> {
        let mut dots = self.all;
        dots.extend(self.thinned.into_iter().flatten().map(|(_, dot)| dot));
        dots.sort_unstable_by_key(|dot| (dot.end, dot.pid, dot.time_ns));
        dots
    }
}

/// Each power of two of durations has two ranges.
fn place(width: u64, end: u64, time_ns: u64, is_alive: bool) -> Place {
    let octave = time_ns.max(2).ilog2();
    let half = (time_ns.max(2) >> (octave - 1)) & 1;
    (end / width, octave * 2 + half as u32, is_alive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::{alive, zombie};

    fn dots(count: u64) -> Vec<Dot> {
        let mut dots = Dots::default();
        for n in 0..count {
            let time_ns = 1000 + n * 7919 % 1_000_000;
            let end = n * 60_000_000_000 / count;
            dots.add(end, time_ns, false, || {
                let zombie = Zombie {
                    pid: n as u32,
                    zombie_ns: time_ns,
                    ..zombie()
                };
                Dot::of_zombie(&zombie, end)
            });
        }
        dots.add(60_000_000_000, 5, true, || {
            Dot::of_alive(&alive(), 60_000_000_000)
        });
        dots.into_dots()
    }

    #[test]
    fn few_zombies_have_a_dot_each() {
        let dots = dots(MOST_DOTS as u64 - 1);
        assert_eq!(dots.len(), MOST_DOTS);
        assert!(dots.iter().all(|dot| dot.count == 1));
        assert!(dots.is_sorted_by_key(|dot| dot.end));
    }

    #[test]
    fn many_share_dots_and_the_longest_stays() {
        let dots = dots(200_000);
        assert!((500..=MOST_DOTS).contains(&dots.len()), "{}", dots.len());
        assert_eq!(dots.iter().map(|dot| dot.count).sum::<u64>(), 200_001);
        let longest = (0..200_000_u64).map(|n| 1000 + n * 7919 % 1_000_000).max();
        let reaped = dots.iter().filter(|dot| dot.how.is_some());
        assert_eq!(reaped.map(|dot| dot.time_ns).max(), longest);
        assert_eq!(dots.iter().filter(|dot| dot.how.is_none()).count(), 1);
    }

    #[test]
    fn absurd_times_are_no_trouble() {
        let mut dots = Dots::default();
        for n in 0..3 * MOST_DOTS as u64 {
            let end = u64::MAX / (n + 1);
            dots.add(end, end, false, || Dot {
                time_ns: end,
                ..Dot::of_zombie(&zombie(), end)
            });
        }
        assert!(dots.into_dots().len() <= MOST_DOTS);
    }
}
