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
    frontend::{Request, Source},
    outside,
    view::Progress,
};
use crate::{
    aggregate::{
        ParentKey, WhatParentsDid,
        doing::{Place, places, share},
    },
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
        let next = self.recording.next().transpose()?;
        Ok(std::mem::replace(&mut self.next, next))
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
        let Survey { span, long, did } = survey(&file).with_context(|| shown(path))?;
        // A recording may have lost its first line.
        let mut model = Model::at(span.0);
        model.lists_autoreaped = lists_autoreaped;
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
    did: WhatParentsDid,
}

/// The places where each parent was most of the time that its zombies waited.
fn places_of(did: &WhatParentsDid) -> HashMap<ParentKey, Vec<String>> {
    /// This many of each parent.
    const PLACES: usize = 5;
    const CALLERS: usize = 3;
    const LONGEST: usize = 200;

    let place = |place: &Place<'_>, all: u64| {
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
fn survey(file: &File) -> anyhow::Result<Survey> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    let recording = Recording::from_reader("the recording", file)?;
    let mut span: Option<(i64, i64)> = None;
    let mut long = Vec::new();
    let mut least = LONG;
    let mut left: (i64, Vec<Alive>) = (i64::MIN, Vec::new());
    let mut lists_zombies = false;
    let mut is_summed = false;
    let mut did = WhatParentsDid::default();
    for line in recording {
        let line = line?;
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
        bail!("it lists no zombies, only statistics: use 'zombie-trace report' to see them");
    }
    let Some(span) = span else {
        bail!("it is empty");
    };
    let id = |at| (u64::MAX, at as u64);
    let left = left.1.into_iter().enumerate().map(|(at, alive)| Long {
        begin: nanos(alive.ts).saturating_sub_unsigned(alive.age_ns),
        end: i64::MAX,
        id: id(at),
        alive: Box::new(alive),
    });
    long.extend(left);
    long.sort_by_key(|long| long.begin);
    Ok(Survey { span, long, did })
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
            begin: end.saturating_sub_unsigned(zombie.zombie_ns),
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
        Line::Summary(summary) => {
            for row in &summary.by_parent {
                model.named((row.ppid, row.comm), row.cmdline.as_deref());
            }
        }
        Line::Dying(_) | Line::Interval(_) | Line::Stack(_) | Line::Doing(_) => {}
    }
}

impl Source for Replay {
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

    fn progress(&self) -> Progress {
        let since = |at: i64| u64::try_from(at - self.span.0).unwrap_or(0);
        Progress::Replay {
            at: since(self.model.now),
            of: since(self.span.1),
            is_playing: self.playing.is_some(),
        }
    }

    fn recording(&self) -> Option<String> {
        None
    }

    fn act(&mut self, request: Request) -> Option<String> {
        match request {
            Request::Seek(by) => {
                let sought = self.seek(self.model.now + by);
                sought.err().map(|error| visible(&format!("{error:#}")))
            }
            Request::Play => {
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
            Request::Page => Some(outside::page(&self.path)),
            Request::Record => None,
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
