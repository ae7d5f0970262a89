//! `zombie-trace diff`: two recorded runs side by side.

mod args;

use std::{
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde::Serialize;

pub use args::DiffArgs;

use crate::{
    aggregate::Quantile,
    commands::gates::Gates,
    compare::{Change, Comparison, Profile, compare},
    exit_code::ExitCode,
    gate::{self, Condition, Metric},
    model::{Lost, SCHEMA, Zombie},
    recording::{Identity, Line, Recording},
    sink::{self, Output},
    stderr::warn,
    text,
};

/// Compares them; tells by the status whether a condition holds.
///
/// # Errors
/// A recording can't be read or has no zombie times, or standard output or the file of `--format`
/// can't be written.
pub fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let gates = Gates::open(&args.fail_if, &args.format)?;
    let base = Run::read(&args.base)?;
    let new = Run::read(&args.new)?;
    let comparison = compare(&base.profile, &new.profile);
    let warnings = warnings(&base, &new, &comparison);
    for warning in &warnings {
        warn(warning);
    }
    let output = Output::stdout().context("cannot open standard output")?;
    match write(args, &base, &new, &comparison, &warnings, output) {
        // A gate that nobody has judged must not look as if it had passed.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to standard output")?,
    }
    let (base, new) = (base.figures(), new.figures());
    gates.conclude(|condition| judge(condition, &comparison, &base, &new))
}

fn write(
    args: &DiffArgs,
    base: &Run,
    new: &Run,
    comparison: &Comparison,
    warnings: &[String],
    mut output: Output,
) -> io::Result<()> {
    if args.json {
        let diff = Json {
            kind: "diff",
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            base: &base.about,
            new: &new.about,
            warnings,
            comparison,
        };
        sink::to_json(&mut output, &diff)?;
        output.write_all(b"\n")?;
    } else {
        let look = sink::Look {
            width: output.width(),
            color: output.colored(args.color),
        };
        let [base, new] = [base, new].map(|run| run.about.to_string());
        let text = sink::comparison(comparison, &base, &new, look);
        sink::Encoded(&mut output).write_all(text.as_bytes())?;
    }
    output.flush()
}

/// A change of a percentile or of the rate that noise explains is none.
fn judge(
    condition: Condition,
    comparison: &Comparison,
    base: &gate::Figures,
    new: &gate::Figures,
) -> gate::Verdict {
    let verdict = condition.judge_change(base, new);
    if !condition.is_change() {
        return verdict;
    }
    let changes = &comparison.overall.changes;
    let Change { interval, .. } = match condition.metric() {
        Metric::Percentile(percentile) => match percentile {
            Quantile::P50 => changes.p50,
            Quantile::P90 => changes.p90,
            Quantile::P99 => changes.p99,
            _ => return verdict,
        },
        Metric::Rate => changes.rate,
        _ => return verdict,
    };
    match (verdict, interval) {
        (_, None) => gate::Verdict::NoData,
        (gate::Verdict::Holds(actual), Some([low, high])) if low <= 0.0 && high >= 0.0 => {
            gate::Verdict::DoesNotHold(actual)
        }
        (verdict, _) => verdict,
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: u32,
    version: &'static str,
    base: &'a About,
    new: &'a About,
    warnings: &'a [String],
    #[serde(flatten)]
    comparison: &'a Comparison,
}

/// A recorded run.
struct Run {
    oldest_ns: Option<u64>,
    zombie_time_ns: u64,
    profile: Profile,
    identity: Identity,
    about: About,
    starved: Starved,
}

/// For how long parents that were ready to reap got no CPU, of the zombies of which that is known.
#[derive(Default)]
struct Starved {
    zombies: u64,
    zombie_ns: u64,
    runqueue_ns: u64,
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
    fn mean(&self, ns: u64) -> f64 {
        ns as f64 / self.zombies as f64
    }

    /// It is behind most of the change, and has itself changed by half.
    fn explains(&self, new: &Self) -> bool {
        let [base_wait, new_wait] = [self, new].map(|run| run.mean(run.runqueue_ns));
        let [base_all, new_all] = [self, new].map(|run| run.mean(run.zombie_ns));
        let (more, less) = (base_wait.max(new_wait), base_wait.min(new_wait));
        more > less * 1.5 && (new_wait - base_wait).abs() > (new_all - base_all).abs() / 2.0
    }
}

/// What is known of a run besides its zombies.
#[derive(Clone, Debug, Serialize)]
struct About {
    file: String,
    kernel: Option<String>,
    backend: Option<String>,
    command: Option<Vec<String>>,
    duration_ns: u64,
    alive: Option<u64>,
    /// How many were left out by a filter.
    filtered: Option<u64>,
    lost: Lost,
    /// The recording ends before the run, or lines of it can't be read.
    damaged: Option<String>,
    /// The zombies are known one by one.
    single_zombies: bool,
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

impl Run {
    /// Reads it whole, but keeps its profile only.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut recording = Recording::open(path)?;
        let identity = Identity::of(&recording, path);
        let start = recording.start().cloned();
        let nanos = |ts: jiff::Timestamp| i64::try_from(ts.as_nanosecond()).unwrap_or(i64::MAX);
        let begin = start.as_ref().map(|start| nanos(start.ts));
        let mut zombies = begin.map_or_else(Profile::default, Profile::begin);
        let mut intervals = Profile::default();
        let mut last = begin;
        let mut alive = None;
        let mut starved = Starved::default();
        let mut lost = Lost::default();
        let mut summary = None;
        for line in recording.by_ref() {
            match line? {
                Line::Zombie(zombie) => {
                    last = last.max(Some(nanos(zombie.ts)));
                    if !zombie.autoreaped() && !zombie.pre_existing() {
                        zombies.zombie(nanos(zombie.ts), zombie.parent_comm, zombie.zombie_ns);
                        starved.add(&zombie);
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
                Line::Start(_) | Line::Alive(_) => {}
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
        let counts = summary.as_ref().map(|end| end.counts);
        ensure!(
            profile.count() > 0 || summary.as_ref().is_none_or(|end| end.zombie_ns.count == 0),
            "{}: has neither zombies nor intervals to compare: record without -s, or with -i 1s",
            recording.name()
        );
        Ok(Self {
            oldest_ns: summary.as_ref().and_then(|end| end.oldest_ns),
            zombie_time_ns: summary.as_ref().map_or(0, |end| end.zombie_time_ns),
            profile,
            starved,
            identity,
            about: About {
                file: recording.name().to_owned(),
                kernel: start.as_ref().map(|start| start.kernel.clone()),
                backend: start.as_ref().map(|start| start.backend.clone()),
                command: start.and_then(|start| start.command),
                duration_ns,
                alive: counts.map(|counts| counts.alive).or(alive),
                filtered: counts.map(|counts| counts.filtered.saturating_sub(counts.autoreaped)),
                lost: counts.map_or(lost, |counts| counts.lost),
                damaged: (!remarks.is_whole()).then(|| remarks.to_string()),
                single_zombies,
            },
        })
    }

    fn figures(&self) -> gate::Figures {
        let zombie_ns = self.profile.zombie_ns();
        gate::Figures {
            zombie_ns,
            times: None,
            count: zombie_ns.count,
            alive: self.about.alive.unwrap_or(0),
            oldest_ns: self.oldest_ns,
            zombie_time_ns: self.zombie_time_ns,
            duration: Duration::from_nanos(self.about.duration_ns),
        }
    }
}

/// What should be known before anything is made of the comparison.
fn warnings(base: &Run, new: &Run, comparison: &Comparison) -> Vec<String> {
    let mut warnings = Vec::new();
    if base.identity.is_same_run(&new.identity) {
        warnings.push(format!(
            "{} and {} are the same run: a run does not differ from itself",
            text::visible(&base.about.file),
            text::visible(&new.about.file)
        ));
    }
    for run in [base, new] {
        let lost = &run.about.lost;
        let file = text::visible(&run.about.file);
        if let Some(damaged) = &run.about.damaged {
            warnings.push(format!("{file}: {damaged}"));
        }
        if !lost.is_none() {
            let count = lost.total();
            warnings.push(format!(
                "{file}: {count} zombies were lost and are in no figure"
            ));
        }
        let alive = run.about.alive.unwrap_or(0);
        // Some are always on their way when a run ends.
        if alive > run.profile.count() / 100 && alive > 1 {
            warnings.push(format!(
                "{file}: {alive} zombies were not reaped until the end and are in no percentile"
            ));
        }
    }
    if base.about.single_zombies != new.about.single_zombies {
        let run = if base.about.single_zombies { new } else { base };
        warnings.push(format!(
            "{}: has intervals only: parents can't be compared",
            run.about.file
        ));
    }
    let told = |of: &dyn Fn(&About) -> Option<String>, what: &str| {
        let [base, new] = [base, new].map(|run| of(&run.about));
        let none = || "none".to_owned();
        (base != new).then(|| {
            let [base, new] = [base, new].map(|one| one.unwrap_or_else(none));
            format!("the {what} differs: {base}, then {new}")
        })
    };
    let filters = [base, new].map(|run| run.about.filtered.is_some_and(|count| count > 0));
    if filters[0] != filters[1] {
        let run = if filters[0] { base } else { new };
        warnings.push(format!(
            "{}: zombies were left out by a filter, in the other run none",
            run.about.file
        ));
    }
    warnings.extend(told(&|about| about.kernel.clone(), "kernel"));
    warnings.extend(told(
        &|about| about.backend.clone(),
        "backend, and so the error,",
    ));
    warnings.extend(told(
        &|about| about.command.as_ref().map(|command| command.join(" ")),
        "command",
    ));
    let starved =
        [base, new].map(|run| text::human(run.starved.mean(run.starved.runqueue_ns) as u64));
    if comparison.verdict.is_difference() && base.starved.explains(&new.starved) {
        warnings.push(format!(
            "parents that were ready to reap waited for a CPU for {} a zombie, then {}, which is most \
             of the change: the machine's load differs, or the program's own",
            starved[0], starved[1]
        ));
    }
    let rate = comparison.overall.changes.rate;
    if let (Some(relative), Some([low, high])) = (rate.relative, rate.interval)
        && !(-0.3..=0.4).contains(&relative)
        && (low > 0.0 || high < 0.0)
    {
        let sense = if relative > 0.0 { "more" } else { "fewer" };
        warnings.push(format!(
            "the load differs: {:.0} % {sense} zombies a second; times may differ for that alone",
            relative.abs() * 100.0
        ));
    }
    warnings
}
