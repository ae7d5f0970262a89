use super::columns::{Columns, more};
use crate::{
    aggregate::ContainerSummary,
    text::{escape::escape, human},
};

/// How many are shown.
const MOST: usize = 5;
const COLUMNS: Columns<6> = Columns {
    titles: ["CONTAINER", "REAPED", "ALIVE", "P99", "MAX", "TOTAL"],
    name: 0,
    // Enough for the begin of an id.
    fair_name: 12,
    ragged: None,
    expendable: &["P99", "ALIVE", "MAX"],
};

/// A table of the first few containers, of at most so many columns.
pub(super) fn worst_containers(
    containers: &[ContainerSummary],
    columns: usize,
    color: bool,
) -> String {
    let rows: Vec<_> = containers.iter().take(MOST).map(cells).collect();
    let table = COLUMNS.render(&rows, columns, color);
    table + &more(containers.len() - rows.len(), "container")
}

fn cells(group: &ContainerSummary) -> [String; 6] {
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), human);
    [
        escape(group.container.name()).into_owned(),
        group.group.reaped.to_string(),
        group.group.alive.to_string(),
        time(group.group.p99_ns),
        time(group.group.max_ns),
        human(group.group.total_ns),
    ]
}
