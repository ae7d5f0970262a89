//! The parts of the page that are neither charts nor sortable tables.

use maud::{Markup, html};

use super::show::{grouped, shell_words};
use crate::{
    aggregate::{MEANINGS, PARTS},
    commands::report::{Report, ReportedRun, TimesFrom, text::source},
    model::Lost,
    sink::{histogram_gap, lost_statuses},
    text::{human, visible},
};

/// More empty rows of the histogram than this are one.
const LONGEST_GAP: usize = 2;

/// A heading that can be linked to.
pub(super) fn heading(id: &str, title: &str) -> Markup {
    html! {
        h2 id=(id) { (title) " " a.anchor href={ "#" (id) } aria-label={ "Link to " (title) } { "#" } }
    }
}

pub(super) fn lost(lost: &Lost) -> String {
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
pub(super) fn histogram(report: &Report) -> Markup {
    let buckets = report.summary.histogram.buckets_from(report.error_ns);
    let gap = histogram_gap(&report.summary);
    if buckets.is_empty() && gap.is_none() {
        return html! {};
    }
    let largest = buckets.iter().map(|&(_, count)| count).max().unwrap_or(0);
    let share = |count: u64| count as f64 * 100.0 / largest.max(1) as f64;
    let gaps = buckets.chunk_by(|(_, a), (_, b)| (*a == 0) == (*b == 0));
    html! {
        section.whole {
            (heading("distribution", "Distribution of zombie times"))
            @if let Some(gap) = gap { p.soft { (gap) "." } }
            table.histogram #histogram {
                tbody {
                    @for run in gaps {
                        @if run[0].1 == 0 && run.len() > LONGEST_GAP {
                            tr { th scope="row" { "…" } td.n { "0" } td {} }
                        } @else {
                            @for (range, count) in run {
                                tr {
                                    th scope="row" {
                                        @if range.start == 0 { "< " } @else { (human(range.start)) " – " }
                                        (human(range.end))
                                    }
                                    td.n { (grouped(*count)) }
                                    td {
                                        @if *count > 0 {
                                            span.bar style={ "width:" (format!("{:.2}", share(*count))) "%" } {}
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where the time went.
pub(super) fn phases(report: &Report) -> Markup {
    let Some(breakdown) = &report.breakdown else {
        return html! {};
    };
    let total = breakdown.total().max(1) as f64;
    let parts = PARTS.into_iter().zip(MEANINGS).zip(breakdown.parts());
    let parts: Vec<_> = parts
        .map(|((name, meaning), time)| (name, meaning, time, time as f64 * 100.0 / total))
        .collect();
    html! {
        section.whole {
            (heading("where-it-went", "Where the zombie time went"))
            p.soft { "All zombie time of the run: " (human(breakdown.total())) "." }
            div.stack aria-hidden="true" {
                @for (name, _, time, share) in &parts {
                    @if *time > 0 {
                        div class=(name.replace(' ', "-")) style={ "width:" (format!("{share:.3}")) "%" } {}
                    }
                }
            }
            ul.legend #phases {
                @for (name, meaning, time, share) in &parts {
                    li {
                        span class={ "key " (name.replace(' ', "-")) } {}
                        b { (name) } " " (format!("{share:.1}")) " %, " (human(*time)) " – " (meaning)
                    }
                }
            }
        }
    }
}

/// Failures that nobody learns of.
pub(super) fn lost_failures(report: &Report) -> Markup {
    html! {
        @if let Some(lost) = lost_statuses(&report.summary) {
            section {
                (heading("lost-failures", "Failures that are lost"))
                p #lost { (lost) "." }
            }
        }
    }
}

/// Processes that did not come to their end.
pub(super) fn unended(report: &Report) -> Markup {
    let unended = report.unended.said();
    html! {
        @if !unended.is_empty() {
            section {
                (heading("did-not-end", "Processes that did not end"))
                p.soft { "They were killed or began to exit, and were not zombies yet." }
                ul #unended {
                    @for one in &unended {
                        li { (format!("{:.0}", one.ts)) " " b { (one.who) } ": " (one.why) "." }
                    }
                }
            }
        }
    }
}

/// What was read.
pub(super) fn runs(report: &Report) -> Markup {
    let title = match report.runs.len() {
        1 => "About the run",
        _ => "About the runs",
    };
    html! {
        section {
            (heading("about", title))
            table.meta #runs {
                tbody {
                    @for run in &report.runs {
                        @for (title, value) in facts(run) {
                            tr { th scope="row" { (title) } td { (value) } }
                        }
                    }
                }
            }
            p.soft { "Written by zombie-trace " (env!("CARGO_PKG_VERSION")) "." }
        }
    }
}

fn facts(run: &ReportedRun) -> Vec<(&'static str, Markup)> {
    let known = |value: &Option<String>| value.as_deref().map_or_else(|| "?".to_owned(), visible);
    let words = |words: &Option<Vec<String>>, otherwise: &str| match words {
        Some(words) => html! { code { (shell_words(words)) } },
        None => html! { (otherwise) },
    };
    let times = match run.times_from {
        TimesFrom::Zombies => "each zombie",
        TimesFrom::Intervals => "intervals: no zombies are listed",
        TimesFrom::Summary if run.is_filtered => {
            "the summary: a filter left zombies out of the list"
        }
        TimesFrom::Summary => "the summary alone: no zombies are listed",
    };
    vec![
        ("Recording", html! { b { (visible(&run.file)) } }),
        ("Recorded with", words(&run.args, "?")),
        ("Command", words(&run.command, "none")),
        (
            "Start",
            html! { (run.start.map_or_else(|| "?".to_owned(), |start| start.to_string())) },
        ),
        ("Length", html! { (human(run.duration_ns)) }),
        ("Exits", html! { (grouped(run.exits)) }),
        ("Lost", html! { (lost(&run.lost)) }),
        (
            "Recording is",
            html! { @if run.remarks.is_empty() { "whole" } @else { (run.remarks) } },
        ),
        (
            "Times are from",
            html! { (times) @if let Some(source) = source(run).filter(|_| run.is_filtered) { " (" (source) ")" } },
        ),
        ("Host", html! { (known(&run.host)) }),
        (
            "Kernel",
            html! { "Linux " (known(&run.kernel)) ", hooked by " (known(&run.backend)) },
        ),
        (
            "Recorded by",
            html! { "zombie-trace " (known(&run.version)) },
        ),
    ]
}

/// For people who see the page in a ticket.
pub(super) fn glossary() -> Markup {
    html! {
        section {
            (heading("how-to-read", "How to read this"))
            p {
                "A process that has exited is a " b { "zombie" } " until its parent waits for it (wait(2)) \
                 and so " b { "reaps" } " it. Until then it holds a process ID, and the parent does not \
                 know that it is gone. Its zombie time runs from the moment the parent could reap it \
                 until it is reaped; the time before, in which the kernel takes it down, is not part of \
                 it. The " b { "zombie time" } " of a parent is the sum over its children inside the run, \
                 the living ones included. " b { "Living" } " zombies were not reaped by the end of the \
                 run. " b { "Autoreaped" } " processes were never zombies: their parent ignores SIGCHLD. "
                b { "p99" } " is what 99 of 100 reaped zombies do not exceed."
            }
        }
    }
}
