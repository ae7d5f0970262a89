//! Whether the lines of a recording are as many as its summary counts. Pure.

use std::fmt;

use jiff::Timestamp;

use super::Line;
use crate::model::{Counts, FilterLine, Lost};

/// What the lines of a recording add up to.
#[derive(Debug, Default)]
pub(super) struct LineTally {
    /// Processes that are gone; those that were zombies before the run are in no count of it.
    zombies: u64,
    /// The zombies that were listed last, and when: at the end of a run, all that are left are.
    alive: (Option<Timestamp>, u64),
    /// Some line is about a single process: the run was not recorded with `--summary`.
    lists_processes: bool,
    /// Not all processes were to be listed.
    is_filtered: bool,
    /// What the loss lines add up to.
    lost: Lost,
    /// How many processes ended by the interval lines; `None` without such a line.
    in_intervals: Option<u64>,
    end: Option<End>,
}

/// What a summary says.
#[derive(Clone, Copy, Debug)]
struct End {
    ts: Timestamp,
    counts: Counts,
}

/// Lines that a recording lacks, though its summary counts what they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// Lines of processes that are gone.
    Zombies {
        /// How many are missing.
        lines: u64,
        /// How many there must be.
        of: u64,
    },
    /// Lines of processes that are gone: there are more than the summary counts.
    Surplus {
        /// How many there are.
        found: u64,
        /// How many there can be.
        of: u64,
    },
    /// Lines of zombies that were alive at the end.
    Alive {
        /// How many are missing.
        lines: u64,
        /// How many there must be.
        of: u64,
    },
    /// Loss lines.
    Losses {
        /// How many lost processes the others count.
        found: u64,
        /// How many there must be.
        of: u64,
    },
    /// None: the summary's counts contradict each other.
    Exits {
        /// How many processes ended, as it says.
        exits: u64,
        /// How many became of something, as it says.
        of: u64,
    },
    /// Interval lines.
    Intervals {
        /// How many processes the others count.
        found: u64,
        /// How many there must be.
        of: u64,
    },
}

impl Missing {
    /// How many lines, as far as that can be known.
    pub(super) fn lines(self) -> u64 {
        match self {
            Self::Zombies { lines, .. } | Self::Alive { lines, .. } => lines,
            Self::Losses { .. } | Self::Intervals { .. } => 1,
            // Some that belong there may be missing; nobody can say how many.
            Self::Surplus { .. } | Self::Exits { .. } => 0,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lines, of, kind) = match *self {
            Self::Zombies { lines, of } => (lines, of, "zombie"),
            Self::Alive { lines, of } => (lines, of, "alive"),
            Self::Surplus { found, of } => {
                return write!(
                    f,
                    "{found} zombie lines, but the summary counts {of}: some are not of this run, or \
                     are there twice"
                );
            }
            Self::Exits { exits, of } => {
                return write!(
                    f,
                    "the summary contradicts itself: it counts {exits} exits, but {of} processes that \
                     were reaped, live as zombies or were lost"
                );
            }
            Self::Losses { found, of } => {
                return write!(
                    f,
                    "loss lines are missing: they count {found} of {of} losses"
                );
            }
            Self::Intervals { found, of } => {
                return write!(
                    f,
                    "interval lines are missing: they count {found} of {of} processes"
                );
            }
        };
        let verb = if lines == 1 { "is" } else { "are" };
        write!(f, "{lines} of {of} {kind} lines {verb} missing")
    }
}

impl LineTally {
    /// Takes in a line.
    pub(super) fn line(&mut self, line: &Line) {
        match line {
            Line::Zombie(zombie) => {
                self.lists_processes = true;
                self.zombies += u64::from(!zombie.pre_existing());
            }
            Line::Alive(alive) => {
                self.lists_processes = true;
                if alive.pre_existing() || !alive.is_reapable() {
                    return;
                }
                if self.alive.0 < Some(alive.ts) {
                    self.alive = (Some(alive.ts), 0);
                }
                self.alive.1 += u64::from(self.alive.0 == Some(alive.ts));
            }
            // How many of them a run writes is not in its summary.
            Line::Unlisted(_) | Line::Dying(_) | Line::Stack(_) | Line::Doing(_) => {}
            Line::Loss(loss) => self.lost += loss.lost,
            Line::Interval(interval) => {
                let ended = interval.reaped.saturating_add(interval.autoreaped);
                let sum = self.in_intervals.get_or_insert(0);
                *sum = sum.saturating_add(ended);
            }
            Line::Summary(summary) => {
                self.end = Some(End {
                    ts: summary.ts,
                    counts: summary.counts,
                });
            }
            Line::Start(start) => {
                let filter = start.filter.as_ref();
                self.is_filtered = filter.is_some_and(FilterLine::leaves_out_zombies);
            }
        }
    }

    /// What is missing beyond the `damaged` lines, which have a remark of their own.
    ///
    /// Each count is the least that a run can have written: what a filter left out and what was lost
    /// is subtracted. Without a summary nothing can be said.
    pub(super) fn missing(&self, damaged: u64) -> Vec<Missing> {
        let Some(End { ts, counts }) = self.end else {
            return Vec::new();
        };
        let mut missing = Vec::new();
        let of = accounted(&counts);
        if counts.exits != of {
            let exits = counts.exits;
            missing.push(Missing::Exits { exits, of });
        }
        let mut excused = damaged;
        let mut lacking = |of: u64, found: u64| {
            let lines = of.saturating_sub(found);
            let lines_left = lines.saturating_sub(excused);
            excused = excused.saturating_sub(lines);
            (lines_left > 0).then_some(lines_left)
        };
        if self.lists_processes {
            // Those that a filter leaves out have no line.
            let most = counts
                .reaped
                .saturating_add(counts.autoreaped)
                .saturating_sub(counts.filtered);
            if self.zombies > most {
                let (found, of) = (self.zombies, most);
                missing.push(Missing::Surplus { found, of });
            }
            let of = most.saturating_sub(counts.lost.ring_full);
            if let Some(lines) = lacking(of, self.zombies) {
                missing.push(Missing::Zombies { lines, of });
            }
            // Those that a filter leaves out of the list are counted nowhere.
            let is_filtered = self.is_filtered || counts.filtered > counts.autoreaped;
            let alive = counts.alive;
            let found = match self.alive.0 {
                Some(last) if last >= ts => self.alive.1,
                _ => 0,
            };
            if !is_filtered && let Some(lines) = lacking(alive, found) {
                missing.push(Missing::Alive { lines, of: alive });
            }
        }
        if damaged > 0 {
            return missing;
        }
        let (found, of) = (self.lost.total(), counts.lost.total());
        if found < of {
            missing.push(Missing::Losses { found, of });
        }
        let of = counts.reaped.saturating_add(counts.autoreaped);
        if let Some(found) = self.in_intervals.filter(|&found| found < of) {
            missing.push(Missing::Intervals { found, of });
        }
        missing
    }
}

/// What became of the processes that ended: all of them, if the counts are true.
fn accounted(counts: &Counts) -> u64 {
    [
        counts.autoreaped,
        counts.alive,
        counts.lost.map_full,
        counts.lost.missed,
    ]
    .into_iter()
    .fold(counts.reaped, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::Aggregate,
        model::{Alive, Flag, Loss, Zombie, fixtures},
    };

    const LOST: Lost = Lost {
        ring_full: 2,
        map_full: 3,
        missed: 1,
    };

    /// 10 reaped (2 of them lost, 1 filtered), 4 autoreaped, and 2 alive.
    fn run() -> Vec<Line> {
        let mut aggregate = Aggregate::default();
        let alive = [false, true, false].map(|pre_existing| {
            let flags = pre_existing.then_some(Flag::PreExisting);
            Alive {
                flags: flags.into_iter().collect(),
                ..fixtures::alive()
            }
        });
        alive.iter().for_each(|alive| aggregate.alive(alive));
        let counts = Counts {
            exits: 20,
            reaped: 10,
            autoreaped: 4,
            alive: 2,
            pre_existing: 1,
            filtered: 1,
            lost: LOST,
            suspicious: 0,
        };
        let ts = alive[0].ts;
        let zombie = Line::Zombie(fixtures::zombie());
        let mut lines = vec![zombie; 11];
        lines.push(Line::Zombie(Zombie {
            flags: vec![Flag::PreExisting],
            ..fixtures::zombie()
        }));
        lines.push(Line::Loss(Loss { ts, lost: LOST }));
        lines.extend(alive.map(Line::Alive));
        let summary = aggregate.summary(counts, ts, std::time::Duration::from_secs(1));
        lines.push(Line::Summary(Box::new(summary)));
        lines
    }

    fn missing(lines: &[Line], damaged: u64) -> Vec<Missing> {
        let mut tally = LineTally::default();
        lines.iter().for_each(|line| tally.line(line));
        tally.missing(damaged)
    }

    #[test]
    fn a_whole_run_lacks_nothing() {
        assert_eq!(missing(&run(), 0), []);
    }

    #[test]
    fn each_line_that_is_cut_out_is_noticed() {
        let run = run();
        for cut in 0..run.len() {
            let mut lines = run.clone();
            let line = lines.remove(cut);
            let expected: &[Missing] = match line {
                Line::Zombie(zombie) if !zombie.pre_existing() => {
                    &[Missing::Zombies { lines: 1, of: 11 }]
                }
                Line::Alive(alive) if !alive.pre_existing() => {
                    &[Missing::Alive { lines: 1, of: 2 }]
                }
                Line::Loss(_) => &[Missing::Losses { found: 0, of: 6 }],
                // Without it nothing is known.
                _ => &[],
            };
            assert_eq!(missing(&lines, 0), expected, "{cut}");
        }
    }

    #[test]
    fn lines_that_are_there_twice_are_noticed() {
        let twice = [&run()[..11], &run()[..]].concat();
        let surplus = Missing::Surplus { found: 22, of: 13 };
        assert_eq!(missing(&twice, 0), [surplus]);
    }

    #[test]
    fn counts_that_contradict_each_other_are_noticed() {
        for change in [
            (|counts| counts.exits += 1) as fn(&mut Counts),
            |counts| counts.alive += 1,
            |counts| counts.lost.missed = 0,
        ] {
            let mut run = run();
            for line in &mut run {
                if let Line::Summary(summary) = line {
                    change(&mut summary.counts);
                }
            }
            let missing = missing(&run, 0);
            assert!(
                matches!(missing[..], [Missing::Exits { .. }, ..]),
                "{missing:?}"
            );
        }
    }

    #[test]
    fn one_line_more_than_a_filter_lists_is_noticed() {
        // Of 14, 2 are lost and 1 is filtered: a lost one can have no line, but nobody knows which.
        for (more, expected) in [(2, None), (3, Some(Missing::Surplus { found: 14, of: 13 }))] {
            let mut run = run();
            run.extend(vec![Line::Zombie(fixtures::zombie()); more]);
            assert_eq!(missing(&run, 0).first().copied(), expected);
        }
    }

    #[test]
    fn damaged_lines_are_not_counted_twice() {
        let run = run();
        assert_eq!(missing(&run[2..], 2), []);
        assert_eq!(
            missing(&run[3..], 2),
            [Missing::Zombies { lines: 1, of: 11 }]
        );
    }

    #[test]
    fn a_run_that_lists_no_processes_need_not_have_any() {
        let mut run = run();
        run.retain(|line| matches!(line, Line::Summary(_) | Line::Loss(_)));
        assert_eq!(missing(&run, 0), []);
    }

    #[test]
    fn a_filter_may_leave_out_the_living() {
        let mut run = run();
        run.retain(|line| !matches!(line, Line::Alive(_)));
        assert_eq!(missing(&run, 0), [Missing::Alive { lines: 2, of: 2 }]);
        for line in &mut run {
            if let Line::Summary(summary) = line {
                summary.counts.filtered = 5;
            }
        }
        // Of those that are gone, it leaves out four more.
        run.drain(..4);
        assert_eq!(missing(&run, 0), []);
    }

    #[test]
    fn sums_beyond_all_numbers_are_no_trouble() {
        let mut run = run();
        for line in &mut run {
            if let Line::Summary(summary) = line {
                summary.counts.reaped = u64::MAX;
                summary.counts.lost.missed = u64::MAX;
            }
        }
        let missing = missing(&run, 0);
        assert_eq!(missing.len(), 3);
        assert_eq!(
            missing[1].to_string(),
            "18446744073709551601 of 18446744073709551612 zombie lines are missing"
        );
    }

    #[test]
    fn messages() {
        let one = Missing::Alive { lines: 1, of: 3 };
        assert_eq!(one.to_string(), "1 of 3 alive lines is missing");
        let losses = Missing::Losses { found: 1, of: 4 };
        assert_eq!(
            losses.to_string(),
            "loss lines are missing: they count 1 of 4 losses"
        );
    }
}
