//! The parts of the page that are neither charts nor sortable tables.

use super::escape::{escape, grouped};
use crate::{
    commands::report::{Report, Run, TimesFrom, breakdown::{MEANINGS, PARTS}},
    model::Lost,
    text::human,
};

/// More empty rows of the histogram than this are one.
const LONGEST_GAP: usize = 2;

/// What it is about, whether it is complete, and the main figures.
pub(super) fn head(report: &Report) -> String {
    let summary = &report.summary;
    let subject = match &*report.runs {
        [run] => match &run.command {
            Some(command) => format!("<code>{}</code>", escape(&command.join(" "))),
            None => escape(&run.file),
        },
        runs => format!("{} runs together", runs.len()),
    };
    let when = report.runs.iter().filter_map(|run| run.start).min();
    let when = when.map_or_else(String::new, |start| {
        let start = format!("{start:.0}").replace(['T', 'Z'], " ");
        format!("{start}UTC, ")
    });
    let times = &summary.zombie_ns;
    let time = |ns: Option<u64>| ns.map_or_else(|| "–".to_owned(), human);
    let counts = &summary.counts;
    let tiles = [
        ("exits", "Exits", grouped(counts.exits)),
        ("reaped", "Reaped", grouped(counts.reaped)),
        ("alive", "Zombies left", grouped(counts.alive)),
        ("p50", "Median", time(times.p50)),
        ("p90", "p90", time(times.p90)),
        ("p99", "p99", time(times.p99)),
        ("p999", "p99.9", time(times.p999)),
        ("max", "Longest", time(times.max)),
    ];
    let tiles: String = tiles
        .iter()
        .map(|(id, title, value)| {
            format!("<div><dt>{title}</dt><dd id=\"{id}\">{value}</dd></div>")
        })
        .collect();
    format!(
        "<header><h1>Zombies of {subject}</h1>\n<p class=\"soft\">{when}{}. How long processes that \
         had ended waited until their parents reaped them.</p>\n{}<dl class=\"tiles\">{tiles}</dl>\n\
         <p class=\"soft\">Percentiles of {} listed zombies; autoreaped {}, zombies from before {}, \
         not listed {}.</p></header>\n",
        human(summary.duration_ns),
        verdict(report),
        grouped(times.count),
        grouped(counts.autoreaped),
        grouped(counts.pre_existing),
        grouped(counts.filtered)
    )
}

fn verdict(report: &Report) -> String {
    let mut problems = Vec::new();
    for run in &report.runs {
        let file = escape(&run.file);
        if !run.remarks.is_empty() {
            problems.push(format!("{file}: {}", escape(&run.remarks)));
        }
        if !run.lost.is_none() {
            problems.push(format!("{file}: {}", lost(&run.lost)));
        }
    }
    if problems.is_empty() {
        return "<p class=\"verdict good\" id=\"verdict\">Complete: nothing was lost</p>\n"
            .to_owned();
    }
    format!(
        "<p class=\"verdict bad\" id=\"verdict\">Incomplete – {}</p>\n",
        problems.join("; ")
    )
}

fn lost(lost: &Lost) -> String {
    let reasons = [
        (lost.ring_full, "ring buffer full"),
        (lost.map_full, "map of zombies full"),
        (lost.missed, "missed by the hooks"),
    ];
    let reasons = reasons.iter().filter(|(count, _)| *count > 0);
    let reasons: Vec<_> = reasons
        .map(|(count, reason)| format!("{reason}: {count}"))
        .collect();
    if reasons.is_empty() {
        return "nothing".to_owned();
    }
    format!("lost processes ({})", reasons.join(", "))
}

/// How many lasted how long.
pub(super) fn histogram(report: &Report) -> String {
    let buckets: Vec<_> = report.summary.histogram.buckets().collect();
    let Some(largest) = buckets.iter().map(|&(_, count)| count).max() else {
        return String::new();
    };
    let mut rows = String::new();
    for run in buckets.chunk_by(|(_, a), (_, b)| (*a == 0) == (*b == 0)) {
        if run[0].1 == 0 && run.len() > LONGEST_GAP {
            rows += "<tr><th scope=\"row\">…</th><td class=\"n\">0</td><td></td></tr>\n";
            continue;
        }
        for (range, count) in run {
            let share = *count as f64 * 100.0 / largest.max(1) as f64;
            let bar = match count {
                0 => String::new(),
                _ => format!("<span class=\"bar\" style=\"width:{share:.2}%\"></span>"),
            };
            rows += &format!(
                "<tr><th scope=\"row\">{} – {}</th><td class=\"n\">{}</td><td>{bar}</td></tr>\n",
                human(range.start),
                human(range.end),
                grouped(*count)
            );
        }
    }
    format!(
        "<section><h2>Distribution of zombie times</h2>\n<table class=\"histogram\" \
         id=\"histogram\"><tbody>\n{rows}</tbody></table></section>\n"
    )
}

/// Where the time went.
pub(super) fn phases(report: &Report) -> String {
    let Some(phases) = &report.breakdown else {
        return String::new();
    };
    let total = phases.total();
    let mut bars = String::new();
    let mut legend = String::new();
    for ((name, meaning), time) in PARTS.into_iter().zip(MEANINGS).zip(phases.parts()) {
        let share = time as f64 * 100.0 / total.max(1) as f64;
        let class = name.replace(' ', "-");
        bars += &format!("<div class=\"{class}\" style=\"width:{share:.3}%\"></div>");
        legend += &format!(
            "<li><span class=\"key {class}\"></span><b>{name}</b> {share:.1} % ({}): {}</li>",
            human(time),
            meaning
        );
    }
    format!(
        "<section><h2>Where the zombies’ time went</h2>\n<div class=\"stack\" aria-hidden=\"true\">\
         {bars}</div>\n<ul class=\"legend\" id=\"phases\">{legend}</ul></section>\n"
    )
}

/// What was read.
pub(super) fn runs(report: &Report) -> String {
    let mut rows = String::new();
    for run in &report.runs {
        for (title, value) in facts(run) {
            rows += &format!("<tr><th scope=\"row\">{title}</th><td>{value}</td></tr>\n");
        }
    }
    format!(
        "<section><h2>About the {}</h2>\n<table class=\"meta\" id=\"runs\"><tbody>\n{rows}\
         </tbody></table>\n<p class=\"soft\">Written by zombie-trace {}.</p></section>\n",
        if report.runs.len() == 1 {
            "run"
        } else {
            "runs"
        },
        env!("CARGO_PKG_VERSION")
    )
}

fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let known = |value: &Option<String>| value.as_deref().map_or_else(|| "?".to_owned(), escape);
    let command = run.command.as_ref().map(|command| command.join(" "));
    vec![
        ("Recording", format!("<b>{}</b>", escape(&run.file))),
        (
            "Command",
            command.map_or_else(
                || "none".to_owned(),
                |command| format!("<code>{}</code>", escape(&command)),
            ),
        ),
        (
            "Begin",
            run.start
                .map_or_else(|| "?".to_owned(), |start| start.to_string()),
        ),
        ("Length", human(run.duration_ns)),
        ("Exits", grouped(run.exits)),
        ("Lost", lost(&run.lost)),
        (
            "Recording is",
            match &*run.remarks {
                "" => "whole".to_owned(),
                remarks => escape(remarks),
            },
        ),
        (
            "Times are from",
            match run.times_from {
                TimesFrom::Zombies => "each zombie",
                TimesFrom::Intervals => "intervals: no zombies are listed",
                TimesFrom::Summary => "the summary alone: no zombies are listed",
            }
            .to_owned(),
        ),
        (
            "Kernel",
            format!(
                "Linux {}, hooked by {}",
                known(&run.kernel),
                known(&run.backend)
            ),
        ),
        (
            "Recorded by",
            format!("zombie-trace {}", known(&run.version)),
        ),
    ]
}

/// For who sees the page in a ticket.
pub(super) fn glossary() -> String {
    "<section><h2>How to read this</h2>\n<p>A process that has ended is a <b>zombie</b> until its \
     parent waits for it (wait(2)) and so <b>reaps</b> it. Until then it holds a process id, and the \
     parent does not know that it is gone. Its zombie time is from the moment the parent could reap \
     it to its reaping; the time before, in which the kernel takes it down, is not part of it. \
     <b>Autoreaped</b> processes were never zombies: their parent ignores SIGCHLD. <b>p99</b> is \
     what 99 of 100 do not exceed.</p></section>\n"
        .to_owned()
}
