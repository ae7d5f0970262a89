//! What parents did instead of reaping: a table of places, and a flame graph.

use maud::{Markup, html};

use super::{
    sections::heading,
    show::{grouped, name},
    tables::{Title, pid, table, text, time},
};
use crate::{
    aggregate::doing::{CodePlace, ParentDid, places, share},
    commands::report::{Report, flamegraph::Graph},
    sink::coverage,
    text::visible,
};

/// This many parents have places, and this many places each: the page stays small.
const PARENTS: usize = 20;
const PLACES: usize = 5;
const CALLERS: usize = 6;
/// The smallest frame of the graph, in percent, and the largest number of frames.
const NARROWEST: f64 = 0.1;
const FRAMES: usize = 2000;

/// Whether there is such a section.
pub(super) fn is_there(report: &Report) -> bool {
    report.summary.stacks.is_some() || !report.did.is_empty()
}

pub(super) fn places_of_parents(report: &Report) -> Markup {
    const TITLES: [Title; 8] = [
        ("Parent", false),
        ("PID", true),
        ("Share", true),
        ("Where", false),
        ("What it did", false),
        ("Called by", false),
        ("Zombie time", true),
        ("Samples", true),
    ];
    if !is_there(report) {
        return html! {};
    }
    let parents = report.did.parents();
    let rows: Vec<_> = parents
        .iter()
        .take(PARENTS)
        .flat_map(|did| {
            let places = places(did);
            let rows = places
                .iter()
                .take(PLACES)
                .map(|place| row(report, did, place));
            rows.collect::<Vec<_>>()
        })
        .collect();
    let sampled = report.summary.stacks.as_ref().map(coverage);
    let about = match sampled {
        Some(sampled) => {
            format!("Where the code of parents was while zombies waited for them: {sampled}.")
        }
        None => "Where the code of parents was while zombies waited for them.".to_owned(),
    };
    html! {
        (table(
            ("instead", "places", "What parents did instead of reaping"),
            &about,
            &TITLES,
            // By parent, and then by zombie time.
            "",
            &rows,
            rows.len(),
        ))
        @if !parents.is_empty() { (graph(report)) }
    }
}

fn row(report: &Report, did: &ParentDid<'_>, place: &CodePlace<'_>) -> Markup {
    let (ppid, comm) = &did.parent;
    let mut rows = report.summary.by_parent.iter();
    let known = rows.find(|row| (row.ppid, row.comm) == did.parent);
    let command = known.and_then(|row| row.cmdline.as_deref());
    let command = command.filter(|line| !line.is_empty());
    let (callers, more) = place.callers(CALLERS);
    let callers = callers.iter().map(|caller| visible(caller));
    let mut callers = callers.collect::<Vec<_>>();
    if more {
        callers.push("…".to_owned());
    }
    let part = place.weight.zombie_ns;
    html! {
        tr {
            (text("Parent", html! { (command.map_or_else(|| name(comm.as_ref()), visible)) }))
            (pid("PID", *ppid))
            td.n data-l="Share" data-v=(part) { (share(part, did.weight.zombie_ns)) " %" }
            (text("Where", html! { code { (visible(&place.name())) } }))
            (text("What it did", html! { (visible(&place.action())) }))
            td.wide .none[callers.is_empty()] data-l="Called by" {
                @if callers.is_empty() { "–" } @else { (callers.join(" ← ")) }
            }
            (time("Zombie time", Some(part)))
            td.n data-l="Samples" data-v=(place.weight.samples) { (grouped(place.weight.samples)) }
        }
    }
}

fn graph(report: &Report) -> Markup {
    let graph = Graph::new(&report.did, NARROWEST, FRAMES);
    html! {
        section.whole {
            (heading("flame-graph", "Flame graph"))
            p.soft {
                "Widths are zombie time: callers are above what they called. Press a frame to enlarge it, and \
                 the top row to see all again."
            }
            ul.legend {
                @for state in ["blocked", "runnable", "running"] {
                    li { span class={ "key " (state) } {} (state) }
                }
            }
            svg.flame width="100%" height=(graph.height()) role="img" aria-label="Flame graph" { (graph) }
        }
    }
}
