//! Tables of the summary: as wide as their contents need, and no wider than there is room.

use crate::text::{
    escape::{cut, width},
    style::{self, paint},
};

/// What a table is like.
pub(super) struct Columns<const N: usize> {
    pub(super) titles: [&'static str; N],
    /// Which columns are aligned to the left. Numbers are aligned to the right.
    pub(super) left: &'static [usize],
    /// The names: cut where there is no room.
    pub(super) name: usize,
    /// To what names are cut before a column goes.
    pub(super) fair_name: usize,
    /// Which columns go first where there is no room.
    pub(super) expendable: &'static [&'static str],
    /// Which columns the table does not have.
    pub(super) unwanted: &'static [&'static str],
}

impl<const N: usize> Columns<N> {
    /// The titles and a line per row, of at most so many columns of the terminal.
    pub(super) fn render(
        &self,
        rows: &[[String; N]],
        columns: Option<usize>,
        color: bool,
    ) -> String {
        let widths = self.fit(rows, columns.unwrap_or(usize::MAX / 2));
        let titles = self.line(&self.titles.map(str::to_owned), &widths);
        let mut text = paint(&titles, style::HEADING, color) + "\n";
        for row in rows {
            text += &self.line(row, &widths);
            text.push('\n');
        }
        text
    }

    /// How wide each is; `None` for those that have to go.
    fn fit(&self, rows: &[[String; N]], columns: usize) -> Vec<Option<usize>> {
        let mut widths: Vec<_> = (0..N)
            .map(|column| {
                let cells = rows.iter().map(|row| width(&row[column]));
                cells.chain([self.titles[column].len()]).max()
            })
            .collect();
        let position = |title: &str| self.titles.iter().position(|other| *other == title);
        for title in self.unwanted {
            widths[position(title).expect("it is one of the titles")] = None;
        }
        let total = |widths: &[Option<usize>]| -> usize {
            widths.iter().flatten().map(|width| width + 2).sum()
        };
        let elastic = widths[self.name]
            .unwrap_or(0)
            .saturating_sub(self.fair_name);
        for title in self.expendable {
            if total(&widths) > columns + elastic {
                widths[position(title).expect("it is one of the titles")] = None;
            }
        }
        let excess = total(&widths).saturating_sub(columns);
        widths[self.name] = widths[self.name].map(|width| width.saturating_sub(excess));
        widths
    }

    fn line(&self, cells: &[String; N], widths: &[Option<usize>]) -> String {
        let mut line = String::new();
        for (column, (cell, column_width)) in cells.iter().zip(widths).enumerate() {
            let &Some(column_width) = column_width else {
                continue;
            };
            let cell = cut(cell, column_width);
            let padding = " ".repeat(column_width - width(&cell));
            line += "  ";
            line += &if self.left.contains(&column) {
                format!("{cell}{padding}")
            } else {
                format!("{padding}{cell}")
            };
        }
        line.trim_end().to_owned()
    }
}

/// How many more there are than are shown.
pub(super) fn more(count: usize, noun: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!("  … and 1 more {noun}\n"),
        more => format!("  … and {more} more {noun}s\n"),
    }
}
