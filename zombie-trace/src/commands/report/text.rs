use std::io;

use jiff::tz::TimeZone;

use super::{Report, ReportedRun, TimesFrom, worst::Long};
use crate::{
    aggregate::{GroupSummary, PARTS},
    cause::general_advice,
    sink::{Look, Medium, Sink as _, Table, Tables, Text},
    text::{HEADING, human, paint, time_of_day, visible, wrap},
};

/// For people.
pub(super) fn write(
    report: &Report,
    look: Look,
    tables: Tables,
    out: &mut impl Medium,
) -> io::Result<()> {
    Text::new(&mut *out, look, None)
        .with_tables(tables)
        .with_error(report.error_ns)
        .with_samples(report.did.clone())
        .summary(&report.summary)?;
    if let Some(breakdown) = &report.breakdown {
        writeln!(out, "\n{}", heading("where the zombie time went", look))?;
        let total = breakdown.total();
        for (part, time) in PARTS.into_iter().zip(breakdown.parts()) {
            let share = time as f64 * 100.0 / total.max(1) as f64;
            let time = human(time);
            writeln!(out, "  {part:<11} {share:>5.1} %  {time}")?;
        }
    }
    if !report.worst.is_empty() {
        let title = match &report.conditions {
            Some(conditions) => format!("longest zombies with {}", visible(conditions)),
            None => "longest zombies".to_owned(),
        };
        writeln!(out, "\n{}", heading(&title, look))?;
        let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        let table = Table::new(look, true, zone);
        write!(out, "{}", table.header())?;
        for zombie in report.worst.iter().take(tables.top as usize) {
            let row = match zombie {
                Long::Zombie(zombie) => table.zombie(zombie),
                Long::Alive(alive) => table.alive(alive),
            };
            write!(out, "{row}")?;
        }
    }
    let causes = report.summary.by_cause.iter().map(|row| &row.group);
    let causes: Vec<_> = causes
        .filter(|group| group.cause.is_some() || group.alive > 0)
        .collect();
    if !causes.is_empty() {
        writeln!(out, "\n{}", heading("why zombies lingered", look))?;
        let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        for group in causes {
            let text = wrap(&why(group, &zone), look.width.map(|width| width - 4));
            writeln!(out, "  {}", text.replace('\n', "\n    "))?;
        }
    }
    let unended = report.unended.said();
    if !unended.is_empty() {
        writeln!(out, "\n{}", heading("processes that did not end", look))?;
        let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        for one in unended {
            let time = time_of_day(one.ts, &zone);
            let text = format!("{time} {}: {}", one.who, one.why);
            let text = wrap(&text, look.width.map(|width| width - 4));
            writeln!(out, "  {}", text.replace('\n', "\n    "))?;
        }
    }
    writeln!(out, "\n{}", heading("recorded in", look))?;
    for run in &report.runs {
        writeln!(out, "  {}", about(run, look).replace('\n', "\n  "))?;
    }
    out.flush()
}

/// `never-waits: 3 living, the oldest 4.00 s, 2 reaped, zombie time 12.0 s; at 12:00:05.1 finding; advice`.
fn why(group: &GroupSummary, zone: &TimeZone) -> String {
    let mut text = group
        .cause
        .map_or("not determined", |cause| cause.code())
        .to_owned();
    let mut facts = Vec::new();
    if group.alive > 0 {
        facts.push(format!("{} living", group.alive));
    }
    if let Some(oldest) = group.oldest_ns {
        facts.push(format!("the oldest {}", human(oldest)));
    }
    if group.reaped > 0 && group.cause.is_some() {
        facts.push(format!("{} reaped", group.reaped));
    }
    // Those that nobody looked at were mostly reaped soon.
    if group.cause.is_some() {
        facts.push(format!("zombie time {}", human(group.zombie_time_ns)));
    }
    text += &format!(": {}", facts.join(", "));
    let advice = group.cause.and_then(|cause| general_advice(cause, None));
    if let Some(found) = &group.cause_text {
        let when = group.looked_at.map_or_else(String::new, |ts| {
            format!("seen at {}: ", time_of_day(ts, zone))
        });
        text += &format!("; {when}{}", visible(found));
    }
    if let Some(advice) = advice {
        text += &format!("; {}", visible(&advice));
    }
    text
}

fn heading(text: &str, look: Look) -> String {
    paint(text, HEADING, look.color)
}

/// Which run it is, and what is wrong with its recording.
fn about(run: &ReportedRun, look: Look) -> String {
    let mut text = visible(&run.file);
    if let Some(start) = run.start {
        text += &format!(": {start:.0} for {}", human(run.duration_ns));
    }
    if let Some(command) = &run.command {
        text += &format!(", {}", visible(&command.join(" ")));
    }
    if let Some(host) = &run.host {
        text += &format!(", on {}", visible(host));
    }
    if let (Some(kernel), Some(backend)) = (&run.kernel, &run.backend) {
        text += &format!(", Linux {} by {}", visible(kernel), visible(backend));
    }
    if !run.remarks.is_empty() {
        text += &format!("; {}", run.remarks);
    }
    if let Some(source) = source(run) {
        text += &format!("; {source}");
    }
    wrap(&text, look.width.map(|width| width - 4)).replace('\n', "\n  ")
}

/// What the recording does not list; `None` if it lists every zombie.
pub(super) fn source(run: &ReportedRun) -> Option<String> {
    match (run.times_from, run.is_filtered) {
        (TimesFrom::Summary, true) => Some(format!(
            "a filter listed {} of {} zombies: figures and tables are from the summary",
            run.listed, run.reaped
        )),
        (TimesFrom::Zombies, true) => Some(format!(
            "a filter listed {} zombies: nothing is known about the others",
            run.listed
        )),
        (TimesFrom::Zombies, false) => None,
        (TimesFrom::Intervals, _) => Some("lists no zombies, only intervals".to_owned()),
        (TimesFrom::Summary, false) => Some("has a summary only".to_owned()),
    }
}
