use std::io;

use jiff::tz::TimeZone;

use super::{Report, Run, TimesFrom};
use crate::{
    model::Phase,
    sink::{Look, Medium, Sink as _, Table, Text},
    text::{HEADING, human, paint, visible, wrap},
};

/// So many of the longest zombies are shown.
const WORST: usize = 10;

/// For people.
pub(super) fn write(report: &Report, look: Look, out: &mut impl Medium) -> io::Result<()> {
    for run in &report.runs {
        writeln!(out, "{}", about(run, look))?;
    }
    writeln!(out)?;
    Text::new(&mut *out, look, None).summary(&report.summary)?;
    if let Some(phases) = &report.phases {
        writeln!(out, "\n{}", heading("where the zombies' time went", look))?;
        let total = phases.total();
        for (phase, time) in Phase::ALL.into_iter().zip(phases.times()) {
            let share = time as f64 * 100.0 / total.max(1) as f64;
            let (name, time) = (phase.as_str(), human(time));
            writeln!(out, "  {name:<11} {share:>5.1} %  {time}")?;
        }
    }
    if !report.worst.is_empty() {
        let worst = &report.worst[..report.worst.len().min(WORST)];
        writeln!(out, "\n{}", heading("longest zombies", look))?;
        let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        let table = Table::new(look, true, zone);
        write!(out, "{}", table.header())?;
        for zombie in worst {
            write!(out, "{}", table.zombie(zombie))?;
        }
    }
    if !report.causes.is_empty() {
        writeln!(out, "\n{}", heading("why zombies are left", look))?;
        for cause in &report.causes {
            let code = cause.cause.map_or("not looked at", |cause| cause.code());
            let text = format!(
                "{} {code}, the oldest for {}{}{}",
                cause.count,
                human(cause.oldest_ns),
                if cause.text.is_some() { ": " } else { "" },
                visible(cause.text.as_deref().unwrap_or_default())
            );
            let text = wrap(&text, look.width.map(|width| width - 2));
            writeln!(out, "  {}", text.replace('\n', "\n  "))?;
        }
    }
    out.flush()
}

fn heading(text: &str, look: Look) -> String {
    paint(text, HEADING, look.color)
}

/// Which run it is, and what is wrong with it.
fn about(run: &Run, look: Look) -> String {
    let mut text = visible(&run.file);
    if let Some(start) = run.start {
        text += &format!(": {start:.0} for {}", human(run.duration_ns));
    }
    if let Some(command) = &run.command {
        text += &format!(", {}", visible(&command.join(" ")));
    }
    if let (Some(kernel), Some(backend)) = (&run.kernel, &run.backend) {
        text += &format!(", Linux {} by {}", visible(kernel), visible(backend));
    }
    if !run.remarks.is_empty() {
        text += &format!("; {}", run.remarks);
    }
    match run.times_from {
        TimesFrom::Zombies => {}
        TimesFrom::Intervals => text += "; lists no zombies, only intervals",
        TimesFrom::Summary => text += "; has a summary only",
    }
    wrap(&text, look.width).replace('\n', "\n  ")
}
