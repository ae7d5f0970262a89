//! From the lines of recorded runs to a [`Report`].

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Report, Run, TimesFrom,
    still::{Causes, Still},
    timeline::Timeline,
    worst::Worst,
};
use crate::{
    aggregate::{Aggregate, PhaseTotals, RunFacts, Summary, ZombieTimes},
    kernel::Backend,
    model::{Alive, Counts, Lost, Start, Unlisted, Zombie},
    recording::{Line, RecordedInterval, Recording},
};

/// Beyond this a time is a mistake, not a length of a run.
const LONGEST_RUN: u64 = 1 << 56;
/// The error of an exact zombie time in a run, ns; 0 if its backend is none that we know.
fn error_ns(start: &Start) -> u64 {
    let backend = Backend::ALL
        .into_iter()
        .find(|backend| backend.name() == start.backend);
    backend.map_or(0, Backend::error_ns)
}

/// Sums runs up.
#[derive(Default)]
pub(crate) struct ReportCollector {
    aggregate: Aggregate,
    timeline: Timeline,
    worst: Worst,
    runs: Vec<Run>,
    counts: Counts,
    causes: Causes,
    /// Of the last run whose zombies are not listed.
    times: ZombieTimes,
    end: Option<Timestamp>,
}

/// One of the runs, while it is read.
#[derive(Default)]
pub(crate) struct RunCollector {
    begin: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Those of the lines.
    counts: Counts,
    /// Those of the intervals.
    in_intervals: Counts,
    zombies: bool,
    intervals: bool,
    still: Still,
    summary: Option<Box<Summary>>,
}

impl ReportCollector {
    /// A run begins.
    pub(crate) fn begin(&mut self, start: Option<&Start>) -> RunCollector {
        self.aggregate.next_run(RunFacts {
            begin: start.map(|start| start.ts),
            error_ns: start.map_or(0, error_ns),
            tracer_pid: start.map(|start| start.tracer_pid),
        });
        RunCollector {
            begin: start.map(|start| start.ts),
            last: start.map(|start| start.ts),
            ..RunCollector::default()
        }
    }

    /// Takes in a line of it.
    pub(crate) fn line(&mut self, run: &mut RunCollector, line: &Line) {
        match line {
            Line::Start(_) => {}
            Line::Zombie(zombie) => self.zombie(run, zombie),
            Line::Alive(alive) => {
                run.at(alive.ts);
                run.still.alive(alive);
            }
            Line::Unlisted(unlisted) => self.unlisted(run, unlisted),
            Line::Loss(loss) => {
                run.at(loss.ts);
                run.counts.lost += loss.lost;
            }
            Line::Interval(interval) => self.interval(run, interval),
            Line::Summary(summary) => {
                run.at(summary.ts);
                run.summary = Some(summary.clone());
            }
        }
    }

    fn zombie(&mut self, run: &mut RunCollector, zombie: &Zombie) {
        run.zombies = true;
        let end = run.at(zombie.ts);
        run.still.reaped(zombie);
        self.aggregate.zombie(zombie, true);
        if !zombie.autoreaped() {
            self.worst.zombie(zombie);
        }
        self.timeline
            .existed(end.saturating_sub(zombie.zombie_ns), end);
        if zombie.pre_existing() {
            run.counts.pre_existing += 1;
        } else if zombie.autoreaped() {
            run.counts.autoreaped += 1;
        } else {
            run.counts.reaped += 1;
            self.timeline.reaped(end, zombie.zombie_ns, 1);
        }
    }

    /// A filter changes what is listed, and no figure.
    fn unlisted(&mut self, run: &mut RunCollector, unlisted: &Unlisted) {
        run.zombies = true;
        let end = run.at(unlisted.ts);
        for &(ago, parent, zombie_ns) in &unlisted.zombies {
            let parent = unlisted.parents.get(parent);
            let parent = parent.map_or((None, None), |parent| (parent.ppid, parent.comm));
            self.aggregate.unlisted(parent, zombie_ns);
            run.counts.reaped += 1;
            let end = end.saturating_sub(ago);
            self.timeline.existed(end.saturating_sub(zombie_ns), end);
            self.timeline.reaped(end, zombie_ns, 1);
        }
    }

    /// What an interval tells is in the lines of its zombies, if those are written.
    fn interval(&mut self, run: &mut RunCollector, interval: &RecordedInterval) {
        let end = run.at_end_of(interval);
        run.in_intervals += Counts {
            exits: interval.exits,
            reaped: interval.reaped,
            autoreaped: interval.autoreaped,
            filtered: interval.filtered,
            lost: interval.lost,
            ..Counts::default()
        };
        // As many as there are at the end.
        run.in_intervals.alive = interval.alive;
        run.intervals |= interval.zombie_ns.count > 0 || !run.zombies;
        if run.zombies {
            return;
        }
        self.timeline
            .told(end, interval.duration_ns, interval.alive);
        let middle = end.saturating_sub(interval.duration_ns / 2);
        let ZombieTimes { min, max, .. } = interval.zombie_ns;
        let (min, max) = (min.unwrap_or(0), max.unwrap_or(u64::MAX));
        let last = interval.histogram.len().saturating_sub(1);
        for (index, &(lower, upper, count)) in interval.histogram.iter().enumerate() {
            let typical = lower.midpoint(upper).clamp(min, max.max(min));
            let mut record = |zombie_ns, count| {
                self.aggregate.times(zombie_ns, count);
                self.timeline.reaped(middle, zombie_ns, count);
            };
            // The extremes are known.
            match (index == 0, index == last) {
                (true, _) if count > 0 => {
                    record(min, 1);
                    record(typical, count - 1);
                }
                (_, true) if count > 0 => {
                    record(max, 1);
                    record(typical, count - 1);
                }
                _ => record(typical, count),
            }
        }
    }

    /// The run has been read. Gives the zombies that are left, and when the run ended.
    #[expect(clippy::vec_box, reason = "as Still gives them")]
    pub(crate) fn end(
        &mut self,
        mut run: RunCollector,
        recording: &Recording,
    ) -> (Vec<Box<Alive>>, u64) {
        let start = recording.start();
        let remarks = recording.remarks();
        let end_ts = run.summary.as_ref().map(|summary| summary.ts);
        let end = run.last.map_or(0, |last| run.at(last));
        self.timeline.until(end);
        let left = std::mem::take(&mut run.still).at_end(end_ts);
        for alive in &left {
            self.aggregate.alive(alive);
            self.timeline.existed(end.saturating_sub(alive.age_ns), end);
        }
        let times_from = match (run.zombies, run.intervals, &run.summary) {
            (false, true, _) => TimesFrom::Intervals,
            (false, false, Some(summary)) if summary.zombie_ns.count > 0 => TimesFrom::Summary,
            _ => TimesFrom::Zombies,
        };
        let counts = match &run.summary {
            Some(summary) => summary.counts,
            None if times_from == TimesFrom::Intervals => run.in_intervals,
            None => {
                let alive = left.iter().filter(|alive| !alive.pre_existing()).count() as u64;
                let mut counts = run.counts;
                counts.pre_existing += left.len() as u64 - alive;
                counts.alive = alive;
                let Lost {
                    map_full, missed, ..
                } = counts.lost;
                let ended = [counts.reaped, counts.autoreaped, alive, map_full, missed];
                counts.exits = ended.into_iter().fold(0, u64::saturating_add);
                counts
            }
        };
        if let Some(summary) = &run.summary
            && times_from != TimesFrom::Zombies
        {
            self.aggregate.summed(summary);
            self.times = summary.zombie_ns;
        } else if let Some(summary) = &run.summary {
            self.aggregate.name_parents(summary);
        }
        self.counts += counts;
        self.causes.add(&left);
        self.end = self.end.max(run.last);
        self.runs.push(Run {
            file: recording.name().to_owned(),
            start: start.map(|start| start.ts),
            version: start.map(|start| start.version.clone()),
            kernel: start.map(|start| start.kernel.clone()),
            backend: start.map(|start| start.backend.clone()),
            command: start.and_then(|start| start.command.clone()),
            duration_ns: run
                .summary
                .as_ref()
                .map_or(end, |summary| summary.duration_ns),
            exits: counts.exits,
            lost: counts.lost,
            complete: run.summary.is_some_and(|summary| summary.complete) && remarks.is_whole(),
            cut: remarks.cut.map(|cut| cut.to_string()),
            corrupt_lines: remarks.corrupt,
            missing_lines: remarks.missing_lines(),
            times_from,
            remarks: remarks.to_string(),
        });
        (left, end)
    }

    /// All runs have been read.
    pub(crate) fn finish(self) -> Report {
        let durations = self.runs.iter().map(|run| run.duration_ns);
        let duration_ns = durations.fold(0, u64::saturating_add);
        let end = self.end.unwrap_or(Timestamp::UNIX_EPOCH);
        // Of a run that is summed up only the percentiles in its summary are known.
        let is_exact = self
            .runs
            .iter()
            .all(|run| run.times_from != TimesFrom::Summary);
        let mut summary =
            self.aggregate
                .summary(self.counts, end, Duration::from_nanos(duration_ns));
        summary.complete = self.runs.iter().all(|run| run.complete);
        // Exact, unlike what can be made of intervals.
        if let [run] = &*self.runs
            && run.times_from != TimesFrom::Zombies
            && self.times.count > 0
        {
            summary.zombie_ns = self.times;
        }
        let phases = PhaseTotals::sum(summary.by_comm.iter().map(|row| &row.group.phases));
        Report {
            phases,
            times: is_exact.then(|| self.aggregate.exact_times().clone()),
            worst: self.worst.into_zombies(),
            causes: self.causes.most_frequent_first(),
            timeline: self.timeline.series(),
            runs: self.runs,
            summary,
        }
    }
}

impl RunCollector {
    /// How long after its begin that was, ns.
    pub(crate) fn at(&mut self, ts: Timestamp) -> u64 {
        self.last = self.last.max(Some(ts));
        let begin = *self.begin.get_or_insert(ts);
        let since = ts.duration_since(begin).as_nanos();
        u64::try_from(since).unwrap_or(0).min(LONGEST_RUN)
    }

    fn at_end_of(&mut self, interval: &RecordedInterval) -> u64 {
        let duration =
            jiff::SignedDuration::from_nanos(interval.duration_ns.try_into().unwrap_or(0));
        // A recording that has lost its begin has begun with it.
        self.begin
            .get_or_insert(interval.ts.saturating_sub(duration).unwrap_or(interval.ts));
        self.at(interval.ts)
    }
}
