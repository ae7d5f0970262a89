use super::{
    Tables,
    columns::{Columns, more},
};
use crate::{
    aggregate::ParentSummary,
    text::{escape::escape, human},
};

const COLUMNS: Columns<10> = Columns {
    titles: [
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
    ],
    name: 1,
    fair_name: 10,
    ragged: Some(9),
    expendable: &[
        "AUTOREAPED",
        "P50",
        "P99",
        "MOSTLY",
        "MAX",
        "ALIVE",
        "REAPED",
    ],
};

/// A table of the first few parents, as wide as its contents need but not more than `columns`.
pub(super) fn worst_parents(
    parents: &[ParentSummary],
    tables: Tables,
    columns: usize,
    color: bool,
) -> String {
    let rows: Vec<_> = parents.iter().take(tables.rows()).map(cells).collect();
    let table = COLUMNS.render(&rows, columns, color);
    table + &more(parents.len() - rows.len(), "parent")
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
        parent.group.reaped.to_string(),
        parent.group.autoreaped.to_string(),
        parent.group.alive.to_string(),
        time(parent.group.p50_ns),
        time(parent.group.p99_ns),
        time(parent.group.max_ns),
        human(parent.group.total_ns),
        parent.group.phases.map_or_else(
            || "-".to_owned(),
            |phases| {
                let (phase, share) = phases.worst();
                format!("{share} % {}", phase.as_str())
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::{GroupSummary, PhaseTotals},
        text::escape::width,
    };

    fn parent(ppid: u32) -> ParentSummary {
        ParentSummary {
            ppid: Some(ppid),
            comm: Some("systemd-journal".into()),
            cmdline: None,
            group: GroupSummary {
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
                ..GroupSummary::default()
            },
        }
    }

    #[test]
    fn fits_from_40_on() {
        let parents: Vec<_> = (4_194_290..4_194_304).map(parent).collect();
        for columns in 40..200 {
            for line in worst_parents(&parents, Tables::default(), columns, false).lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn the_worst_ten_and_how_many_more() {
        let parents = |n| worst_parents(&vec![parent(1); n], Tables::default(), 80, false);
        assert_eq!(parents(10).lines().count(), 11);
        assert!(parents(11).ends_with("  … and 1 more parent\n"));
        assert!(parents(1010).ends_with("  … and 1000 more parents\n"));
    }

    #[test]
    fn no_times_without_zombies() {
        let parent = ParentSummary {
            group: GroupSummary::default(),
            ..parent(1)
        };
        assert_eq!(cells(&parent)[5..8], ["-", "-", "-"]);
    }
}
