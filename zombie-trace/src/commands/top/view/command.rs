//! COMMAND's terminal, in the place of the table.

use ratatui::{
    buffer::Cell,
    style::{Color, Modifier, Style},
};

use super::canvas::Canvas;
use crate::text::visible;

/// Draws what COMMAND has written.
pub(super) fn draw(canvas: &mut Canvas<'_>, screen: &vt100::Screen, has_color: bool) {
    for y in 0..canvas.height() {
        for x in 0..canvas.width() {
            let place = (u16::try_from(y), u16::try_from(x));
            let (Ok(row), Ok(column)) = place else {
                return;
            };
            let Some(cell) = screen.cell(row, column) else {
                break;
            };
            if cell.is_wide_continuation() {
                continue;
            }
            canvas.place(x, y, |target| copy(cell, target, has_color));
        }
    }
    if !screen.hide_cursor() {
        let (row, column) = screen.cursor_position();
        let invert = |cell: &mut Cell| {
            let style = Style::new().add_modifier(Modifier::REVERSED);
            cell.set_style(style);
        };
        canvas.place(column.into(), row.into(), invert);
    }
}

/// The same text with the same looks. What could fool the terminal becomes a question mark.
fn copy(cell: &vt100::Cell, target: &mut Cell, has_color: bool) {
    let text = cell.contents();
    let text = match text {
        "" => " ",
        text if visible(text) == text => text,
        _ => "?",
    };
    target.set_symbol(text);
    let mut style = Style::new();
    if has_color {
        style = style.fg(color(cell.fgcolor())).bg(color(cell.bgcolor()));
    }
    for (is_set, modifier) in [
        (cell.bold(), Modifier::BOLD),
        (cell.dim(), Modifier::DIM),
        (cell.italic(), Modifier::ITALIC),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ] {
        if is_set {
            style = style.add_modifier(modifier);
        }
    }
    target.set_style(style);
}

fn color(color: vt100::Color) -> Color {
    match color {
        vt100::Color::Default => Color::Reset,
        vt100::Color::Idx(index) => Color::Indexed(index),
        vt100::Color::Rgb(red, green, blue) => Color::Rgb(red, green, blue),
    }
}
