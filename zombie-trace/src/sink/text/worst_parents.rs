use super::{
    duration::human,
    escape::{cut, escape, width},
    style::{self, paint},
};
use crate::aggregate::ParentSummary;

/// How many are shown.
const MOST: usize = 10;
const TITLES: [&str; 10] = [
    "PPID",
    "COMM",
    "REAPED",
    "AUTOREAPED",
    "ALIVE",
    "P50",
    "P99",
    "MAX",
    "TOTAL",
    "MOSTLY",
];
const COMM: usize = 1;
/// The last one.
const MOSTLY: usize = 9;
/// To what names are cut before a column goes.
const FAIR_COMM: usize = 10;
/// Which columns go first where there is no room.
const EXPENDABLE: [&str; 7] = [
    "AUTOREAPED",
    "P50",
    "P99",
    "MOSTLY",
    "MAX",
    "ALIVE",
    "REAPED",
];

/// A table of the first few parents, as wide as its contents need but not more than `columns`.
pub(super) fn worst_parents(parents: &[ParentSummary], columns: usize, color: bool) -> String {
    let rows: Vec<_> = parents.iter().take(MOST).map(cells).collect();
    let mut widths: Vec<_> = (0..TITLES.len())
        .map(|column| {
            let cells = rows.iter().map(|row| width(&row[column]));
            Some(cells.chain([TITLES[column].len()]).max().unwrap_or(0))
        })
        .collect();
    let elastic = widths[COMM].unwrap_or(0).saturating_sub(FAIR_COMM);
    for title in EXPENDABLE {
        if total(&widths) > columns + elastic {
            let column = TITLES.iter().position(|&other| other == title);
            widths[column.expect("it is one of the titles")] = None;
        }
    }
    let excess = total(&widths).saturating_sub(columns);
    widths[COMM] = widths[COMM].map(|width| width.saturating_sub(excess));

    let titles = line(&TITLES.map(str::to_owned), &widths);
    let mut text = paint(&titles, style::HEADING, color);
    text.push('\n');
    for row in &rows {
        text += &line(row, &widths);
        text.push('\n');
    }
    match parents.len() - rows.len() {
        0 => {}
        1 => text += "  … and 1 more parent\n",
        more => text += &format!("  … and {more} more parents\n"),
    }
    text
}

fn cells(parent: &ParentSummary) -> [String; 10] {
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), human);
    [
        parent
            .ppid
            .map_or_else(|| "?".to_owned(), |pid| pid.to_string()),
        parent.comm.map_or_else(
            || "?".to_owned(),
            |comm| escape(&comm.to_str()).into_owned(),
        ),
        parent.reaped.to_string(),
        parent.autoreaped.to_string(),
        parent.alive.to_string(),
        time(parent.p50_ns),
        time(parent.p99_ns),
        time(parent.max_ns),
        human(parent.total_ns),
        parent.phases.map_or_else(
            || "-".to_owned(),
            |phases| {
                let (phase, share) = phases.worst();
                format!("{share} % {}", phase.as_str())
            },
        ),
    ]
}

fn line(cells: &[String; 10], widths: &[Option<usize>]) -> String {
    let mut line = String::new();
    for (column, (cell, column_width)) in cells.iter().zip(widths).enumerate() {
        let &Some(column_width) = column_width else {
            continue;
        };
        let cell = cut(cell, column_width);
        let padding = " ".repeat(column_width - width(&cell));
        line += "  ";
        line += &if column == COMM {
            format!("{cell}{padding}")
        } else if column == MOSTLY {
            cell.into_owned()
        } else {
            format!("{padding}{cell}")
        };
    }
    line
}

fn total(widths: &[Option<usize>]) -> usize {
    widths.iter().flatten().map(|width| width + 2).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::PhaseTotals;

    fn parent(ppid: u32) -> ParentSummary {
        ParentSummary {
            ppid: Some(ppid),
            comm: Some("systemd-journal".into()),
            reaped: 1_234_567,
            autoreaped: 12,
            alive: 3,
            p50_ns: Some(18_234),
            p99_ns: Some(1_234_567),
            max_ns: Some(123_456_789),
            total_ns: 99_900_000_000,
            phases: Some(PhaseTotals {
                parent_not_waiting_ns: 99_000_000_000,
                reap_ns: 900_000_000,
                ..PhaseTotals::default()
            }),
        }
    }

    #[test]
    fn fits_from_40_on() {
        let parents: Vec<_> = (4_194_290..4_194_304).map(parent).collect();
        for columns in 40..200 {
            for line in worst_parents(&parents, columns, false).lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn the_worst_ten_and_how_many_more() {
        let parents = |n| worst_parents(&vec![parent(1); n], 80, false);
        assert_eq!(parents(10).lines().count(), 11);
        assert!(parents(11).ends_with("  … and 1 more parent\n"));
        assert!(parents(1010).ends_with("  … and 1000 more parents\n"));
    }

    #[test]
    fn no_times_without_zombies() {
        let parent = ParentSummary {
            p50_ns: None,
            p99_ns: None,
            max_ns: None,
            ..parent(1)
        };
        assert_eq!(cells(&parent)[5..8], ["-", "-", "-"]);
    }
}
