//! Tables that can be sorted, searched, cut to a part of the run, and copied. A number has the value to
//! sort by beside its text; a row has the number of its lane in the page's data.

use maud::{Markup, html};

use super::{
    causes,
    sections::heading,
    show::{grouped, name},
};
use crate::{
    aggregate::{Breakdown, GroupSummary},
    commands::report::{Report, verdict::who, worst::Long},
    container::Runtime,
    sink::parent_name,
    text::{human, lifetime, status, visible},
};

/// More rows are not shown: the page stays small.
pub(super) const MOST_ROWS: usize = 200;

/// A column: its title, and whether it holds numbers.
pub(super) type Title = (&'static str, bool);

/// The columns that all tables of groups have.
const FIGURES: [Title; 10] = [
    ("Living", true),
    ("Oldest", true),
    ("Zombie time", true),
    ("Why", false),
    ("Where it went", false),
    ("Reaped", true),
    ("p50", true),
    ("p99", true),
    ("Longest", true),
    ("Autoreaped", true),
];

/// By parent.
pub(super) fn parents(report: &Report) -> Markup {
    let parents = &report.summary.by_parent;
    let rows = parents.iter().map(|parent| {
        let command = match (&parent.cmdline, &parent.comm) {
            (None, None) => name(None),
            (cmdline, comm) => parent_name(cmdline.as_deref(), comm.as_ref()),
        };
        let cells = html! { (text("Parent", html! { (command) })) (pid("PID", parent.ppid)) };
        (cells, &parent.group)
    });
    groups(
        ("by-parent", "parents", "Parents"),
        "By the zombie time of their children. A living zombie counts until the end of the run.",
        &[("Parent", false), ("PID", true)],
        rows,
        parents.len(),
        report.error_ns,
    )
}

/// By the name of the processes themselves.
pub(super) fn commands(report: &Report) -> Markup {
    let names = &report.summary.by_comm;
    let rows = names.iter().map(|row| {
        let cells = text("Command", html! { (name(row.comm.as_ref())) });
        (cells, &row.group)
    });
    groups(
        ("by-command", "commands", "Commands"),
        "By the command name of the zombies.",
        &[("Command", false)],
        rows,
        names.len(),
        report.error_ns,
    )
}

/// By container, of those that are in one.
pub(super) fn containers(report: &Report) -> Markup {
    let containers = &report.summary.by_container;
    if containers.is_empty() {
        return html! {};
    }
    let known = |text: Option<&str>| text.map_or_else(|| "–".to_owned(), visible);
    let rows = containers.iter().map(|row| {
        let container = &row.container;
        let runtime = container.runtime.map(Runtime::as_str);
        let cells = html! {
            (text("Container", html! { (visible(container.name())) }))
            (text("Host name", html! { (known(container.hostname.as_deref())) }))
            (text("Runtime", html! { (known(runtime)) }))
        };
        (cells, &row.group)
    });
    groups(
        ("by-container", "containers", "Containers"),
        "Zombies in containers, by the container they exited in.",
        &[
            ("Container", false),
            ("Host name", false),
            ("Runtime", false),
        ],
        rows,
        containers.len(),
        report.error_ns,
    )
}

/// By why zombies lingered.
pub(super) fn causes(report: &Report) -> Markup {
    let causes = &report.summary.by_cause;
    if causes.is_empty() {
        return html! {};
    }
    let rows = causes.iter().map(|row| {
        let cause = match row.group.cause {
            Some(cause) => causes::link(cause),
            None => html! { "not determined" },
        };
        (text("Cause", cause), &row.group)
    });
    groups(
        ("by-cause", "causes", "Why zombies lingered"),
        "By the last cause that was found. Zombies that were reaped quickly were not examined.",
        &[("Cause", false)],
        rows,
        causes.len(),
        report.error_ns,
    )
}

/// The longest zombies.
pub(super) fn longest(report: &Report) -> Markup {
    const TITLES: [Title; 9] = [
        ("Zombie for", true),
        ("Command", false),
        ("PID", true),
        ("Parent", false),
        ("Parent’s PID", true),
        ("Status", false),
        ("How it was reaped", false),
        ("Why", false),
        ("At (UTC)", false),
    ];
    let start = report.runs.iter().filter_map(|run| run.start).min();
    let rows = report.worst.iter().map(|zombie| {
        let (ts, pid_, comm, ppid, parent) = match zombie {
            Long::Zombie(it) => (it.ts, it.pid, it.comm, it.ppid, it.parent_comm),
            Long::Alive(it) => (it.ts, it.pid, it.comm, it.ppid, it.parent_comm),
        };
        let (ended, how, cause, is_old) = match zombie {
            Long::Zombie(it) => {
                let phase = it.phases.map(|phases| phases.longest().as_str());
                let how = phase.map_or_else(
                    || it.how.as_str().to_owned(),
                    |phase| format!("{} (mostly {phase})", it.how.as_str()),
                );
                let status = status(it.exit_code, it.signal, it.core_dumped);
                (status, how, it.cause, it.pre_existing())
            }
            Long::Alive(it) => {
                let status = status(it.exit_code, it.signal, false);
                (status, "living".to_owned(), it.cause, it.pre_existing())
            }
        };
        let how = if is_old { how + ", pre-existing" } else { how };
        // Several runs lie over each other, each from its own start.
        let end = start
            .filter(|_| report.runs.len() == 1)
            .map(|start| ts.duration_since(start).as_nanos().max(0));
        let begin = end.map(|end| (end - i128::from(zombie.time_ns())).max(0));
        html! {
            tr .living[matches!(zombie, Long::Alive(_))] data-b=[begin] data-e=[end] {
                (zombie_for(zombie))
                (text("Command", html! { (name(Some(&comm))) }))
                (pid("PID", Some(pid_)))
                (text("Parent", html! { (of_parent(report, ppid, parent.as_ref())) }))
                (pid("Parent’s PID", ppid))
                (text("Status", html! { (ended) }))
                (text("How it was reaped", html! { (how) }))
                (text("Why", html! { @match cause { Some(cause) => (causes::link(cause)), None => "–" } }))
                (text("At (UTC)", html! { (format!("{ts:.6}").replace(['T', 'Z'], " ")) }))
            }
        }
    });
    let rows: Vec<_> = rows.collect();
    let title = match &report.conditions {
        Some(conditions) => format!("Longest zombies with {}", visible(conditions)),
        None => "Longest zombies".to_owned(),
    };
    table(
        ("longest-zombies", "longest", &title),
        "Single processes, the living and the pre-existing included.",
        &TITLES,
        "Zombie for",
        &rows,
        rows.len(),
    )
}

/// How long it was a zombie, no more exactly than that is known.
fn zombie_for(zombie: &Long) -> Markup {
    let text = match zombie {
        Long::Zombie(zombie) => lifetime::of(zombie),
        Long::Alive(alive) => human(alive.age_ns),
    };
    html! { td.n data-l="Zombie for" data-v=(zombie.time_ns()) { (text) } }
}

/// The parent's command line, or its name.
fn of_parent(report: &Report, ppid: Option<u32>, comm: Option<&crate::model::Comm>) -> String {
    let rows = &report.summary.by_parent;
    let row = rows
        .iter()
        .find(|row| row.ppid == ppid && row.comm.as_ref() == comm && ppid.is_some());
    match row.filter(|row| row.cmdline.is_some()) {
        Some(row) => {
            let text = who(row);
            let end = text.rfind(" (").unwrap_or(text.len());
            text[..end].to_owned()
        }
        None => name(comm),
    }
}

fn groups<'a>(
    ids: (&str, &str, &str),
    about: &str,
    first: &[Title],
    rows: impl Iterator<Item = (Markup, &'a GroupSummary)>,
    count: usize,
    error_ns: u64,
) -> Markup {
    let titles: Vec<_> = first.iter().copied().chain(FIGURES).collect();
    let rows = rows
        .take(MOST_ROWS)
        .enumerate()
        .map(|(index, (cells, group))| {
            html! {
                tr data-r=(index) .living[group.alive > 0] { (cells) (figures(group, error_ns)) }
            }
        });
    let rows: Vec<_> = rows.collect();
    table(ids, about, &titles, "Zombie time", &rows, count)
}

/// `error_ns`: what a zombie time is exact to.
fn figures(group: &GroupSummary, error_ns: u64) -> Markup {
    let most = Breakdown::of(group).largest();
    html! {
        td.n.f-living .none[group.alive == 0] data-l="Living" data-v=(group.alive) { (grouped(group.alive)) }
        (time("Oldest", group.oldest_ns))
        td.n.f-time data-l="Zombie time" data-v=(group.zombie_time_ns) { (human(group.zombie_time_ns)) }
        (why(group.cause, found(group).as_deref()))
        td .none[most.is_none()] data-l="Where it went" {
            (most.map_or_else(|| "–".to_owned(), |(part, share)| format!("{share:.0} % {part}")))
        }
        td.n.f-reaped data-l="Reaped" data-v=(group.reaped) { (grouped(group.reaped)) }
        (lasted("p50", group.p50_ns, error_ns))
        (lasted("p99", group.p99_ns, error_ns))
        td.n.f-max .none[group.max_ns.is_none()] data-l="Longest" data-v=[group.max_ns] {
            (group.max_ns.map_or_else(|| "–".to_owned(), |ns| lifetime::exact(ns, error_ns)))
        }
        td.n .none[group.autoreaped == 0] data-l="Autoreaped" data-v=(group.autoreaped) { (grouped(group.autoreaped)) }
    }
}

/// What was found, and when.
fn found(group: &GroupSummary) -> Option<String> {
    let text = group.cause_text.as_deref()?;
    Some(match group.looked_at {
        Some(ts) => format!("{text} (seen at {ts:.0})"),
        None => text.to_owned(),
    })
}

fn why(cause: Option<crate::model::Cause>, finding: Option<&str>) -> Markup {
    html! {
        td.wide .none[cause.is_none()] data-l="Why" {
            @match cause {
                Some(cause) => {
                    (causes::link(cause))
                    @if let Some(finding) = finding { ": " (visible(finding)) }
                }
                None => "–",
            }
        }
    }
}

/// A table with the column in which it is sorted, the largest first.
pub(super) fn table(
    (anchor, id, title): (&str, &str, &str),
    about: &str,
    titles: &[Title],
    sorted: &str,
    rows: &[Markup],
    count: usize,
) -> Markup {
    html! {
        section {
            (heading(anchor, title))
            p.soft {
                (about) " "
                @if !rows.is_empty() {
                    button type="button" .copy data-copy=(id) hidden { "Copy as Markdown" }
                }
            }
            @if rows.is_empty() {
                p { "None." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label=(title) {
                    table.rows id=(id) {
                        thead {
                            tr {
                                @for (column, is_number) in titles {
                                    th scope="col" .n[*is_number] aria-sort=[(*column == sorted).then_some("descending")] {
                                        button type="button" { (column) }
                                    }
                                }
                            }
                        }
                        tbody { @for row in rows { (row) } }
                    }
                }
                @if count > rows.len() {
                    p.soft { "… and " (grouped((count - rows.len()) as u64)) " more, which report --json lists." }
                }
            }
        }
    }
}

pub(super) fn text(label: &str, content: Markup) -> Markup {
    html! { td data-l=(label) { (content) } }
}

pub(super) fn pid(label: &str, pid: Option<u32>) -> Markup {
    html! {
        td.n .none[pid.is_none()] data-l=(label) data-v=[pid] {
            (pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string()))
        }
    }
}

/// A zombie time, no finer than its error.
fn lasted(label: &str, ns: Option<u64>, error_ns: u64) -> Markup {
    html! {
        td.n .none[ns.is_none()] data-l=(label) data-v=[ns] {
            (ns.map_or_else(|| "–".to_owned(), |ns| lifetime::exact(ns, error_ns)))
        }
    }
}

pub(super) fn time(label: &str, ns: Option<u64>) -> Markup {
    html! {
        td.n .none[ns.is_none()] data-l=(label) data-v=[ns] {
            (ns.map_or_else(|| "–".to_owned(), human))
        }
    }
}
