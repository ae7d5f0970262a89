use super::{
    duration::human,
    escape::{cut, escape, width},
    style::{self, paint},
};
use crate::aggregate::ContainerSummary;

/// How many are shown.
const MOST: usize = 5;
const TITLES: [&str; 6] = ["CONTAINER", "REAPED", "ALIVE", "P99", "MAX", "TOTAL"];
/// Which columns go first where there is no room.
const EXPENDABLE: [usize; 3] = [3, 2, 4];
/// Enough for the begin of an id.
const NAME: usize = 12;

/// A table of the first few containers, of at most so many columns.
pub(super) fn worst_containers(
    containers: &[ContainerSummary],
    columns: usize,
    color: bool,
) -> String {
    let rows: Vec<_> = containers.iter().take(MOST).map(cells).collect();
    let mut widths: Vec<Option<usize>> = (0..TITLES.len())
        .map(|column| {
            let cells = rows.iter().map(|row| width(&row[column]));
            cells.chain([TITLES[column].len()]).max()
        })
        .collect();
    let total = |widths: &[Option<usize>]| {
        widths
            .iter()
            .flatten()
            .map(|width| width + 2)
            .sum::<usize>()
    };
    let elastic = widths[0].unwrap_or(0).saturating_sub(NAME);
    for column in EXPENDABLE {
        if total(&widths) > columns + elastic {
            widths[column] = None;
        }
    }
    let excess = total(&widths).saturating_sub(columns);
    widths[0] = widths[0].map(|width| width.saturating_sub(excess));

    let titles = TITLES.map(str::to_owned);
    let mut text = paint(&line(&titles, &widths), style::HEADING, color) + "\n";
    for row in &rows {
        text += &line(row, &widths);
        text.push('\n');
    }
    match containers.len() - rows.len() {
        0 => {}
        1 => text += "  … and 1 more container\n",
        more => text += &format!("  … and {more} more containers\n"),
    }
    text
}

fn cells(group: &ContainerSummary) -> [String; 6] {
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), human);
    [
        escape(group.container.name()).into_owned(),
        group.reaped.to_string(),
        group.alive.to_string(),
        time(group.p99_ns),
        time(group.max_ns),
        human(group.total_ns),
    ]
}

fn line(cells: &[String; 6], widths: &[Option<usize>]) -> String {
    let mut line = String::new();
    for (column, (cell, column_width)) in cells.iter().zip(widths).enumerate() {
        let &Some(column_width) = column_width else {
            continue;
        };
        let cell = cut(cell, column_width);
        let padding = " ".repeat(column_width - width(&cell));
        line += "  ";
        line += &if column == 0 {
            format!("{cell}{padding}")
        } else {
            format!("{padding}{cell}")
        };
    }
    line
}
