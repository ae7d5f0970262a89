//! The table of a summary: parents, commands, containers or causes, the most zombie time first.

use super::{
    Tables,
    columns::{Columns, more},
    flow::{hanging, wrap},
    parent,
};
use crate::{
    aggregate::{Breakdown, By, GroupSummary, ParentSummary, Summary},
    model::Cause,
    text::{
        escape::{cut, escape},
        human, lifetime, printable,
        style::{self, paint},
    },
};

/// Below this, a row takes several lines.
const LEAST_WIDTH: usize = 76;
/// Where there is no limit, names need one.
const LONGEST_NAME: usize = 64;
const TITLES: [&str; 10] = [
    "PPID",
    "",
    "LIVING",
    "OLDEST",
    "REAPED",
    "P50",
    "P99",
    "ZOMBIE TIME",
    "MOSTLY",
    "WHY",
];
const NAME: usize = 1;

/// A row, as text.
struct Row {
    cells: [String; 10],
}

/// The table, of at most so many columns; nothing if it has no rows. `error_ns`: what a zombie time is exact
/// to.
pub(super) fn ranking(
    summary: &Summary,
    tables: Tables,
    error_ns: u64,
    columns: Option<usize>,
    color: bool,
) -> String {
    let (title, noun, all) = rows(summary, tables.by, error_ns);
    let others = others(summary, tables.by).filter(|group| is_worth_a_row(group));
    if all.is_empty() && others.is_none() {
        return String::new();
    }
    let heading = format!("{title}, by zombie time");
    let mut text = paint(&heading, style::HEADING, color) + "\n";
    let shown = &all[..all.len().min(tables.rows())];
    if !shown.is_empty() {
        text += &match columns {
            Some(columns) if columns < LEAST_WIDTH => stacked(shown, tables.by, columns),
            _ => table(shown, tables.by, columns, color),
        };
    }
    let Some(others) = others else {
        return text + &more(all.len() - shown.len(), noun);
    };
    let more = match all.len() - shown.len() {
        0 => format!("… and {noun}s"),
        1 => format!("… and 1 more {noun}, and those"),
        count => format!("… and {count} more {noun}s, and those"),
    };
    let line = format!("{more} not known or not kept apart:");
    let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    words.extend([
        format!("{} living,", others.alive),
        format!("{} reaped,", others.reaped),
        "zombie time".to_owned(),
        human(others.zombie_time_ns),
    ]);
    text + &hanging(&words, " ", 2, 4, columns.unwrap_or(usize::MAX))
}

/// Those that are not kept apart, in one row.
fn others(summary: &Summary, by: By) -> Option<&GroupSummary> {
    match by {
        By::Pid => {
            let mut rows = summary.by_parent.iter();
            let row = rows.find(|row| (row.ppid, row.comm) == (None, None));
            row.map(|row| &row.group)
        }
        By::Comm => {
            let row = summary.by_comm.iter().find(|row| row.comm.is_none());
            row.map(|row| &row.group)
        }
        By::Container => {
            let mut rows = summary.by_container.iter();
            let row = rows.find(|row| row.container.key().is_empty());
            row.map(|row| &row.group)
        }
        // Those whose cause was not determined have that in common.
        By::Cause => None,
    }
}

fn rows(summary: &Summary, by: By, error_ns: u64) -> (&'static str, &'static str, Vec<Row>) {
    let row = |ppid: String, name: String, group: &GroupSummary| Row {
        cells: cells(ppid, name, group, error_ns),
    };
    let (title, noun, rows): (_, _, Vec<(bool, Row)>) = match by {
        By::Pid => {
            let known = |one: &&ParentSummary| (one.ppid, one.comm) != (None, None);
            let rows = summary.by_parent.iter().filter(known).map(|one| {
                let ppid = one
                    .ppid
                    .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
                (
                    is_worth_a_row(&one.group),
                    row(ppid, parent::of(one), &one.group),
                )
            });
            ("parents", "parent", rows.collect())
        }
        By::Comm => {
            let rows = summary.by_comm.iter().filter_map(|one| {
                let name = printable(one.comm.as_ref()?);
                Some((
                    is_worth_a_row(&one.group),
                    row(String::new(), name, &one.group),
                ))
            });
            ("commands", "command", rows.collect())
        }
        By::Container => {
            let rows = summary.by_container.iter();
            let rows = rows.filter(|one| !one.container.key().is_empty());
            let rows = rows.map(|one| {
                let name = escape(one.container.name()).into_owned();
                (
                    is_worth_a_row(&one.group),
                    row(String::new(), name, &one.group),
                )
            });
            ("containers", "container", rows.collect())
        }
        By::Cause => {
            let rows = summary.by_cause.iter().map(|one| {
                let code = one.group.cause.map_or("not determined", Cause::code);
                (
                    is_worth_a_row(&one.group),
                    row(String::new(), code.to_owned(), &one.group),
                )
            });
            ("causes", "cause", rows.collect())
        }
    };
    let rows = rows.into_iter().filter(|(is_worth, _)| *is_worth);
    (title, noun, rows.map(|(_, row)| row).collect())
}

/// Processes that were never zombies make no row.
fn is_worth_a_row(group: &GroupSummary) -> bool {
    group.reaped > 0 || group.alive > 0 || group.zombie_time_ns > 0
}

fn cells(ppid: String, name: String, group: &GroupSummary, error_ns: u64) -> [String; 10] {
    let dash = || "-".to_owned();
    [
        ppid,
        name,
        group.alive.to_string(),
        group.oldest_ns.map_or_else(dash, human),
        group.reaped.to_string(),
        lifetime::known(group.p50_ns, error_ns),
        lifetime::known(group.p99_ns, error_ns),
        human(group.zombie_time_ns),
        Breakdown::of(group)
            .largest()
            .map_or_else(dash, |(part, share)| format!("{share:.0} % {part}")),
        group
            .cause
            .map_or_else(dash, |cause| cause.code().to_owned()),
    ]
}

fn table(rows: &[Row], by: By, columns: Option<usize>, color: bool) -> String {
    let mut titles = TITLES;
    titles[NAME] = match by {
        By::Pid => "PARENT",
        By::Comm => "COMMAND",
        By::Container => "CONTAINER",
        By::Cause => "CAUSE",
    };
    let layout = Columns {
        titles,
        left: &[NAME, 8, 9],
        name: NAME,
        fair_name: 20,
        expendable: match by {
            By::Pid => &["P50", "MOSTLY", "P99", "REAPED"],
            By::Comm | By::Container => &["PPID", "P50", "MOSTLY", "P99", "REAPED"],
            By::Cause => &["PPID", "WHY", "P50", "MOSTLY", "P99", "REAPED"],
        },
        unwanted: match by {
            By::Pid => &[],
            By::Comm | By::Container => &["PPID"],
            By::Cause => &["PPID", "WHY"],
        },
    };
    let cells = rows.iter().map(|row| {
        let mut cells = row.cells.clone();
        if columns.is_none() {
            cells[NAME] = cut(&cells[NAME], LONGEST_NAME).into_owned();
        }
        cells
    });
    layout.render(&cells.collect::<Vec<_>>(), columns, color)
}

/// Some lines per row, for narrow terminals: nothing is left out.
fn stacked(rows: &[Row], by: By, columns: usize) -> String {
    let mut text = String::new();
    for Row { cells } in rows {
        let [
            ppid,
            name,
            living,
            oldest,
            reaped,
            p50,
            p99,
            time,
            mostly,
            why,
        ] = cells;
        let head = match by {
            By::Pid => format!("{ppid} {name}"),
            _ => name.clone(),
        };
        text += &format!("  {}\n", cut(&head, columns.saturating_sub(2)));
        let mut items = vec![format!("{time} zombie time")];
        if oldest != "-" {
            items.push(format!("{living} living, the oldest {oldest}"));
        }
        if why != "-" && by != By::Cause {
            items.push(why.clone());
        }
        items.push(format!("{reaped} reaped"));
        for (label, value) in [("p50", p50), ("p99", p99)] {
            if value != "-" {
                items.push(format!("{label} {value}"));
            }
        }
        if mostly != "-" {
            items.push(mostly.clone());
        }
        text += &wrap(&items, " · ", 4, columns);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        aggregate::{Aggregate, PhaseTotals},
        model::Counts,
        text::escape::width,
    };

    fn summary(by_parent: Vec<ParentSummary>) -> Summary {
        let nothing = Aggregate::default().summary(
            Counts::default(),
            Timestamp::UNIX_EPOCH,
            Duration::from_secs(1),
        );
        Summary {
            by_parent,
            ..nothing
        }
    }

    fn parent(ppid: u32) -> ParentSummary {
        ParentSummary {
            ppid: Some(ppid),
            comm: Some("systemd-journal".into()),
            cmdline: Some("/usr/lib/systemd/systemd-journald --with=a-long-option".into()),
            place: None,
            group: GroupSummary {
                reaped: 1_234_567,
                autoreaped: 12,
                alive: 99_999,
                oldest_ns: Some(7_100_000_000),
                zombie_time_ns: 99_900_000_000,
                p50_ns: Some(18_234),
                p99_ns: Some(1_234_567),
                max_ns: Some(123_456_789),
                total_ns: 99_900_000_000,
                phases: Some(PhaseTotals {
                    parent_not_waiting_ns: 99_000_000_000,
                    reap_ns: 900_000_000,
                    ..PhaseTotals::default()
                }),
                cause: Some(Cause::ParentUninterruptible),
                ..GroupSummary::default()
            },
        }
    }

    fn shown(summary: &Summary, by: By, columns: Option<usize>) -> String {
        ranking(summary, Tables { top: 10, by }, 1000, columns, false)
    }

    #[test]
    fn fits_from_40_on_and_always_says_why() {
        let summary = summary((4_194_290..4_194_304).map(parent).collect());
        for columns in 40..200 {
            let text = shown(&summary, By::Pid, Some(columns));
            for line in text.lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
            let whys = text.matches("parent-uninterruptible").count();
            assert_eq!(whys, 10, "{columns}:\n{text}");
            assert_eq!(
                text.matches(" systemd-jou").count(),
                10,
                "{columns}:\n{text}"
            );
            assert_eq!(text.matches("99999").count(), 10, "{columns}:\n{text}");
            assert_eq!(text.matches("7.10 s").count(), 10, "{columns}:\n{text}");
        }
    }

    #[test]
    fn the_worst_and_how_many_more() {
        let parents = |n| shown(&summary(vec![parent(1); n]), By::Pid, Some(80));
        assert_eq!(parents(10).lines().count(), 12);
        assert!(parents(11).ends_with("  … and 1 more parent\n"));
        assert!(parents(1010).ends_with("  … and 1000 more parents\n"));
        // Whoever is not kept apart is no parent among others.
        let others = ParentSummary {
            ppid: None,
            comm: None,
            cmdline: None,
            ..parent(0)
        };
        let with_others = |n| {
            let rows = [vec![others.clone()], vec![parent(1); n]].concat();
            shown(&summary(rows), By::Pid, Some(120))
        };
        let sum = "not known or not kept apart: 99999 living, 1234567 reaped, zombie time 1m40s\n";
        assert!(with_others(10).ends_with(&format!("  … and parents {sum}")));
        assert!(with_others(12).ends_with(&format!("  … and 2 more parents, and those {sum}")));
        assert!(!with_others(3).contains('?'));
    }

    #[test]
    fn parents_of_no_zombie_are_left_out() {
        let parent = ParentSummary {
            group: GroupSummary {
                autoreaped: 5,
                ..GroupSummary::default()
            },
            ..parent(1)
        };
        assert_eq!(shown(&summary(vec![parent]), By::Pid, Some(80)), "");
    }
}
