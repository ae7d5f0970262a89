//! A recording, at any moment of it.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, bail};
use foldhash::{HashMap, HashMapExt as _};
use jiff::Timestamp;

use super::{
    data::{Model, nanos},
    frontend::{FigureSource, SourceRequest},
    outside,
    view::SceneProgress,
};
use crate::{
    aggregate::{
        ParentKey, WhatParentsDid,
        doing::{CodePlace, places, share},
    },
    container::Container,
    lifecycle::TaskId,
    model::{Alive, Zombie},
    recording::{Line, Recording, seekable},
    text::{escape::cut, path as shown, quoted, visible},
};

/// As many moments are kept to start from, if they take no more memory than [`MOST_BYTES`].
const MOST_MOMENTS: usize = 64;
/// With thousands of parents a moment takes many MiB. Of four, the memory is bounded by that of a model.
const MOST_BYTES: usize = 128 << 20;
const FEWEST_MOMENTS: usize = 4;
/// Between two of them are at least as many zombies.
const EVERY: u64 = 8192;
/// As many zombies are known while they live: the longest ones of the recording.
const MOST_LONG: usize = 50_000;
/// A zombie that lasted this long is known while it lives, ns; the least of all.
const LONG: u64 = 10_000_000;

const SECOND: i64 = 1_000_000_000;
/// After a longer silence, what was before it is in no window.
const SILENCE: i64 = 120 * SECOND;

/// A recording, and the moment that is shown.
pub(super) struct Replay {
    path: PathBuf,
    file: File,
    /// The start and the end, ns since the epoch.
    span: (i64, i64),
    /// Zombies that can be seen alive, by their begin.
    long: Vec<Long>,
    /// Moments to start from, in order.
    moments: Vec<Moment>,
    model: Model,
    /// What follows the moment that is shown.
    lines: Lines,
    /// Zombies since the last moment that was kept, and how many lie between two of them.
    since: u64,
    every: u64,
    /// Since when it plays by itself.
    playing: Option<Instant>,
}

struct Long {
    begin: i64,
    end: i64,
    id: TaskId,
    /// As of its end.
    alive: Box<Alive>,
}

/// A moment, and where its next line is.
struct Moment {
    at: i64,
    offset: u64,
    /// About how much memory it takes.
    bytes: usize,
    model: Model,
}

/// Lines from somewhere on, with one that is held back.
struct Lines {
    recording: Recording,
    next: Option<Line>,
    /// Where that one begins.
    offset: u64,
}

impl Lines {
    fn at(file: &File, offset: u64) -> anyhow::Result<Self> {
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(offset))?;
        let recording = Recording::from_reader("the recording", file)?;
        let mut lines = Self {
            recording,
            next: None,
            offset,
        };
        lines.step()?;
        // The first line was read when it was opened.
        lines.offset = offset;
        Ok(lines)
    }

    /// Gives the line that was held back, and holds the next.
    fn step(&mut self) -> anyhow::Result<Option<Line>> {
        self.offset = self.recording.offset();
        let mut next = self.recording.next().transpose()?;
        if let Some(line) = &mut next {
            bound(line);
        }
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// A text of a recording is kept up to this many bytes: many lines are kept, and a line can hold MiB.
const LONGEST_TEXT: usize = 4096;

/// Leaves out texts that are longer than any that zombie-trace writes.
fn bound(line: &mut Line) {
    let bound = |text: &mut Option<Arc<str>>| {
        text.take_if(|text| text.len() > LONGEST_TEXT);
    };
    let is_long = |container: &mut Container| container.name().len() > LONGEST_TEXT;
    match line {
        Line::Zombie(zombie) => {
            bound(&mut zombie.cause_text);
            bound(&mut zombie.cgroup);
            zombie.container.take_if(is_long);
        }
        Line::Alive(alive) => {
            bound(&mut alive.cause_text);
            bound(&mut alive.advice);
            bound(&mut alive.cgroup);
            alive.container.take_if(is_long);
        }
        _ => {}
    }
}

/// When a line was written; `None` if it is about no moment.
fn time_of(line: &Line) -> Option<i64> {
    match line {
        Line::Start(start) => Some(nanos(start.ts)),
        Line::Zombie(zombie) => Some(nanos(zombie.ts)),
        Line::Alive(alive) => Some(nanos(alive.ts)),
        Line::Dying(dying) => Some(nanos(dying.ts)),
        Line::Unlisted(unlisted) => Some(nanos(unlisted.ts)),
        Line::Loss(loss) => Some(nanos(loss.ts)),
        Line::Interval(interval) => Some(nanos(interval.ts)),
        Line::Stack(stack) => Some(nanos(stack.ts)),
        Line::Doing(doing) => Some(nanos(doing.ts)),
        Line::Summary(summary) => Some(nanos(summary.ts)),
    }
}

fn timestamp(at: i64) -> Timestamp {
    Timestamp::from_nanosecond(at.into()).unwrap_or_default()
}

impl Replay {
    /// Reads a recording to its end, which is then shown.
    ///
    /// # Errors
    /// It can't be read, or lists no zombies.
    pub(super) fn open(path: &Path, lists_autoreaped: bool) -> anyhow::Result<Self> {
        let file = seekable(path).with_context(|| shown(path))?;
        let Survey {
            span,
            long,
            gap,
            did,
        } = survey(&path.display().to_string(), &file)?;
        // A recording may have lost its first line.
        let mut model = Model::at(span.0);
        model.lists_autoreaped = lists_autoreaped;
        model.gap = gap;
        model.places = Arc::new(places_of(&did));
        let mut replay = Self {
            path: path.to_owned(),
            lines: Lines::at(&file, 0)?,
            file,
            span,
            long,
            moments: Vec::new(),
            since: 0,
            every: EVERY,
            model,
            playing: None,
        };
        replay.keep_moment();
        replay.play_to(span.1)?;
        Ok(replay)
    }

    /// Goes on to a later moment.
    fn play_to(&mut self, at: i64) -> anyhow::Result<()> {
        while let Some(time) = self.lines.next.as_ref().map(time_of)
            && time.unwrap_or(0) <= at
        {
            let time = time.unwrap_or(0);
            // Seconds far from the moment that is shown are in no window.
            let is_near = at - time < SILENCE;
            self.pass_to(time - 1, if is_near { SECOND } else { self.coarse() });
            if self.since >= self.every
                && self
                    .moments
                    .last()
                    .is_none_or(|moment| moment.at < self.model.now)
            {
                self.keep_moment();
            }
            let Some(line) = self.lines.step()? else {
                break;
            };
            self.since += u64::from(matches!(line, Line::Zombie(_) | Line::Unlisted(_)));
            take_in(&mut self.model, &line);
        }
        self.pass_to(at, SECOND);
        self.live(at);
        Ok(())
    }

    /// Time passes without a line: each second, somebody may have begun or ceased to live.
    ///
    /// `step`: ns, a whole number of seconds.
    fn pass_to(&mut self, at: i64, step: i64) {
        let mut second = (self.model.now / step + 1) * step;
        if at - second > SILENCE {
            second = (at - SILENCE) / SECOND * SECOND;
        }
        while second <= at {
            self.live(second);
            self.model.tick(second);
            second += step;
        }
    }

    /// A step that even a run of weeks has not too many of, ns.
    fn coarse(&self) -> i64 {
        ((self.span.1 - self.span.0) / 4096 / SECOND).max(1) * SECOND
    }

    /// Who lives at that moment.
    fn live(&mut self, at: i64) {
        let begun = self.long.partition_point(|long| long.begin <= at);
        let mut living = HashMap::new();
        for long in self.long[..begun].iter().filter(|long| long.end > at) {
            let alive = Alive {
                ts: timestamp(at),
                age_ns: u64::try_from(at - long.begin).unwrap_or(0),
                ..(*long.alive).clone()
            };
            living.insert(long.id, alive);
        }
        self.model.live(timestamp(at), living);
    }

    fn keep_moment(&mut self) {
        let moment = Moment {
            at: self.model.now,
            offset: self.lines.offset,
            bytes: self.model.bytes(),
            model: self.model.clone(),
        };
        self.since = 0;
        self.moments.push(moment);
        let bytes: usize = self.moments.iter().map(|moment| moment.bytes).sum();
        let is_large = bytes > MOST_BYTES && self.moments.len() > FEWEST_MOMENTS;
        if is_large || self.moments.len() > MOST_MOMENTS {
            // Every second one, and the first of all.
            self.every *= 2;
            let mut number = 0;
            self.moments.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// Shows another moment.
    fn seek(&mut self, at: i64) -> anyhow::Result<()> {
        let at = at.clamp(self.span.0, self.span.1);
        if at < self.model.now {
            let after = self.moments.partition_point(|moment| moment.at <= at);
            let moment = &self.moments[after.saturating_sub(1)];
            let version = self.model.version;
            self.model = moment.model.clone();
            self.model.version += version + 1;
            self.lines = Lines::at(&self.file, moment.offset)?;
        }
        self.play_to(at)
    }
}

/// What has to be known of a recording before a moment of it is shown.
struct Survey {
    span: (i64, i64),
    /// The zombies that can be seen alive.
    long: Vec<Long>,
    /// What is not there.
    gap: Option<Arc<str>>,
    did: WhatParentsDid,
}

/// The places where each parent was most of the time that its zombies waited.
fn places_of(did: &WhatParentsDid) -> HashMap<ParentKey, Vec<String>> {
    /// This many of each parent.
    const PLACES: usize = 5;
    const CALLERS: usize = 3;
    const LONGEST: usize = 200;

    let place = |place: &CodePlace<'_>, all: u64| {
        let share = share(place.weight.zombie_ns, all);
        let mut text = format!("{share:>3} %  {}, {}", place.name(), place.action());
        let (callers, more) = place.callers(CALLERS);
        for caller in callers
            .iter()
            .map(|caller| &**caller)
            .chain(more.then_some("…"))
        {
            text += &format!(" ← {caller}");
        }
        cut(&visible(&text), LONGEST).into_owned()
    };
    let parents = did.parents().into_iter().map(|did| {
        let places = places(&did);
        let places = places.iter().take(PLACES);
        let places = places.map(|one| place(one, did.weight.zombie_ns)).collect();
        (did.parent, places)
    });
    parents.collect()
}

/// Reads all of it once.
fn survey(name: &str, file: &File) -> anyhow::Result<Survey> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    let mut recording = Recording::from_reader(name, file)?;
    let mut span: Option<(i64, i64)> = None;
    let mut long = Vec::new();
    let mut least = LONG;
    let mut left: (i64, Vec<Alive>) = (i64::MIN, Vec::new());
    let mut lists_zombies = false;
    let mut is_summed = false;
    let mut did = WhatParentsDid::default();
    for line in &mut recording {
        let mut line = line?;
        bound(&mut line);
        let at = time_of(&line).unwrap_or(0);
        let (begin, end) = span.get_or_insert((at, at));
        (*begin, *end) = ((*begin).min(at), (*end).max(at));
        match line {
            Line::Zombie(zombie) => {
                lists_zombies = true;
                if !zombie.autoreaped() && zombie.zombie_ns >= least {
                    long.push(Long::of(&zombie, long.len()));
                    if long.len() > 2 * MOST_LONG {
                        long.sort_by_key(|long| long.begin - long.end);
                        long.truncate(MOST_LONG);
                        least = long.last().map_or(least, Long::lasted);
                    }
                }
            }
            Line::Alive(alive) => {
                lists_zombies = true;
                if at > left.0 {
                    left = (at, Vec::new());
                }
                left.1.push(alive);
            }
            Line::Unlisted(_) => lists_zombies = true,
            Line::Stack(stack) => did.stack(&stack),
            Line::Doing(doing) => did.doing(&doing),
            Line::Summary(summary) => {
                is_summed = summary.counts.exits + summary.counts.pre_existing > 0;
                // Only those that were listed at its end are left.
                if left.0 < at {
                    left.1.clear();
                }
            }
            _ => {}
        }
    }
    if !lists_zombies && is_summed {
        bail!(
            "{}: it lists no zombies, only statistics: use 'zombie-trace report' to see them",
            visible(name)
        );
    }
    let Some(span) = span else {
        bail!("{}: it is empty", visible(name));
    };
    let id = |at| (u64::MAX, at as u64);
    let left = left.1.into_iter().enumerate().map(|(at, alive)| Long {
        begin: nanos(alive.ts).saturating_sub_unsigned(alive.age_ns).max(0),
        end: i64::MAX,
        id: id(at),
        alive: Box::new(alive),
    });
    long.extend(left);
    long.sort_by_key(|long| long.begin);
    let remarks = recording.remarks();
    let gap = (!remarks.is_whole()).then(|| remarks.to_string().into());
    Ok(Survey {
        span,
        long,
        gap,
        did,
    })
}

impl Long {
    fn of(zombie: &Zombie, number: usize) -> Self {
        let end = nanos(zombie.ts);
        let alive = Alive {
            ts: zombie.ts,
            pid: zombie.pid,
            ns_pid: zombie.ns_pid,
            comm: zombie.comm,
            uid: zombie.uid,
            ppid: zombie.ppid,
            parent_comm: zombie.parent_comm,
            foreign: zombie.foreign,
            exit_code: zombie.exit_code,
            signal: zombie.signal,
            age_ns: zombie.zombie_ns,
            error_ns: zombie.error_ns,
            cause: zombie.cause,
            cause_text: zombie.cause_text.clone(),
            why: zombie.why,
            looked_at: zombie.looked_at,
            advice: None,
            runtime: None,
            watched_ns: None,
            cgroup: zombie.cgroup.clone(),
            container: zombie.container.clone(),
            parent_container: zombie.parent_container.clone(),
            flags: zombie.flags.clone(),
        };
        Self {
            begin: end.saturating_sub_unsigned(zombie.zombie_ns).max(0),
            end,
            id: (zombie.pid.into(), number as u64),
            alive: Box::new(alive),
        }
    }

    fn lasted(&self) -> u64 {
        u64::try_from(self.end - self.begin).unwrap_or(0)
    }
}

fn take_in(model: &mut Model, line: &Line) {
    match line {
        Line::Start(start) => model.start(start),
        Line::Zombie(zombie) => model.zombie(None, zombie),
        Line::Alive(alive) => model.diagnosed(alive),
        Line::Loss(loss) => model.loss(loss.lost),
        Line::Unlisted(unlisted) => {
            for &(ago, parent, zombie_ns) in &unlisted.zombies {
                let parent = unlisted.parents.get(parent);
                let parent = parent.map_or((None, None), |parent| (parent.ppid, parent.comm));
                let at = nanos(unlisted.ts).saturating_sub_unsigned(ago);
                model.unlisted(timestamp(at), parent, zombie_ns);
            }
        }
        Line::Summary(summary) => model.settle(summary),
        Line::Dying(_) | Line::Interval(_) | Line::Stack(_) | Line::Doing(_) => {}
    }
}

impl FigureSource for Replay {
    fn advance(&mut self) {
        let Some(since) = self.playing else {
            return;
        };
        let now = Instant::now();
        let by = i64::try_from((now - since).as_nanos()).unwrap_or(0);
        self.playing = Some(now);
        if self.seek(self.model.now + by).is_err() || self.model.now >= self.span.1 {
            self.playing = None;
        }
    }

    fn look<T>(&mut self, look: impl FnOnce(&mut Model) -> T) -> T {
        look(&mut self.model)
    }

    fn progress(&self) -> SceneProgress {
        let since = |at: i64| u64::try_from(at - self.span.0).unwrap_or(0);
        SceneProgress::Replay {
            at: since(self.model.now),
            of: since(self.span.1),
            is_playing: self.playing.is_some(),
        }
    }

    fn recording(&self) -> Option<String> {
        None
    }

    fn act(&mut self, request: SourceRequest) -> Option<String> {
        match request {
            SourceRequest::Seek(by) => {
                let sought = self.seek(self.model.now + by);
                sought.err().map(|error| visible(&format!("{error:#}")))
            }
            SourceRequest::Play => {
                self.playing = match self.playing {
                    Some(_) => None,
                    // From the start again, if it is over.
                    None => {
                        if self.model.now >= self.span.1 {
                            let _ = self.seek(self.span.0);
                        }
                        Some(Instant::now())
                    }
                };
                None
            }
            SourceRequest::Page => Some(outside::page(&self.path)),
            SourceRequest::Record => None,
        }
    }

    fn base_command(&self) -> String {
        format!(
            "zombie-trace report {}",
            quoted(&self.path.to_string_lossy())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        commands::top::state::{Choice, Window, table},
        model::{Counts, Doing, Frame, Stack, Start, ThreadState, fixtures},
        sink::{Json, Output, Sink as _},
    };

    fn at(ms: i64) -> Timestamp {
        timestamp(ms * 1_000_000)
    }

    /// A run of this many ms with a zombie each ms. Each lasts 3 ms, every hundredth 200 ms. One is left.
    fn record(path: &Path, ms: i64) -> crate::aggregate::Summary {
        let output = Output::file(path, File::create(path).unwrap()).unwrap();
        let mut sink = Json::new(output, true);
        let facts = crate::aggregate::RunFacts {
            begin: Some(at(0)),
            error_ns: 25_000,
            tracer_pid: Some(17),
        };
        let mut aggregate = crate::aggregate::Aggregate::new(facts);
        let start = Start {
            ts: at(0),
            ..fixtures::start()
        };
        sink.start(&start).unwrap();
        for ms in 1..=ms {
            let zombie = Zombie {
                ts: at(ms),
                pid: 100 + ms as u32 % 30_000,
                ppid: Some(7 + ms as u32 % 3),
                zombie_ns: if ms % 100 == 0 {
                    200_000_000
                } else {
                    3_000_000
                },
                ..fixtures::zombie()
            };
            aggregate.zombie(&zombie, true);
            sink.zombie(&zombie).unwrap();
        }
        let alive = Alive {
            ts: at(ms),
            age_ns: 1_000_000_000,
            ppid: Some(7),
            ..fixtures::alive()
        };
        aggregate.alive(&alive);
        sink.alive(&alive).unwrap();
        let counts = Counts {
            exits: ms as u64 + 1,
            reaped: ms as u64,
            alive: 1,
            ..Counts::default()
        };
        let duration = std::time::Duration::from_millis(ms as u64);
        let summary = aggregate.summary(counts, at(ms), duration);
        sink.summary(&summary).unwrap();
        sink.end().unwrap();
        summary
    }

    #[test]
    fn the_end_has_the_figures_of_the_summary() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["run.jsonl", "run.jsonl.zst"] {
            let path = directory.path().join(name);
            let summary = record(&path, 20_000);
            let mut replay = Replay::open(&path, false).unwrap();
            let model = &replay.model;
            assert_eq!(model.all.total.reaped, summary.counts.reaped);
            assert_eq!(
                (model.p99(), model.longest()),
                (summary.zombie_ns.p99, summary.zombie_ns.max)
            );
            let choice = Choice {
                window: Window::All,
                threshold: 0,
                ..Choice::default()
            };
            let table = table(model, &choice);
            assert_eq!(table.rows.len(), summary.by_parent.len());
            for (row, of_summary) in table.rows.iter().zip(&summary.by_parent) {
                let figures = row.figures().unwrap();
                assert_eq!(row.pid, of_summary.ppid);
                assert_eq!(figures.reaped, of_summary.group.reaped);
                assert_eq!(figures.alive, of_summary.group.alive);
                assert_eq!(figures.oldest, of_summary.group.oldest_ns);
                assert_eq!(figures.max, of_summary.group.max_ns);
                let seconds = figures.zombie_time * 20.0;
                let expected = of_summary.group.zombie_time_ns as f64 / 1e9;
                assert!((seconds - expected).abs() < 1e-6, "{seconds} {expected}");
            }
            // Back and forth comes to the same.
            replay.seek(replay.span.0).unwrap();
            assert_eq!(replay.model.all.total.reaped, 0);
            replay.seek(replay.span.1).unwrap();
            assert_eq!(replay.model.all.total.reaped, summary.counts.reaped);
        }
    }

    #[test]
    fn a_moment_shows_who_lived_then() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.jsonl");
        record(&path, 20_000);
        let mut replay = Replay::open(&path, false).unwrap();
        // Every 100 ms one begins that lasts 200 ms, from 100 ms before it is reaped on.
        replay.seek(nanos(at(10_050))).unwrap();
        assert_eq!(replay.model.living.len(), 2);
        assert_eq!(replay.model.all.total.reaped, 10_050);
        replay.seek(nanos(at(19_950))).unwrap();
        assert_eq!(replay.model.living.len(), 2, "one of them is left");
    }

    #[test]
    fn a_moment_is_found_without_reading_everything_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.jsonl");
        record(&path, 60_000);
        let mut replay = Replay::open(&path, false).unwrap();
        assert!(replay.moments.len() > 5 && replay.moments.len() <= MOST_MOMENTS);
        let size = std::fs::metadata(&path).unwrap().len();
        for ms in [59_000, 30_000, 1_000] {
            replay.seek(nanos(at(ms))).unwrap();
            assert_eq!(replay.model.all.total.reaped, ms as u64);
            // From where the lines were opened.
            assert!(replay.lines.recording.offset() < size / 4, "{ms}");
        }
    }

    /// A run with quick and slow zombies, which lists only those of this length. Some are inexact,
    /// some were autoreaped, and nobody lists those.
    fn record_listing(path: &Path, min_ns: u64) -> crate::aggregate::Summary {
        use crate::model::{FilterLine, Flag, How, Unlisted, UnlistedParent};
        let mut sink = Json::new(
            Output::file(path, File::create(path).unwrap()).unwrap(),
            true,
        );
        let facts = crate::aggregate::RunFacts {
            begin: Some(at(0)),
            error_ns: 25_000,
            tracer_pid: Some(17),
        };
        let mut aggregate = crate::aggregate::Aggregate::new(facts);
        let filter = FilterLine {
            min_ns,
            ..FilterLine::default()
        };
        let start = Start {
            ts: at(0),
            filter: Some(filter),
            ..fixtures::start()
        };
        sink.start(&start).unwrap();
        let mut counts = Counts::default();
        for ms in 1..=3000 {
            let is_inexact = ms % 50 == 0;
            let is_autoreaped = ms % 7 == 0;
            let zombie = Zombie {
                ts: at(ms),
                pid: 100 + ms as u32,
                comm: ["make", "cc1", "as"][ms as usize % 3].into(),
                ppid: Some(7 + ms as u32 % 2),
                how: if is_autoreaped {
                    How::Autoreap
                } else {
                    How::Wait
                },
                zombie_ns: match ms {
                    _ if is_autoreaped => 0,
                    ms if ms % 10 == 0 => 40_000_000 + ms as u64 * 1000,
                    ms => 100_000 + ms as u64 * 700,
                },
                error_ns: if is_inexact { 100_000_000 } else { 20_000 },
                flags: if is_inexact {
                    vec![Flag::BoundedEnd]
                } else {
                    Vec::new()
                },
                container: (ms % 2 == 0).then(|| Container {
                    id: Some("web".into()),
                    ..Container::default()
                }),
                ..fixtures::zombie()
            };
            let is_listed = zombie.zombie_ns >= min_ns && !is_autoreaped;
            aggregate.zombie(&zombie, is_listed);
            counts.exits += 1;
            match is_autoreaped {
                true => counts.autoreaped += 1,
                false => counts.reaped += 1,
            }
            if is_listed {
                sink.zombie(&zombie).unwrap();
            } else if !is_autoreaped && !is_inexact {
                let parent = UnlistedParent {
                    ppid: zombie.ppid,
                    comm: zombie.parent_comm,
                };
                sink.unlisted(&Unlisted {
                    ts: zombie.ts,
                    parents: vec![parent],
                    zombies: vec![(0, 0, zombie.zombie_ns)],
                })
                .unwrap();
            }
        }
        // Living ones: a recording lists those that are old enough.
        for age_ns in [5_000_000, 1_000_000_000] {
            let alive = Alive {
                ts: at(3000),
                age_ns,
                comm: "cc1".into(),
                ppid: Some(7),
                ..fixtures::alive()
            };
            aggregate.alive(&alive);
            counts.exits += 1;
            counts.alive += 1;
            if age_ns >= min_ns {
                sink.alive(&alive).unwrap();
            }
        }
        let summary = aggregate.summary(counts, at(3000), std::time::Duration::from_secs(3));
        sink.summary(&summary).unwrap();
        sink.end().unwrap();
        summary
    }

    #[test]
    fn the_end_has_the_figures_of_the_summary_whatever_is_listed() {
        use crate::commands::top::state::View;
        let directory = tempfile::tempdir().unwrap();
        for (name, min_ns) in [
            ("all.jsonl", 0),
            ("all.jsonl.zst", 0),
            ("slow.jsonl", 10_000_000),
            ("slow.jsonl.zst", 10_000_000),
        ] {
            let path = directory.path().join(name);
            let summary = record_listing(&path, min_ns);
            let replay = Replay::open(&path, false).unwrap();
            let model = &replay.model;
            assert_eq!(model.sums(None).reaped, summary.counts.reaped, "{name}");
            assert_eq!(model.sums(None).autoreaped, summary.counts.autoreaped);
            assert_eq!((model.alive(), model.oldest()), (2, summary.oldest_ns));
            assert_eq!(
                (model.p99(), model.longest()),
                (summary.zombie_ns.p99, summary.zombie_ns.max)
            );
            let parents = summary.by_parent.iter().map(|row| {
                let name = row.comm.map(|comm| comm.to_str().into_owned());
                (row.ppid, name.unwrap_or_default(), &row.group)
            });
            let commands = summary.by_comm.iter().map(|row| {
                let name = row.comm.map(|comm| comm.to_str().into_owned());
                (None, name.unwrap_or_default(), &row.group)
            });
            let containers = summary.by_container.iter();
            let containers =
                containers.map(|row| (None, row.container.name().to_owned(), &row.group));
            for (view, expected) in [
                (View::Parents, parents.collect::<Vec<_>>()),
                (View::Commands, commands.collect()),
                (View::Containers, containers.collect()),
            ] {
                let choice = Choice {
                    view,
                    window: Window::All,
                    threshold: 0,
                    ..Choice::default()
                };
                let rows = table(model, &choice).rows;
                assert_eq!(rows.len(), expected.len(), "{name} {view:?}");
                for (pid, comm, group) in expected {
                    let row = rows.iter().find(|row| row.pid == pid && row.name == comm);
                    let figures = row.unwrap().figures().unwrap();
                    assert_eq!(figures.reaped, group.reaped, "{name} {view:?} {comm}");
                    assert_eq!(figures.autoreaped, group.autoreaped);
                    assert_eq!(
                        (figures.alive, figures.oldest),
                        (group.alive, group.oldest_ns)
                    );
                    assert_eq!((figures.p50, figures.p99), (group.p50_ns, group.p99_ns));
                    assert_eq!(figures.max, group.max_ns);
                    let seconds = figures.zombie_time * 3.0;
                    let right = group.zombie_time_ns as f64 / 1e9;
                    assert!((seconds - right).abs() < 1e-6, "{seconds} {right}");
                }
            }
        }
    }

    #[test]
    fn a_cause_that_was_found_late_is_known_all_along() {
        use crate::model::Cause;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.jsonl");
        let output = Output::file(&path, File::create(&path).unwrap()).unwrap();
        let mut sink = Json::new(output, true);
        let start = Start {
            ts: at(0),
            ..fixtures::start()
        };
        sink.start(&start).unwrap();
        sink.zombie(&Zombie {
            ts: at(60_000),
            zombie_ns: 50_000_000_000,
            cause: Some(Cause::NeverWaits),
            cause_text: Some("it sleeps".into()),
            looked_at: Some(at(15_000)),
            ..fixtures::zombie()
        })
        .unwrap();
        sink.end().unwrap();
        let mut replay = Replay::open(&path, false).unwrap();
        replay.seek(nanos(at(11_000))).unwrap();
        let alive = replay.model.living.values().next().unwrap();
        assert_eq!(replay.model.found(alive).unwrap().cause, Cause::NeverWaits);
        let rows = table(&replay.model, &Choice::default()).rows;
        assert_eq!(rows[0].found.as_ref().unwrap().cause, Cause::NeverWaits);
    }

    /// Draws every view of a recording at some moments.
    fn draw(path: &Path) -> anyhow::Result<String> {
        use crate::commands::top::{
            state::{BindingKind, Ui, View},
            view::{self, Scene},
        };
        use ratatui::{buffer::Buffer, layout::Rect};
        let mut replay = Replay::open(path, true)?;
        let area = Rect::new(0, 0, 80, 24);
        let mut last = String::new();
        for by in [0, -5_000_000_000, i64::MIN / 4, 5_000_000_000, i64::MAX / 4] {
            replay.seek(replay.model.now.saturating_add(by))?;
            for view in View::ALL {
                for window in [Window::All, Window::Minute] {
                    let mut ui = Ui {
                        run: BindingKind::Replay,
                        ..Ui::default()
                    };
                    (ui.choice.view, ui.choice.window) = (view, window);
                    ui.choice.threshold = 0;
                    let table = table(&replay.model, &ui.choice);
                    for is_detailed in [false, true] {
                        ui.is_detailed = is_detailed;
                        let scene = Scene {
                            model: &replay.model,
                            ui: &ui,
                            table: &table,
                            process: None,
                            progress: replay.progress(),
                            recording: None,
                            pane: None,
                            zone: &jiff::tz::TimeZone::UTC,
                            has_color: false,
                        };
                        let mut buffer = Buffer::empty(area);
                        view::draw(&mut buffer, area, &scene);
                        if view == View::Parents && !is_detailed {
                            last = buffer.content.iter().map(|cell| cell.symbol()).collect();
                        }
                    }
                }
            }
        }
        Ok(last)
    }

    #[test]
    fn a_damaged_recording_is_an_error_or_says_what_it_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let whole = directory.path().join("run.jsonl");
        record(&whole, 2000);
        let text = std::fs::read(&whole).unwrap();
        let compressed = directory.path().join("run.jsonl.zst");
        record(&compressed, 2000);
        let frame = std::fs::read(&compressed).unwrap();
        let first = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let last = text[..text.len() - 1]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .unwrap()
            + 1;
        let path = directory.path().join("damaged");
        let drawn = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            draw(&path).map_err(|error| format!("{error:#}"))
        };
        assert!(!drawn(&text).unwrap().contains("incomplete"));
        let mut damaged = text.clone();
        damaged[first + 40..first + 60].fill(b'x');
        for (what, bytes) in [
            ("its last line is not whole", &text[..text.len() / 2]),
            ("it has no summary", &text[..last]),
            ("it has no summary", &text[..first]),
            ("is damaged and left out", &damaged),
        ] {
            let screen = drawn(bytes).unwrap();
            assert!(
                screen.contains("incomplete recording: "),
                "{what}: {screen}"
            );
            assert!(screen.contains(what), "{what}: {screen}");
        }
        // It may be cut between two frames.
        let cuts = (frame.len() / 2..frame.len() / 2 + 5).map(|end| drawn(&frame[..end]).unwrap());
        let cuts: Vec<_> = cuts.collect();
        assert!(
            cuts.iter()
                .all(|screen| screen.contains("incomplete recording: cut: "))
        );
        for (what, bytes) in [
            ("the file is empty", &b""[..]),
            ("not a recording", &[7; 5000]),
            ("not a recording", &text[..first / 2]),
        ] {
            let error = drawn(bytes).unwrap_err();
            assert!(error.contains(what), "{what}: {error}");
            assert_eq!(
                error.matches("damaged").count(),
                1,
                "it names the file once: {error}"
            );
        }
    }

    #[test]
    fn no_recording_makes_it_panic() {
        let directory = tempfile::tempdir().unwrap();
        let whole = directory.path().join("run.jsonl");
        record_listing(&whole, 10_000_000);
        let text = std::fs::read_to_string(&whole).unwrap();
        // Some lines of each kind are enough.
        let lines: Vec<&str> = text.lines().collect();
        let kept = lines[..40].iter().chain(&lines[lines.len() - 40..]);
        let lines: Vec<serde_json::Value> = kept
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let path = directory.path().join("hostile.jsonl");
        let check = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut text = String::new();
            for line in &lines {
                let mut line = line.clone();
                change(&mut line);
                text += &format!("{line}\n");
            }
            std::fs::write(&path, text).unwrap();
            // An error is an answer.
            let _ = draw(&path);
        };
        check(&|_| {});
        for number in [0, 1, i64::MAX as u64, u64::MAX] {
            check(&|line| numbers(line, &|_| true, number));
            for key in [
                "zombie_ns",
                "age_ns",
                "error_ns",
                "min_ns",
                "pid",
                "zombies",
            ] {
                check(&|line| numbers(line, &|name| name == key, number));
            }
        }
        for ts in [
            "-009999-01-02T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "2500-01-01T00:00:00Z",
            "9999-12-30T22:00:00Z",
        ] {
            check(&|line| line["ts"] = ts.into());
            for kind in ["start", "summary", "zombie", "alive", "unlisted"] {
                check(&|line| {
                    if line["type"] == kind {
                        line["ts"] = ts.into();
                    }
                });
            }
        }
        // The order can be any.
        let mut backwards: Vec<_> = lines.iter().map(|line| format!("{line}\n")).collect();
        backwards[1..].reverse();
        std::fs::write(&path, backwards.concat()).unwrap();
        let _ = draw(&path);
    }

    /// Puts a number in the place of all numbers whose name is meant.
    fn numbers(value: &mut serde_json::Value, is_meant: &dyn Fn(&str) -> bool, number: u64) {
        fn all(
            value: &mut serde_json::Value,
            is_meant: &dyn Fn(&str) -> bool,
            is_in: bool,
            number: u64,
        ) {
            match value {
                serde_json::Value::Number(old) if is_in => *old = number.into(),
                serde_json::Value::Array(values) => {
                    values
                        .iter_mut()
                        .for_each(|value| all(value, is_meant, is_in, number));
                }
                serde_json::Value::Object(fields) => {
                    for (name, value) in fields.iter_mut().filter(|(name, _)| *name != "schema") {
                        all(value, is_meant, is_meant(name), number);
                    }
                }
                _ => {}
            }
        }
        all(value, is_meant, false, number);
    }

    #[test]
    fn statistics_alone_are_no_replay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.jsonl");
        let mut sink = Json::new(
            Output::file(&path, File::create(&path).unwrap()).unwrap(),
            false,
        );
        sink.start(&fixtures::start()).unwrap();
        let counts = Counts {
            exits: 5,
            ..Counts::default()
        };
        let summary = crate::aggregate::Aggregate::default().summary(
            counts,
            fixtures::start().ts,
            std::time::Duration::from_secs(1),
        );
        sink.summary(&summary).unwrap();
        sink.end().unwrap();
        let error = Replay::open(&path, false).err().unwrap();
        assert!(
            format!("{error:#}").contains("it lists no zombies"),
            "{error:#}"
        );
    }

    #[test]
    fn parents_have_the_places_of_the_whole_recording() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.jsonl");
        let mut sink = Json::new(
            Output::file(&path, File::create(&path).unwrap()).unwrap(),
            true,
        );
        sink.start(&fixtures::start()).unwrap();
        sink.zombie(&fixtures::zombie()).unwrap();
        let ts = fixtures::start().ts;
        let frames = ["write_journal", "run\x1b[2J", "main"];
        let frames = frames.map(|name| Frame::default().with_function(name));
        let stack = Stack::new(ts, 1, frames.to_vec(), false);
        let doing = Doing {
            ts,
            ppid: 4242,
            parent_comm: Some("bash".into()),
            tid: 4242,
            state: ThreadState::Running,
            stack: 1,
            zombie_ns: 1000,
            samples: 1,
        };
        sink.doing(&[stack], &[doing]).unwrap();
        sink.end().unwrap();
        let replay = Replay::open(&path, false).unwrap();
        let places = &replay.model.places[&(Some(4242), Some("bash".into()))];
        assert_eq!(
            *places,
            [r"100 %  write_journal, running ← run\x1b[2J ← main"]
        );
    }
}
