use super::{
    Look, Tables, doing,
    flow::{hanging, wrap},
    parent,
    ranking::ranking,
    verdict::{RunVerdict, verdict},
};
use crate::{
    aggregate::{By, Log2Histogram, ParentSummary, Summary, WhatParentsDid},
    model::{FilterLine, Running},
    text::{
        escape::{cut, width},
        human, lifetime, printable,
        style::{self, paint},
    },
};

/// Where there is no limit, bars need one.
const WIDTH: usize = 80;
const LONGEST_BAR: usize = 40;
/// So many empty rows of the histogram are shown in a row; more are shown as one.
const LONGEST_GAP: usize = 2;
/// After a list of zombies, a run without trouble has a table of so many rows.
const BRIEF: u32 = 3;
/// So many containers follow the parents.
const CONTAINERS: u32 = 5;
/// A command line is cut to so many columns.
const LONGEST_NAME: usize = 40;

/// How a summary is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    pub(super) look: Look,
    pub(super) tables: Tables,
    /// What a zombie time is exact to, in ns.
    pub(super) error_ns: u64,
    /// What was listed, if anything.
    pub(super) filter: Option<FilterLine>,
    /// It follows a list.
    pub(super) follows: bool,
}

/// The end of a run: verdict, counts, tables, percentiles, histogram, loss.
pub(super) fn render(summary: &Summary, did: Option<&WhatParentsDid>, manner: &Manner) -> String {
    let Look { width, color } = manner.look;
    let columns = width.unwrap_or(WIDTH);
    let verdict = verdict(summary, manner.error_ns);
    let is_brief = manner.follows && verdict.is_calm;
    let mut text = verdict_lines(&verdict, manner.look);
    text += &counts(summary, &verdict, manner);
    let mut tables = vec![manner.tables];
    if is_brief {
        tables[0].top = BRIEF.min(tables[0].top);
    } else if manner.tables.by == By::Pid {
        tables.push(Tables {
            top: CONTAINERS.min(manner.tables.top),
            by: By::Container,
        });
    }
    for tables in tables {
        let table = ranking(summary, tables, manner.error_ns, width, color);
        if !table.is_empty() {
            text.push('\n');
            text += &table;
        } else if manner.tables.by == By::Container {
            text += "\nno container in scope had a zombie\n";
        }
    }
    let did = doing::section(summary, did, manner.tables.rows(), manner.look);
    if !did.is_empty() {
        text.push('\n');
        text += &did;
    }
    if summary.zombie_ns.count > 0 {
        text.push('\n');
        text += &times(summary, columns, manner);
        if !is_brief {
            text.push('\n');
            text += &histogram(&summary.histogram, manner.error_ns, columns);
            if let Some(gap) = histogram_gap(summary) {
                text += &hanging(&words(gap), " ", 2, 2, columns);
            }
        }
    }
    if let Some(lost) = lost_statuses(summary) {
        text.push('\n');
        let words: Vec<_> = lost.split(' ').map(str::to_owned).collect();
        for line in hanging(&words, " ", 0, 2, columns).lines() {
            text += &(paint(line, style::WARNING, color) + "\n");
        }
    }
    text.push('\n');
    text += &loss(summary, columns, color);
    text + &forged(summary.counts.suspicious, columns, color)
}

fn verdict_lines(verdict: &RunVerdict, look: Look) -> String {
    let style = if verdict.is_calm {
        style::GOOD
    } else {
        style::WARNING
    };
    let words: Vec<_> = verdict.text.split(' ').map(str::to_owned).collect();
    let columns = look.width.unwrap_or(usize::MAX);
    hanging(&words, " ", 0, 2, columns)
        .lines()
        .map(|line| paint(line, style, look.color) + "\n")
        .collect()
}

/// The descendants that run on; nothing if there are none.
pub(super) fn running(running: &[Running]) -> String {
    /// At most this many are named.
    const NAMED: usize = 5;
    if running.is_empty() {
        return String::new();
    }
    let mut names: Vec<_> = running
        .iter()
        .take(NAMED)
        .map(|process| format!("{} ({})", printable(&process.comm), process.pid))
        .collect();
    if running.len() > NAMED {
        names.push("…".to_owned());
    }
    let count = match running.len() {
        1 => "1 descendant still runs".to_owned(),
        count => format!("{count} descendants still run"),
    };
    format!("{count}: {}\n", names.join(", "))
}

fn counts(summary: &Summary, verdict: &RunVerdict, manner: &Manner) -> String {
    let counts = &summary.counts;
    let exits = match counts.exits {
        1 => "1 exit".to_owned(),
        exits => format!("{exits} exits"),
    };
    let title = format!("{exits} in {}", human(summary.duration_ns));
    let mut items = vec![format!("{} reaped", counts.reaped)];
    if counts.autoreaped > 0 {
        items.push(format!("{} autoreaped", counts.autoreaped));
    }
    let all_living = summary.living();
    let old_living = all_living
        .saturating_sub(counts.alive)
        .min(counts.pre_existing);
    items.push(match old_living {
        0 => format!("{all_living} living"),
        _ if old_living == all_living => format!("{all_living} living, all pre-existing"),
        _ => format!("{all_living} living, {old_living} of them pre-existing"),
    });
    if let Some(oldest) = summary.oldest_ns.filter(|_| !verdict.names_oldest) {
        items.push(format!(
            "the oldest {}{}",
            human(oldest),
            its_parent(summary)
        ));
    }
    match counts.pre_existing - old_living {
        0 => {}
        count => items.push(format!("{count} pre-existing gone")),
    }
    if let Some(item) = not_listed(summary, manner.filter.as_ref()) {
        items.push(item);
    }
    let columns = manner.look.width.unwrap_or(WIDTH);
    format!(
        "{}\n{}",
        paint(&title, style::HEADING, manner.look.color),
        wrap(&items, " · ", 2, columns)
    )
}

/// Who can't learn that its children failed, because it ignores SIGCHLD: a sentence without a full stop;
/// `None` if nobody.
pub(crate) fn lost_statuses(summary: &Summary) -> Option<String> {
    /// At most this many are named.
    const NAMED: usize = 3;
    let failed = |row: &&ParentSummary| row.group.autoreaped_failed > 0;
    let mut parents: Vec<_> = summary.by_parent.iter().filter(failed).collect();
    parents.sort_by_key(|row| std::cmp::Reverse(row.group.autoreaped_failed));
    let all: u64 = parents
        .iter()
        .map(|row| row.group.autoreaped_failed)
        .fold(0, u64::saturating_add);
    let mut named: Vec<_> = parents
        .iter()
        .take(NAMED)
        .map(|row| {
            let name = parent::of(row);
            let name = cut(&name, LONGEST_NAME);
            let pid = row.ppid.map_or_else(String::new, |pid| format!(" ({pid})"));
            let (failed, of) = (row.group.autoreaped_failed, row.group.autoreaped);
            format!("{name}{pid} {failed} of {of}")
        })
        .collect();
    if parents.len() > NAMED {
        named.push(format!("{} more parents", parents.len() - NAMED));
    }
    let failures = match all {
        0 => return None,
        1 => "1 failure is lost: the parent ignores SIGCHLD, so it can't learn its children's statuses"
            .to_owned(),
        all => format!(
            "{all} failures are lost: the parent ignores SIGCHLD, so it can't learn its children's statuses"
        ),
    };
    Some(format!("{failures}: {}", named.join(", ")))
}

/// Whose child the oldest zombie is.
fn its_parent(summary: &Summary) -> String {
    let mut rows = summary.by_parent.iter();
    let row = rows.find(|row| row.group.oldest_ns == summary.oldest_ns);
    let Some((row, ppid)) = row.and_then(|row| Some((row, row.ppid?))) else {
        return String::new();
    };
    format!(
        ", a child of {} ({ppid})",
        cut(&parent::of(row), LONGEST_NAME)
    )
}

/// How many zombies that are gone the list lacks, and why.
fn not_listed(summary: &Summary, filter: Option<&FilterLine>) -> Option<String> {
    let filter = filter?;
    let autoreaped = if filter.all {
        0
    } else {
        summary.counts.autoreaped
    };
    let zombies = summary.counts.filtered.saturating_sub(autoreaped);
    let only_quick = FilterLine {
        min_ns: filter.min_ns,
        all: filter.all,
        ..FilterLine::default()
    };
    match zombies {
        0 => None,
        _ if *filter == only_quick && filter.min_ns > 0 => {
            let limit = lifetime::round(filter.min_ns);
            Some(format!("not listed: {zombies} reaped within {limit}"))
        }
        _ => Some(format!("not listed: {zombies}")),
    }
}

fn times(summary: &Summary, columns: usize, manner: &Manner) -> String {
    let times = &summary.zombie_ns;
    let line = |items: &[(&str, Option<u64>)]| {
        let item = |&(name, ns): &(&str, Option<u64>)| {
            Some(format!("{name} {}", lifetime::exact(ns?, manner.error_ns)))
        };
        wrap(
            &items.iter().filter_map(item).collect::<Vec<_>>(),
            "  ",
            2,
            columns,
        )
    };
    let mut title = match times.count {
        1 => "how long 1 zombie lasted".to_owned(),
        count => format!("how long {count} zombies lasted"),
    };
    match summary.inexact {
        0 => {}
        1 => title += "; 1 more is inexact",
        count => title += &format!("; {count} more are inexact"),
    }
    let worst = [
        ("p50", times.p50),
        ("p90", times.p90),
        ("p99", times.p99),
        ("p99.9", times.p999),
        ("max", times.max),
    ];
    let rest = [("min", times.min), ("mean", times.mean)];
    let title = cut(&title, columns);
    paint(&title, style::HEADING, manner.look.color) + "\n" + &line(&worst) + &line(&rest)
}

fn histogram(histogram: &Log2Histogram, error_ns: u64, columns: usize) -> String {
    let buckets = histogram.buckets_from(error_ns);
    let largest = buckets.iter().map(|&(_, count)| count).max().unwrap_or(0);
    let digits = largest.to_string().len();
    let mut text = String::new();
    for run in buckets.chunk_by(|(_, a), (_, b)| (*a == 0) == (*b == 0)) {
        if run[0].1 == 0 && run.len() > LONGEST_GAP {
            text += "          …\n";
            continue;
        }
        for (range, count) in run {
            let end = human(range.end);
            let start = match range.start {
                0 => "        <".to_owned(),
                start => format!("{:>7} –", human(start)),
            };
            let label = format!("  {start} {end:>7} {count:>digits$} ");
            let room = columns.saturating_sub(width(&label)).min(LONGEST_BAR);
            let line = label + &bar(*count, largest, room);
            text += line.trim_end();
            text.push('\n');
        }
    }
    text
}

/// Why the histogram lacks zombies; `None` if it has all of them.
pub(crate) fn histogram_gap(summary: &Summary) -> Option<String> {
    let counts = summary.histogram.buckets().map(|(_, count)| count);
    match counts.fold(0, u64::saturating_add) {
        0 if summary.zombie_ns.count > 0 => {
            Some("no histogram: the recording has no line for each zombie".to_owned())
        }
        count if count < summary.zombie_ns.count => Some(format!(
            "the histogram has {count} of them: the recording has no lines for the others"
        )),
        _ => None,
    }
}

fn words(text: String) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A bar of at most `room` columns, in eighths of one; what is not 0 always shows.
fn bar(count: u64, largest: u64, room: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

    let most = room as u128 * 8;
    let eighths = (u128::from(count) * most).div_ceil(u128::from(largest.max(1)));
    let eighths = usize::try_from(eighths).unwrap_or(0);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

fn loss(summary: &Summary, columns: usize, color: bool) -> String {
    let lost = &summary.counts.lost;
    if lost.is_none() && !summary.complete {
        let text = "INCOMPLETE: the recording is not whole";
        return paint(text, style::WARNING, color) + "\n";
    }
    if lost.is_none() {
        return paint("complete: nothing was lost", style::GOOD, color) + "\n";
    }
    let mut text = paint(
        "INCOMPLETE: some processes were lost",
        style::WARNING,
        color,
    );
    text.push('\n');
    let reasons = [
        (lost.ring_full, "ring buffer full", " (raise --buffer)"),
        (
            lost.map_full,
            "map of zombies full",
            " (raise --max-zombies)",
        ),
        (lost.missed, "missed by the hooks", ""),
    ];
    for (count, reason, remedy) in reasons {
        if count > 0 {
            let line = format!("{reason}: {count}{remedy}");
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            text += &wrap(&words, " ", 2, columns);
        }
    }
    text
}

/// Forgeries, if there were any.
fn forged(count: u64, columns: usize, color: bool) -> String {
    if count == 0 {
        return String::new();
    }
    let text = format!("SUSPICIOUS: {count} forged notifications or reaps were ignored");
    let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    wrap(&words, " ", 0, columns)
        .lines()
        .map(|line| paint(line, style::WARNING, color) + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        aggregate::Aggregate,
        model::{Counts, How, Zombie, fixtures},
    };

    #[test]
    fn bars() {
        assert_eq!(bar(0, 100, 10), "");
        assert_eq!(bar(100, 100, 10), "██████████");
        assert_eq!(bar(50, 100, 10), "█████");
        assert_eq!(bar(1, 1_000_000, 10), "▏");
        assert_eq!(bar(u64::MAX, u64::MAX, 3), "███");
        assert_eq!(bar(5, 10, 0), "");
        assert_eq!(bar(0, 0, 10), "");
    }

    #[test]
    fn failures_that_nobody_learns_of_are_mentioned() {
        let mut aggregate = Aggregate::default();
        for (ppid, exit_code) in [(7, 1), (7, 0), (8, 1), (8, 2), (8, 0)] {
            aggregate.zombie(
                &Zombie {
                    ppid: Some(ppid),
                    exit_code: Some(exit_code),
                    how: How::Autoreap,
                    zombie_ns: 0,
                    ..fixtures::zombie()
                },
                false,
            );
        }
        // Whoever waits learns it.
        aggregate.zombie(
            &Zombie {
                exit_code: Some(1),
                ..fixtures::zombie()
            },
            true,
        );
        let summary = |aggregate: &Aggregate| {
            aggregate.summary(
                Counts::default(),
                Timestamp::UNIX_EPOCH,
                Duration::from_secs(1),
            )
        };
        let found = summary(&aggregate);
        assert_eq!(
            lost_statuses(&found).unwrap(),
            "3 failures are lost: the parent ignores SIGCHLD, so it can't learn its children's statuses: \
             bash (8) 2 of 3, bash (7) 1 of 2"
        );
        assert!(render(&found, None, &Manner::default()).contains("3 failures are lost"));
        assert_eq!(lost_statuses(&summary(&Aggregate::default())), None);
    }

    #[test]
    fn forgeries_are_mentioned() {
        assert_eq!(forged(0, 80, false), "");
        assert_eq!(
            forged(7, 40, false),
            "SUSPICIOUS: 7 forged notifications or\nreaps were ignored\n"
        );
    }

    #[test]
    fn names_the_descendants_that_run_on() {
        let text = |count: u32| {
            let process = |pid| Running {
                pid,
                comm: "a\x1bb".into(),
            };
            running(&(1..=count).map(process).collect::<Vec<_>>())
        };
        let name = printable(&"a\x1bb".into());
        assert!(!name.contains('\x1b'));
        assert_eq!(text(0), "");
        assert_eq!(text(1), format!("1 descendant still runs: {name} (1)\n"));
        let many = text(40);
        assert!(many.starts_with("40 descendants still run: "), "{many}");
        assert!(
            many.ends_with("(5), …\n") && many.lines().count() == 1,
            "{many}"
        );
    }
}
