//! From the lines of recorded runs to a [`Report`].

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Report, ReportedRun, TimesFrom,
    dots::{Dot, Dots},
    lanes::{LaneRow, Lanes},
    still::Still,
    timeline::TimelineBuilder,
    unended::UnendedOfRuns,
    worst::Worst,
};
use crate::{
    aggregate::{
        Aggregate, Breakdown, ParentKey, RunFacts, Samples, Summary, WhatParentsDid, ZombieTimes,
        doing::name_places,
    },
    container::Container,
    filter::Filter,
    kernel::Backend,
    model::{Alive, Cause, Comm, Counts, FilterLine, Lost, StackTotals, Start, Unlisted, Zombie},
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
pub(crate) struct ReportCollector {
    aggregate: Aggregate,
    timeline: TimelineBuilder,
    lanes: Lanes,
    dots: Dots,
    unended: UnendedOfRuns,
    did: WhatParentsDid,
    /// How well samples cover the runs.
    stacks: Option<StackTotals>,
    worst: Worst,
    runs: Vec<ReportedRun>,
    /// Of the least exact run, in ns.
    error_ns: u64,
    counts: Counts,
    /// Those of the runs whose zombies are not all listed.
    summed: Vec<ZombieTimes>,
    /// The exact times of runs that a filter has left zombies out of the list of; `None` if some are not
    /// known.
    filtered_times: Option<Samples>,
    end: Option<Timestamp>,
    /// Which processes are listed one by one.
    filter: Filter,
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
    /// The zombie time that the intervals add up to.
    interval_time: u64,
    zombies: bool,
    intervals: bool,
    /// How many zombies are listed.
    listed: u64,
    /// Of those that are listed, if a filter leaves some out: the summary has better figures.
    filtered: Option<Box<Aggregate>>,
    still: Still,
    summary: Option<Box<Summary>>,
}

impl Default for ReportCollector {
    fn default() -> Self {
        Self {
            aggregate: Default::default(),
            timeline: Default::default(),
            lanes: Default::default(),
            dots: Default::default(),
            unended: Default::default(),
            did: Default::default(),
            stacks: None,
            worst: Default::default(),
            runs: Default::default(),
            error_ns: Default::default(),
            counts: Default::default(),
            summed: Default::default(),
            filtered_times: Some(Samples::default()),
            end: Default::default(),
            filter: Filter {
                autoreaped: true,
                ..Filter::default()
            },
        }
    }
}

impl ReportCollector {
    /// One that lists only some processes. Figures are about all of them.
    pub(crate) fn new(filter: Filter) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    /// A run starts.
    pub(crate) fn begin(&mut self, start: Option<&Start>) -> RunCollector {
        let facts = RunFacts {
            begin: start.map(|start| start.ts),
            error_ns: start.map_or(0, error_ns),
            tracer_pid: start.map(|start| start.tracer_pid),
        };
        self.aggregate.next_run(facts);
        self.did.next_run();
        self.error_ns = self.error_ns.max(facts.error_ns);
        let is_filtered = start
            .and_then(|start| start.filter.as_ref())
            .is_some_and(FilterLine::leaves_out_zombies);
        RunCollector {
            filtered: is_filtered.then(|| Box::new(Aggregate::new(facts))),
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
            // No zombie yet.
            Line::Alive(alive) if !alive.is_reapable() => {
                run.at(alive.ts);
                if self.filter.passes_alive(alive) {
                    self.unended.leader_ended(self.runs.len(), alive);
                }
            }
            Line::Alive(alive) => {
                run.at(alive.ts);
                run.still.alive(alive);
            }
            Line::Dying(dying) => {
                run.at(dying.ts);
                // The line does not have its parent's name.
                if self.filter.passes_dying(dying, None) {
                    self.unended.dying(self.runs.len(), dying);
                }
            }
            Line::Unlisted(unlisted) => self.unlisted(run, unlisted),
            Line::Loss(loss) => {
                run.at(loss.ts);
                run.counts.lost += loss.lost;
            }
            Line::Interval(interval) => self.interval(run, interval),
            Line::Stack(stack) => {
                run.at(stack.ts);
                self.did.stack(stack);
            }
            Line::Doing(doing) => {
                run.at(doing.ts);
                self.did.doing(doing);
            }
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
        let aggregate = run.filtered.as_deref_mut().unwrap_or(&mut self.aggregate);
        aggregate.zombie(zombie, true);
        if !zombie.autoreaped() {
            run.listed += u64::from(!zombie.pre_existing());
            if self.filter.passes(zombie) {
                self.worst.zombie(zombie);
            }
        }
        let begin = end.saturating_sub(zombie.zombie_ns);
        self.timeline.existed(begin, end);
        if !zombie.autoreaped() {
            let is_reaped = !zombie.pre_existing();
            self.lanes(
                (zombie.ppid, zombie.parent_comm),
                zombie.comm,
                zombie.container.as_ref(),
                zombie.cause,
                |lanes, row| lanes.add(row, begin, end, is_reaped),
            );
            if self.filter.passes(zombie) {
                self.dots
                    .add(end, zombie.zombie_ns, false, || Dot::of_zombie(zombie, end));
            }
        }
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
            let aggregate = run.filtered.as_deref_mut().unwrap_or(&mut self.aggregate);
            aggregate.unlisted(parent, zombie_ns);
            run.counts.reaped += 1;
            let end = end.saturating_sub(ago);
            self.timeline.existed(end.saturating_sub(zombie_ns), end);
            self.timeline.reaped(end, zombie_ns, 1);
        }
    }

    /// An interval adds nothing to the lines of its zombies, if those are written.
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
        let mut rounded = 0_u128;
        for (index, &(lower, upper, count)) in interval.histogram.iter().enumerate() {
            // Rounded up: no percentile is below the true one.
            let typical = upper.saturating_sub(1).max(lower).clamp(min, max.max(min));
            let mut record = |zombie_ns: u64, count: u64| {
                let time = u128::from(zombie_ns) * u128::from(count);
                rounded = rounded.saturating_add(time);
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
        // The mean is exact.
        let times = &interval.zombie_ns;
        let exact = u128::from(times.mean.unwrap_or(0)) * u128::from(times.count);
        self.aggregate.correct_sum(rounded, exact);
        let exact = u64::try_from(exact).unwrap_or(u64::MAX);
        run.interval_time = run.interval_time.saturating_add(exact);
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
        let is_filtered = run.filtered.is_some();
        let times_from = match (run.zombies, run.intervals, &run.summary) {
            (_, _, Some(_)) if is_filtered => TimesFrom::Summary,
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
        let is_summed = times_from != TimesFrom::Zombies && run.summary.is_some();
        for alive in &left {
            let begin = end.saturating_sub(alive.age_ns);
            self.timeline.existed(begin, end);
            self.lanes(
                (alive.ppid, alive.parent_comm),
                alive.comm,
                alive.container.as_ref(),
                alive.cause,
                |lanes, row| lanes.add(row, begin, end, false),
            );
            if self.filter.passes_alive(alive) {
                self.worst.alive(alive);
                self.dots
                    .add(end, alive.age_ns, true, || Dot::of_alive(alive, end));
            }
            let aggregate = run.filtered.as_deref_mut().unwrap_or(&mut self.aggregate);
            // The summary counts them.
            if !is_summed {
                aggregate.alive(alive);
            }
        }
        match (&run.summary, &run.filtered) {
            (Some(summary), _) if is_summed => self.sum(summary),
            (Some(summary), _) => {
                self.aggregate.name_parents(summary);
                // Without --all they have no lines.
                if run.counts.autoreaped == 0 {
                    self.aggregate.unlisted_autoreaped(summary);
                }
            }
            // Without a summary, what is listed is all that is known.
            (None, Some(listed)) => {
                let ts = run.last.unwrap_or_default();
                self.sum(&listed.summary(counts, ts, Duration::from_nanos(end)));
            }
            // The summary would have counted it.
            (None, None) => self.aggregate.zombie_time(run.interval_time),
        }
        if let (Some(listed), Some(summary)) = (&run.filtered, &run.summary) {
            let times = listed.exact_times();
            match &mut self.filtered_times {
                Some(all) if times.count() == summary.zombie_ns.count => {
                    all.merge(times);
                    self.aggregate.merge_histogram(listed);
                }
                all => *all = None,
            }
        }
        if let Some(totals) = run.summary.as_ref().and_then(|summary| summary.stacks) {
            *self.stacks.get_or_insert_default() += totals;
        }
        self.counts += counts;
        self.end = self.end.max(run.last);
        self.runs.push(ReportedRun {
            file: recording.name().to_owned(),
            start: start.map(|start| start.ts),
            version: start.map(|start| start.version.clone()),
            kernel: start.map(|start| start.kernel.clone()),
            backend: start.map(|start| start.backend.clone()),
            command: start.and_then(|start| start.command.clone()),
            args: start.and_then(|start| start.args.clone()),
            host: start.and_then(|start| start.host.clone()),
            duration_ns: run
                .summary
                .as_ref()
                .map_or(end, |summary| summary.duration_ns),
            exits: counts.exits,
            reaped: counts.reaped,
            lost: counts.lost,
            has_summary: run.summary.is_some(),
            complete: run.summary.is_some_and(|summary| summary.complete) && remarks.is_whole(),
            cut: remarks.cut.map(|cut| cut.to_string()),
            corrupt_lines: remarks.corrupt,
            missing_lines: remarks.missing_lines(),
            times_from,
            listed: run.listed,
            is_filtered,
            remarks: remarks.to_string(),
        });
        (left, end)
    }

    /// Adds to each lane that a zombie is in.
    fn lanes(
        &mut self,
        parent: ParentKey,
        comm: Comm,
        container: Option<&Container>,
        cause: Option<Cause>,
        add: impl Fn(&mut Lanes, LaneRow),
    ) {
        let rows = [
            LaneRow::All,
            LaneRow::Parent(parent),
            LaneRow::Comm(Some(comm)),
            LaneRow::Cause(cause),
        ];
        let container = container.cloned().map(LaneRow::Container);
        for row in rows.into_iter().chain(container) {
            add(&mut self.lanes, row);
        }
    }

    /// Takes in a run by its summary.
    fn sum(&mut self, summary: &Summary) {
        self.aggregate.summed(summary);
        self.summed.push(summary.zombie_ns);
    }

    /// All runs have been read.
    pub(crate) fn finish(self) -> Report {
        let durations = self.runs.iter().map(|run| run.duration_ns);
        let duration_ns = durations.fold(0, u64::saturating_add);
        let end = self.end.unwrap_or(Timestamp::UNIX_EPOCH);
        // Of a run that is summed up only the percentiles in its summary are known.
        let is_known = |run: &ReportedRun| run.times_from != TimesFrom::Summary || run.is_filtered;
        let filtered = self.filtered_times.as_ref();
        let filtered = filtered.filter(|_| self.runs.iter().all(is_known));
        let times = filtered.map(|filtered| {
            let mut times = self.aggregate.exact_times().clone();
            times.merge(filtered);
            times
        });
        let mut summary =
            self.aggregate
                .summary(self.counts, end, Duration::from_nanos(duration_ns));
        summary.stacks = self.stacks;
        name_places(&self.did, &mut summary);
        summary.complete = self.runs.iter().all(|run| run.complete);
        summary.is_cut = self.runs.iter().any(|run| !run.has_summary);
        match (&*self.runs, &*self.summed) {
            // Exact, unlike what can be made of intervals.
            ([_], [times]) if times.count > 0 => summary.zombie_ns = *times,
            ([_], _) | (_, []) => {}
            (runs, summed) if runs.iter().any(|run| run.times_from == TimesFrom::Summary) => {
                let listed = summary.zombie_ns;
                summary.zombie_ns = together(summed.iter().copied().chain([listed]));
            }
            _ => {}
        }
        let breakdown = Breakdown::sum(summary.by_comm.iter().map(|row| &row.group));
        Report {
            error_ns: self.error_ns,
            breakdown,
            times,
            conditions: self.filter.line().conditions,
            worst: self.worst.into_zombies(),
            gates: Vec::new(),
            lanes: self.lanes,
            dots: self.dots.into_dots(),
            unended: self.unended,
            did: self.did,
            timeline: self.timeline.series(),
            runs: self.runs,
            summary,
        }
    }
}

/// Zombie times of several runs. Their percentiles can't be put together.
fn together(times: impl Iterator<Item = ZombieTimes>) -> ZombieTimes {
    let mut sum = 0_u128;
    let mut all = ZombieTimes::default();
    for times in times.filter(|times| times.count > 0) {
        sum += u128::from(times.mean.unwrap_or(0)) * u128::from(times.count);
        all = ZombieTimes {
            count: all.count.saturating_add(times.count),
            min: [all.min, times.min].into_iter().flatten().min(),
            max: all.max.max(times.max),
            ..all
        };
    }
    all.mean = sum
        .checked_div(u128::from(all.count))
        .and_then(|mean| u64::try_from(mean).ok());
    all
}

impl RunCollector {
    /// How long after its start that was, ns.
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
