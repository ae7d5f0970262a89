//! Tables, those that can be sorted with the value to sort by beside its text.

use super::escape::{escape, grouped, name};
use crate::{
    aggregate::{CauseSummary, PhaseTotals},
    commands::report::{Report, worst::Long},
    container::Runtime,
    text::{human, status},
};

/// More rows are not shown: the page stays small.
const MOST_ROWS: usize = 500;

/// A column: its title, and whether it holds numbers.
type Title = (&'static str, bool);

/// By parent.
pub(super) fn parents(report: &Report) -> String {
    const TITLES: [Title; 10] = [
        ("Parent", false),
        ("PID", true),
        ("Reaped", true),
        ("Autoreaped", true),
        ("Left", true),
        ("p50", true),
        ("p99", true),
        ("Longest", true),
        ("Total", true),
        ("Mostly", false),
    ];
    let parents = &report.summary.by_parent;
    let rows = parents.iter().take(MOST_ROWS).map(|parent| {
        [
            text(&name(parent.comm.as_ref())),
            pid(parent.ppid),
            number(parent.group.reaped),
            number(parent.group.autoreaped),
            number(parent.group.alive),
            time(parent.group.p50_ns),
            time(parent.group.p99_ns),
            time(parent.group.max_ns),
            time(Some(parent.group.total_ns)),
            mostly(parent.group.phases.as_ref()),
        ]
        .concat()
    });
    let about = "By their children's total time as zombies.";
    sortable(
        "parents",
        "Parents",
        about,
        &TITLES,
        rows,
        parents.len(),
        "Total",
    )
}

/// By the name of the processes themselves.
pub(super) fn commands(report: &Report) -> String {
    const TITLES: [Title; 8] = [
        ("Command", false),
        ("Reaped", true),
        ("Autoreaped", true),
        ("p50", true),
        ("p99", true),
        ("Longest", true),
        ("Total", true),
        ("Mostly", false),
    ];
    let names = &report.summary.by_comm;
    let rows = names.iter().take(MOST_ROWS).map(|of_name| {
        [
            text(&name(of_name.comm.as_ref())),
            number(of_name.group.reaped),
            number(of_name.group.autoreaped),
            time(of_name.group.p50_ns),
            time(of_name.group.p99_ns),
            time(of_name.group.max_ns),
            time(Some(of_name.group.total_ns)),
            mostly(of_name.group.phases.as_ref()),
        ]
        .concat()
    });
    let about = "By the name of the zombies themselves.";
    sortable(
        "commands",
        "Commands",
        about,
        &TITLES,
        rows,
        names.len(),
        "Total",
    )
}

/// By container, of those that are in one.
pub(super) fn containers(report: &Report) -> String {
    const TITLES: [Title; 10] = [
        ("Container", false),
        ("Host name", false),
        ("Runtime", false),
        ("Reaped", true),
        ("Autoreaped", true),
        ("Left", true),
        ("p50", true),
        ("p99", true),
        ("Longest", true),
        ("Total", true),
    ];
    let groups = &report.summary.by_container;
    let known = |text: Option<&str>| text.map_or_else(|| "–".to_owned(), escape);
    let rows = groups.iter().take(MOST_ROWS).map(|group| {
        let container = &group.container;
        [
            text(&escape(container.name())),
            text(&known(container.hostname.as_deref())),
            text(&known(container.runtime.map(Runtime::as_str))),
            number(group.group.reaped),
            number(group.group.autoreaped),
            number(group.group.alive),
            time(group.group.p50_ns),
            time(group.group.p99_ns),
            time(group.group.max_ns),
            time(Some(group.group.total_ns)),
        ]
        .concat()
    });
    let about = "Of zombies in containers, by the container they ended in.";
    sortable(
        "containers",
        "Containers",
        about,
        &TITLES,
        rows,
        groups.len(),
        "Total",
    )
}

/// The longest zombies.
pub(super) fn longest(report: &Report) -> String {
    const TITLES: [Title; 8] = [
        ("Zombie for", true),
        ("Command", false),
        ("PID", true),
        ("Parent", false),
        ("Parent's PID", true),
        ("Status", false),
        ("How it was reaped", false),
        ("At (UTC)", false),
    ];
    let reaped = report.worst.iter().filter_map(|zombie| match zombie {
        Long::Zombie(zombie) => Some(zombie),
        Long::Alive(_) => None,
    });
    let rows = reaped.map(|zombie| {
        let status = status(zombie.exit_code, zombie.signal, zombie.core_dumped);
        let phase = zombie
            .phases
            .as_ref()
            .map(|phases| phases.longest().as_str());
        let how = match phase {
            Some(phase) => format!("{} (mostly {phase})", zombie.how.as_str()),
            None => zombie.how.as_str().to_owned(),
        };
        [
            time(Some(zombie.zombie_ns)),
            text(&name(Some(&zombie.comm))),
            pid(Some(zombie.pid)),
            text(&name(zombie.parent_comm.as_ref())),
            pid(zombie.ppid),
            text(&status),
            text(&how),
            text(&format!("{:.6}", zombie.ts).replace(['T', 'Z'], " ")),
        ]
        .concat()
    });
    let count = report.worst.len();
    let about = "Single processes that could not, or were not, waited for.";
    sortable(
        "longest",
        "Longest zombies",
        about,
        &TITLES,
        rows,
        count,
        "Zombie for",
    )
}

/// Why zombies are left.
pub(super) fn causes(report: &Report) -> String {
    if report.summary.by_cause.is_empty() {
        return String::new();
    }
    let row = |cause: &CauseSummary| {
        let cause = &cause.group;
        let code = cause.cause.map_or("not looked at", |cause| cause.code());
        let said = cause.cause_text.as_deref().unwrap_or("–");
        format!(
            "<tr>{}<td><code>{code}</code></td>{}<td class=\"wide\">{}</td></tr>\n",
            number(cause.alive),
            time(cause.oldest_ns),
            escape(said)
        )
    };
    let rows: String = report.summary.by_cause.iter().map(row).collect();
    format!(
        "<section><h2>Why zombies are left</h2>\n<p class=\"soft\">Those that existed at the end.</p>\n\
         {}<table id=\"causes\"><thead><tr><th scope=\"col\" class=\"n\">Zombies</th>\
         <th scope=\"col\">Cause</th><th scope=\"col\" class=\"n\">Oldest</th>\
         <th scope=\"col\">What was found, and what helps</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div></section>\n",
        scroller("Why zombies are left")
    )
}

/// A table with the column in which it is sorted, the largest first.
fn sortable(
    id: &str,
    heading: &str,
    about: &str,
    titles: &[Title],
    rows: impl Iterator<Item = String>,
    count: usize,
    sorted: &str,
) -> String {
    if count == 0 {
        return String::new();
    }
    let titles: String = titles
        .iter()
        .map(|&(title, is_number)| {
            let class = if is_number { " class=\"n\"" } else { "" };
            let sort = if title == sorted {
                " aria-sort=\"descending\""
            } else {
                ""
            };
            format!("<th scope=\"col\"{class}{sort}><button type=\"button\">{title}</button></th>")
        })
        .collect();
    let rows: String = rows.map(|row| format!("<tr>{row}</tr>\n")).collect();
    let more = match count.saturating_sub(MOST_ROWS) {
        0 => String::new(),
        more => format!("<p class=\"soft\">… and {more} more, which report --json lists.</p>\n"),
    };
    format!(
        "<section><h2>{heading}</h2>\n<p class=\"soft\">{about}</p>\n{}<table id=\"{id}\">\
         <thead><tr>{titles}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n{more}</section>\n",
        scroller(heading)
    )
}

/// What is wider than a phone is moved by itself, also by the keyboard.
fn scroller(label: &str) -> String {
    format!("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\">")
}

fn text(html: &str) -> String {
    format!("<td>{html}</td>")
}

fn number(value: u64) -> String {
    format!("<td class=\"n\" data-v=\"{value}\">{}</td>", grouped(value))
}

fn pid(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("<td class=\"n\" data-v=\"{pid}\">{pid}</td>"),
        None => "<td class=\"n\">?</td>".to_owned(),
    }
}

fn time(ns: Option<u64>) -> String {
    match ns {
        Some(ns) => format!("<td class=\"n\" data-v=\"{ns}\">{}</td>", human(ns)),
        None => "<td class=\"n\">–</td>".to_owned(),
    }
}

fn mostly(phases: Option<&PhaseTotals>) -> String {
    text(&phases.map_or_else(
        || "–".to_owned(),
        |phases| {
            let (phase, share) = phases.worst();
            format!("{share} % {}", phase.as_str())
        },
    ))
}
