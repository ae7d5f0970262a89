//! The rows of a view.

use super::{
    canvas::{Canvas, TextLook},
    scene::Scene,
};
use crate::commands::top::state::{BindingKind, Choice, Column, Content, TopRow, View, fitting};

/// A character for each phase, in the order of `Phase::ALL`.
pub(super) const PHASES: [char; 5] = ['▓', '█', '▒', '◆', '░'];

/// The columns that fit, each with its width. One that the user has chosen to sort by is among them.
fn columns(choice: &Choice, width: usize) -> Vec<(Column, usize)> {
    let kept = choice.chosen_sort().map(|sort| sort.column);
    fitting(choice.view, width, choice.has_long_names(), kept)
}

/// Draws headings and rows.
pub(super) fn draw(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let choice = &scene.ui.choice;
    let columns = columns(choice, canvas.width());
    let sort = choice.sort();
    for (column, x, width) in places(&columns) {
        let is_sorted = column == sort.column;
        let mut heading = column.heading(choice.view).to_owned();
        if is_sorted {
            heading.push(if column.is_descending() == sort.is_inverted {
                '▲'
            } else {
                '▼'
            });
        }
        let look = if is_sorted {
            TextLook::Heading
        } else {
            TextLook::Dim
        };
        cell(canvas, column, x, 0, width, &heading, look);
    }
    let shown = canvas.height().saturating_sub(1);
    let rows = scene
        .table
        .rows
        .iter()
        .enumerate()
        .skip(scene.ui.first)
        .take(shown);
    for (line, (index, row)) in (1..).zip(rows) {
        let is_marked = row.is_marked(choice.old_ns);
        let base = match is_marked {
            true => TextLook::Bad,
            false => TextLook::Plain,
        };
        if is_marked {
            canvas.put(0, line, "!", TextLook::Bad);
        }
        for (column, x, width) in places(&columns) {
            let look = match column {
                Column::Pid | Column::Alive | Column::Oldest | Column::Age => base,
                _ => TextLook::Plain,
            };
            let text = match column {
                Column::Where => split(row, width),
                Column::Why if row.lacks_cause() => no_cause(scene.ui.run).to_owned(),
                Column::Why => whole_words(row.why(), width),
                column => row.text(column, scene.zone),
            };
            cell(canvas, column, x, line, width, &text, look);
        }
        if index == scene.ui.selected {
            canvas.line(line, TextLook::Selected);
        }
    }
    if scene.table.rows.is_empty() {
        canvas.put(2, 2, &nothing(scene), TextLook::Dim);
    }
}

/// Where each column begins.
fn places(columns: &[(Column, usize)]) -> impl Iterator<Item = (Column, usize, usize)> {
    let mut x = 1;
    columns.iter().map(move |(column, width)| {
        let begin = x;
        x += width + 1;
        (*column, begin, *width)
    })
}

/// The column at that place of the headings.
pub(super) fn column_at(scene: &Scene<'_>, width: usize, x: usize) -> Option<Column> {
    let choice = &scene.ui.choice;
    let columns = columns(choice, width);
    let mut places = places(&columns);
    let found = places.find(|(_, begin, width)| (*begin..begin + width).contains(&x));
    found.map(|(column, ..)| column)
}

fn cell(
    canvas: &mut Canvas<'_>,
    column: Column,
    x: usize,
    y: usize,
    width: usize,
    text: &str,
    look: TextLook,
) {
    match column.is_right() {
        true => {
            let used = crate::text::escape::width(text);
            canvas.put_within(x + width.saturating_sub(used), y, text, width, look);
        }
        false => {
            canvas.put_within(x, y, text, width, look);
        }
    }
}

/// A bar that says how the zombie time is split.
fn split(row: &TopRow, width: usize) -> String {
    let Content::Group(figures) = &row.content else {
        return String::new();
    };
    let total: u128 = figures.phases.iter().map(|time| u128::from(*time)).sum();
    if total == 0 {
        return String::new();
    }
    let mut bar = String::new();
    let (mut sum, mut drawn) = (0_u128, 0);
    for (time, sign) in figures.phases.iter().zip(PHASES) {
        sum += u128::from(*time);
        let end = ((sum * width as u128 + total / 2) / total) as usize;
        bar.extend(std::iter::repeat_n(sign, end.saturating_sub(drawn)));
        drawn = end.max(drawn);
    }
    bar
}

/// The text, cut behind a word if it is too wide: half a number would be a wrong one.
fn whole_words(text: String, columns: usize) -> String {
    let width = crate::text::escape::width;
    if width(&text) <= columns {
        return text;
    }
    let ends = text.match_indices(' ').map(|(end, _)| &text[..end]);
    // A number is nothing without its unit.
    let ends_in_number = |start: &str| {
        start
            .rsplit(' ')
            .next()
            .is_some_and(|word| word.starts_with(|char: char| char.is_ascii_digit()))
    };
    let mut fitting = ends.filter(|start| width(start) < columns && !ends_in_number(start));
    match fitting.next_back() {
        Some(start) => format!("{}…", start.trim_end_matches([':', ',', ' '])),
        None => text,
    }
}

/// Why there is no cause of living zombies.
fn no_cause(run: BindingKind) -> &'static str {
    match run {
        BindingKind::Replay => "not in the recording",
        BindingKind::Live | BindingKind::WithCommand => "not examined yet",
    }
}

fn nothing(scene: &Scene<'_>) -> String {
    // What hides them, and how to lift that, stands above the table.
    match (scene.table.hidden, scene.ui.choice.view) {
        (1, _) => "1 row is hidden.".to_owned(),
        (2.., _) => format!("All {} rows are hidden.", scene.table.hidden),
        (0, View::Alive) => "There are no living zombies.".to_owned(),
        (0, View::Containers) => "No process has ended in a container.".to_owned(),
        (0, View::Reaps) => "There are no reaped zombies to list.".to_owned(),
        (0, _) => "No process has ended.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_cut() {
        let cut = |columns| whole_words("never-waits: for 7.46 s it sleeps".to_owned(), columns);
        assert_eq!(cut(33), "never-waits: for 7.46 s it sleeps");
        assert_eq!(cut(32), "never-waits: for 7.46 s it…");
        assert_eq!(cut(22), "never-waits: for…");
        assert_eq!(cut(21), "never-waits: for…");
        assert_eq!(cut(14), "never-waits…");
    }
}
