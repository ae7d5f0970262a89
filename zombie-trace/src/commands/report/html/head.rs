//! The verdict, the main figures and what filters the rest.

use maud::{Markup, html};

use super::{
    causes, doing,
    sections::lost,
    show::{grouped, shell_words},
};
use crate::{
    cause::general_advice,
    commands::report::{Report, lanes::LaneRow, text::source, verdict::PageVerdict},
    text::{human, lifetime, visible},
};

pub(super) fn head(report: &Report) -> Markup {
    let subject = match &*report.runs {
        [run] => run
            .command
            .as_ref()
            .map_or_else(|| visible(&run.file), |command| shell_words(command)),
        runs => format!("{} runs together", runs.len()),
    };
    let when = report.runs.iter().filter_map(|run| run.start).min();
    let when = when.map(|start| format!("{}UTC, ", format!("{start:.0}").replace(['T', 'Z'], " ")));
    let hosts = report.runs.iter().filter_map(|run| run.host.as_deref());
    let mut hosts: Vec<_> = hosts.map(visible).collect();
    hosts.dedup();
    html! {
        header {
            h1 { "Zombies of " code { (subject) } }
            p.soft {
                (when.unwrap_or_default()) (human(report.summary.duration_ns))
                @if !hosts.is_empty() { ", on " (hosts.join(", ")) }
                ". How long processes that had exited waited until they were reaped."
            }
            (verdict(report))
            (tiles(report))
            nav aria-label="Sections" {
                @for (id, title) in sections(report) { a href={ "#" (id) } { (title) } " " }
            }
        }
    }
}

/// The tables that the page has, and where the rest starts.
fn sections(report: &Report) -> Vec<(&'static str, &'static str)> {
    let all = [
        ("over-time", "Over time", !report.timeline.alive.is_empty()),
        ("by-parent", "Parents", true),
        ("instead", "What parents did", doing::is_there(report)),
        ("longest-zombies", "Longest zombies", true),
        ("by-cause", "Causes", !report.summary.by_cause.is_empty()),
        ("by-command", "Commands", true),
        (
            "by-container",
            "Containers",
            !report.summary.by_container.is_empty(),
        ),
        (
            "distribution",
            "Distribution",
            report.summary.zombie_ns.count > 0,
        ),
        ("where-it-went", "Where it went", report.breakdown.is_some()),
        ("about", "About", true),
    ];
    let shown = all.into_iter().filter(|(_, _, is_there)| *is_there);
    shown.map(|(id, title, _)| (id, title)).collect()
}

fn verdict(report: &Report) -> Markup {
    let verdict = PageVerdict::of(&report.summary, report.error_ns);
    let has_failed = report.gates.iter().any(|gate| gate.failed());
    let is_good = verdict.is_good && !has_failed;
    let mut headline = verdict.headline.clone();
    if let Some(first) = headline.get(..1) {
        headline.replace_range(..1, &first.to_uppercase());
    }
    html! {
        section #verdict .verdict .good[is_good] .bad[!is_good] {
            p.headline { (headline) }
            @if !verdict.parents.is_empty() {
                ul {
                    @for leak in &verdict.parents {
                        li {
                            code { (leak.who) } " " b { (grouped(leak.living)) " living" }
                            ", the oldest " (human(leak.oldest_ns))
                            @if let Some(cause) = leak.cause {
                                " – " (causes::link(cause))
                                @if let Some(finding) = &leak.finding { ": " (finding) }
                                @if let Some(fix) = general_advice(cause, None) { ". " span.advice { "What helps: " (fix) "." } }
                            }
                        }
                    }
                    @if verdict.more > 0 { li { "and " (grouped(verdict.more as u64)) " more: see " a href="#by-parent" { "Parents" } } }
                }
            }
            @if !report.gates.is_empty() {
                ul.gates #gates {
                    @for gate in &report.gates {
                        li .failed[gate.failed()] { (gate.line()) }
                    }
                }
            }
            p.soft #completeness { (completeness(report)) }
            @for run in &report.runs {
                @if let Some(source) = source(run) {
                    p.soft { (visible(&run.file)) ": " (source) "." }
                }
            }
            p.actions { button type="button" .copy data-copy="all" hidden { "Copy as Markdown" } }
        }
    }
}

fn completeness(report: &Report) -> String {
    let mut problems = Vec::new();
    for run in &report.runs {
        let file = visible(&run.file);
        if !run.remarks.is_empty() {
            problems.push(format!("{file}: {}", run.remarks));
        }
        if !run.lost.is_none() {
            problems.push(format!("{file}: {}", lost(&run.lost)));
        }
    }
    match problems.is_empty() {
        true => "The record is complete: nothing was lost.".to_owned(),
        false => format!("The record is incomplete – {}.", problems.join("; ")),
    }
}

fn tiles(report: &Report) -> Markup {
    let summary = &report.summary;
    let times = &summary.zombie_ns;
    let counts = &summary.counts;
    let time = |ns: Option<u64>| ns.map_or_else(|| "–".to_owned(), human);
    let lasted = |ns: Option<u64>| {
        ns.map_or_else(|| "–".to_owned(), |ns| lifetime::exact(ns, report.error_ns))
    };
    let tiles = [
        ("alive", "Living zombies", grouped(summary.living())),
        ("oldest", "The oldest", time(summary.oldest_ns)),
        ("zombie-time", "Zombie time", human(summary.zombie_time_ns)),
        ("exits", "Exits", grouped(counts.exits)),
        ("reaped", "Reaped", grouped(counts.reaped)),
        ("p50", "Median", lasted(times.p50)),
        ("p90", "p90", lasted(times.p90)),
        ("p99", "p99", lasted(times.p99)),
        ("p999", "p99.9", lasted(times.p999)),
        ("max", "Longest reaped", lasted(times.max)),
    ];
    html! {
        dl.tiles {
            @for (id, title, value) in tiles {
                div { dt { (title) } dd id=(id) { (value) } }
            }
        }
        p.soft {
            "Percentiles of " (grouped(times.count)) " reaped zombies; autoreaped "
            (grouped(counts.autoreaped)) ", pre-existing " (grouped(counts.pre_existing))
            @if summary.inexact > 0 { ", without an exact time " (grouped(summary.inexact)) }
            "."
        }
    }
}

/// What filters the charts and tables. It needs the script.
pub(super) fn toolbar(report: &Report) -> Markup {
    let columns = report.lanes.get(&LaneRow::All).len();
    html! {
        form #toolbar role="search" hidden {
            label { "Search " input #search type="search" placeholder="command, parent, pid, cause" autocomplete="off"; }
            @if columns > 1 {
                label { "From " input #from type="range" min="0" max=(columns) value="0"; }
                label { "To " input #to type="range" min="0" max=(columns) value=(columns); }
            }
            output #window {}
            button #clear type="button" hidden { "Show all" }
        }
    }
}
