//! The help screen: the table of the keys.

use super::canvas::{Canvas, TextLook};
use crate::commands::top::state::{BindingKind, SECTIONS, is_now};

/// Columns that a key takes.
const KEYS: usize = 11;
/// Two columns of text need that.
const WIDE: usize = 112;

/// The lines of it, each with the keys and what they do; a heading has no keys.
fn lines(sections: &[usize], run: BindingKind) -> Vec<(&'static str, &'static str)> {
    let mut lines = Vec::new();
    for section in sections.iter().map(|index| &SECTIONS[*index]) {
        if !lines.is_empty() {
            lines.push(("", ""));
        }
        lines.push(("", section.title));
        let bindings = section
            .bindings
            .iter()
            .filter(|binding| is_now(binding, run));
        lines.extend(bindings.map(|binding| (binding.shown, binding.help)));
    }
    lines
}

/// Draws it, from a line on.
pub(super) fn draw(canvas: &mut Canvas<'_>, first: usize, run: BindingKind) {
    canvas.rule(0, "Help", "↑ ↓ scroll, any other key closes it");
    let width = canvas.width();
    let columns: &[&[usize]] = match width >= WIDE {
        true => &[&[0, 1, 4], &[2, 3]],
        false => &[&[0, 1, 2, 3, 4]],
    };
    let each = width / columns.len();
    let room = canvas.height().saturating_sub(2);
    let mut is_cut = false;
    for (number, sections) in columns.iter().enumerate() {
        let lines = lines(sections, run);
        let first = first.min(lines.len().saturating_sub(room));
        is_cut |= lines.len() > first + room;
        let x = 1 + number * each;
        for (y, (keys, text)) in (1..).zip(lines.into_iter().skip(first).take(room)) {
            match keys {
                "" => {
                    canvas.put_within(x, y, text, each - 2, TextLook::Heading);
                }
                keys => {
                    canvas.put_within(x, y, keys, KEYS, TextLook::Plain);
                    let text_x = x + KEYS + 1;
                    canvas.put_within(
                        text_x,
                        y,
                        text,
                        each.saturating_sub(KEYS + 3),
                        TextLook::Plain,
                    );
                }
            }
        }
    }
    if is_cut {
        canvas.put(1, room + 1, "↓ more", TextLook::Dim);
    }
}
