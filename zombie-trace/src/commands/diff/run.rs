//! A recorded run, read for a comparison.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use serde::Serialize;

use crate::{
    aggregate::{Aggregate, RunFacts, Samples, ZombieTimes},
    compare::Profile,
    gate::Figures,
    kernel::Backend,
    model::{FilterLine, Lost, Start, Zombie},
    recording::{Identity, Line, Recording},
    text,
};

/// A recorded run.
pub(super) struct RecordedRun {
    /// The summary's figures; `None` if the recording has no summary.
    at_end: Option<Figures>,
    pub(super) profile: Profile,
    pub(super) identity: Identity,
    pub(super) start: Option<Start>,
    pub(super) about: About,
    pub(super) starved: Starved,
    /// What a zombie time is exact to, in ns.
    pub(super) error_ns: u64,
    /// All exact zombie times.
    times: Samples,
    /// Zombies that the summary counts and no line has.
    pub(super) unknown: u64,
}

/// How long parents that were ready to reap got no CPU, over the zombies for which this is known.
#[derive(Default)]
pub(super) struct Starved {
    zombies: u64,
    zombie_ns: u64,
    pub(super) runqueue_ns: u64,
}

impl Starved {
    fn add(&mut self, zombie: &Zombie) {
        if let Some(runqueue_ns) = zombie.phases.and_then(|phases| phases.runqueue_ns) {
            self.zombies += 1;
            self.zombie_ns = self.zombie_ns.saturating_add(zombie.zombie_ns);
            self.runqueue_ns = self.runqueue_ns.saturating_add(runqueue_ns);
        }
    }

    /// The mean of a zombie.
    pub(super) fn mean(&self, ns: u64) -> f64 {
        ns as f64 / self.zombies as f64
    }

    /// It is behind most of the change, and has itself changed by half.
    pub(super) fn explains(&self, new: &Self) -> bool {
        let [base_wait, new_wait] = [self, new].map(|run| run.mean(run.runqueue_ns));
        let [base_all, new_all] = [self, new].map(|run| run.mean(run.zombie_ns));
        let (more, less) = (base_wait.max(new_wait), base_wait.min(new_wait));
        more > less * 1.5 && (new_wait - base_wait).abs() > (new_all - base_all).abs() / 2.0
    }
}

/// What is known of a run besides its zombies.
#[derive(Clone, Debug, Serialize)]
pub(super) struct About {
    pub(super) file: String,
    pub(super) host: Option<String>,
    pub(super) kernel: Option<String>,
    pub(super) backend: Option<String>,
    pub(super) command: Option<Vec<String>>,
    pub(super) duration_ns: u64,
    pub(super) alive: Option<u64>,
    /// How many a filter left out of the list; they are in the comparison.
    pub(super) filtered: Option<u64>,
    pub(super) lost: Lost,
    /// The recording ends before the run, or lines of it can't be read.
    pub(super) damaged: Option<String>,
    /// The zombies are known one by one.
    pub(super) single_zombies: bool,
}

impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.file, text::human(self.duration_ns))?;
        match &self.command {
            Some(command) => write!(f, ", {}", command.join(" ")),
            None => Ok(()),
        }
    }
}

impl RecordedRun {
    /// Reads it whole, but keeps its profile only.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut recording = Recording::open(path)?;
        let identity = Identity::of(&recording, path);
        let start = recording.start().cloned();
        let nanos = |ts: jiff::Timestamp| i64::try_from(ts.as_nanosecond()).unwrap_or(i64::MAX);
        let begin = start.as_ref().map(|start| nanos(start.ts));
        let mut zombies = begin.map_or_else(Profile::default, Profile::begin);
        let mut intervals = Profile::default();
        let mut times = Aggregate::default();
        let mut last = begin;
        let mut alive = None;
        let mut starved = Starved::default();
        let mut lost = Lost::default();
        let mut summary = None;
        let facts = facts(start.as_ref());
        let tracer = start.as_ref().map(|start| start.tracer_pid);
        let is_own = |ppid: Option<u32>| ppid.is_some() && ppid == tracer;
        let is_filtered = start
            .as_ref()
            .and_then(|start| start.filter.as_ref())
            .is_some_and(FilterLine::leaves_out_zombies);
        for line in recording.by_ref() {
            match line? {
                Line::Zombie(zombie) => {
                    last = last.max(Some(nanos(zombie.ts)));
                    if facts.is_measured(&zombie) {
                        let (ts, zombie_ns) = (nanos(zombie.ts), zombie.zombie_ns);
                        match is_own(zombie.ppid) {
                            true => zombies.own_child(ts, zombie_ns),
                            false => zombies.zombie(ts, zombie.parent_comm, zombie_ns),
                        }
                        times.times(zombie.zombie_ns, 1);
                        // Those that a filter leaves out have no phases.
                        if !is_filtered {
                            starved.add(&zombie);
                        }
                    }
                }
                Line::Unlisted(unlisted) => {
                    let ts = nanos(unlisted.ts);
                    last = last.max(Some(ts));
                    for &(ago, parent, zombie_ns) in &unlisted.zombies {
                        let reaped = ts.saturating_sub_unsigned(ago);
                        let parent = unlisted.parents.get(parent);
                        match is_own(parent.and_then(|parent| parent.ppid)) {
                            true => zombies.own_child(reaped, zombie_ns),
                            false => {
                                let comm = parent.and_then(|parent| parent.comm);
                                zombies.zombie(reaped, comm, zombie_ns);
                            }
                        }
                        times.times(zombie_ns, 1);
                    }
                }
                Line::Interval(interval) => {
                    last = last.max(Some(nanos(interval.ts)));
                    alive = Some(interval.alive);
                    intervals.interval(
                        interval.duration_ns,
                        &interval.zombie_ns,
                        &interval.histogram,
                    );
                }
                Line::Loss(loss) => lost += loss.lost,
                Line::Summary(end) => summary = Some(end),
                Line::Start(_)
                | Line::Alive(_)
                | Line::Dying(_)
                | Line::Stack(_)
                | Line::Doing(_) => {}
            }
        }
        let remarks = recording.remarks();
        let so_far = last
            .zip(begin)
            .map_or(0, |(last, begin)| last.saturating_sub(begin));
        let duration_ns = summary
            .as_ref()
            .map_or(so_far.max(0) as u64, |end| end.duration_ns);
        let single_zombies = zombies.count() > 0 || intervals.count() == 0;
        let mut profile = if single_zombies { zombies } else { intervals };
        profile.end(duration_ns);
        profile.exact_to(facts.error_ns);
        if let Some(summary) = &summary {
            profile.summary(summary);
        }
        let counts = summary.as_ref().map(|end| end.counts);
        ensure!(
            profile.count() > 0 || summary.as_ref().is_none_or(|end| end.zombie_ns.count == 0),
            "{}: has neither zombies nor intervals to compare: record without -s, or with -i 1s",
            recording.name()
        );
        Ok(Self {
            unknown: summary.as_ref().map_or(0, |end| {
                let counted = end
                    .zombie_ns
                    .count
                    .saturating_sub(counts.map_or(0, |counts| counts.lost.ring_full));
                counted.saturating_sub(profile.count())
            }),
            at_end: summary.as_deref().map(Figures::new),
            error_ns: facts.error_ns,
            profile,
            starved,
            identity,
            about: About {
                file: recording.name().to_owned(),
                host: start.as_ref().and_then(|start| start.host.clone()),
                kernel: start.as_ref().map(|start| start.kernel.clone()),
                backend: start.as_ref().map(|start| start.backend.clone()),
                command: start.as_ref().and_then(|start| start.command.clone()),
                duration_ns,
                alive: summary.as_ref().map(|end| end.living()).or(alive),
                filtered: counts.map(|counts| counts.filtered.saturating_sub(counts.autoreaped)),
                lost: counts.map_or(lost, |counts| counts.lost),
                damaged: (!remarks.is_whole()).then(|| remarks.to_string()),
                single_zombies,
            },
            start,
            times: times.exact_times().clone(),
        })
    }

    pub(super) fn figures(&self) -> Figures {
        let (zombie_ns, times) = match self.about.single_zombies {
            true => (ZombieTimes::from(&self.times), Some(self.times.clone())),
            false => (self.profile.zombie_ns(), None),
        };
        Figures {
            zombie_ns,
            times,
            count: zombie_ns.count,
            duration: Duration::from_nanos(self.about.duration_ns),
            ..self.at_end.clone().unwrap_or_default()
        }
    }
}

/// What decides which zombie times are exact.
fn facts(start: Option<&Start>) -> RunFacts {
    let backend = start.and_then(|start| {
        let mut known = Backend::ALL.into_iter();
        known.find(|backend| backend.name() == start.backend)
    });
    RunFacts {
        error_ns: backend.map_or(0, Backend::error_ns),
        ..RunFacts::default()
    }
}
