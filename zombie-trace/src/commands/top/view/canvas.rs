//! Text at a place of the screen.

use ratatui::{
    buffer::{Buffer, Cell},
    layout::Rect,
    style::{Color, Modifier, Style},
};

use crate::text::{encode, escape};

/// What text looks like. Everything that colour says is said by a sign or a word as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextLook {
    Plain,
    Heading,
    Dim,
    Good,
    Bad,
    /// The selected row, or what is chosen.
    Selected,
}

/// A part of the screen.
pub(crate) struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    has_color: bool,
}

/// Signs, each with what stands for it where the locale is not UTF-8.
const SIGNS: [(char, char); 25] = [
    ('▁', '_'),
    ('▂', '.'),
    ('▃', ':'),
    ('▄', '-'),
    ('▅', '='),
    ('▆', '+'),
    ('▇', '*'),
    ('█', '#'),
    ('▓', '%'),
    ('▒', '~'),
    ('░', '.'),
    ('◆', 'T'),
    ('▲', '^'),
    ('▼', 'v'),
    ('●', '*'),
    ('▶', '>'),
    ('─', '-'),
    ('└', '`'),
    ('·', '.'),
    ('↑', '^'),
    ('↓', 'v'),
    ('←', '<'),
    ('→', '>'),
    ('…', '.'),
    ('‖', '='),
];

fn is_ascii() -> bool {
    encode("…") != "…"
}

/// The text with signs that the locale has.
fn signs(text: &str) -> String {
    let sign = |char| {
        let known = SIGNS.iter().find(|(sign, _)| *sign == char);
        known.map_or(char, |(_, plain)| *plain)
    };
    text.chars().map(sign).collect()
}

impl<'a> Canvas<'a> {
    pub(crate) fn new(buffer: &'a mut Buffer, area: Rect, has_color: bool) -> Self {
        Self {
            buffer,
            area,
            has_color,
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.area.width.into()
    }

    pub(crate) fn height(&self) -> usize {
        self.area.height.into()
    }

    /// The lines from `first` on, `count` of them.
    pub(crate) fn lines(&mut self, first: usize, count: usize) -> Canvas<'_> {
        let first = u16::try_from(first)
            .unwrap_or(u16::MAX)
            .min(self.area.height);
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        let area = Rect {
            y: self.area.y + first,
            height: count.min(self.area.height - first),
            ..self.area
        };
        Canvas::new(self.buffer, area, self.has_color)
    }

    /// Writes text that holds nothing to escape, cut at the right edge. Gives the column behind it.
    pub(crate) fn put(&mut self, x: usize, y: usize, text: &str, look: TextLook) -> usize {
        self.put_within(x, y, text, self.width().saturating_sub(x), look)
    }

    /// The same in that many columns.
    pub(crate) fn put_within(
        &mut self,
        x: usize,
        y: usize,
        text: &str,
        columns: usize,
        look: TextLook,
    ) -> usize {
        let room = columns.min(self.width().saturating_sub(x));
        if y >= self.height() || room == 0 {
            return x;
        }
        let text = if is_ascii() {
            signs(text)
        } else {
            text.to_owned()
        };
        let text = escape::cut(&text, room);
        let (left, top) = (self.area.x + x as u16, self.area.y + y as u16);
        let (end, _) = self
            .buffer
            .set_stringn(left, top, &text, room, self.style(look));
        usize::from(end - self.area.x)
    }

    /// Writes text that ends before column `end`.
    pub(crate) fn put_right(&mut self, end: usize, y: usize, text: &str, look: TextLook) {
        let width = escape::width(text);
        self.put(end.saturating_sub(width), y, text, look);
    }

    /// Changes one place of the screen.
    pub(crate) fn place(&mut self, x: usize, y: usize, change: impl FnOnce(&mut Cell)) {
        if x < self.width() && y < self.height() {
            let place = (self.area.x + x as u16, self.area.y + y as u16);
            if let Some(cell) = self.buffer.cell_mut(place) {
                change(cell);
            }
        }
    }

    /// Gives a whole line a look.
    pub(crate) fn line(&mut self, y: usize, look: TextLook) {
        if y < self.height() {
            let area = Rect {
                y: self.area.y + y as u16,
                height: 1,
                ..self.area
            };
            self.buffer.set_style(area, self.style(look));
        }
    }

    /// A line with a title in it.
    pub(crate) fn rule(&mut self, y: usize, title: &str, right: &str) {
        let width = self.width();
        self.put(0, y, &"─".repeat(width), TextLook::Dim);
        let room = width.saturating_sub(escape::width(right) + 6);
        let end = self.put_within(2, y, &format!(" {title} "), room, TextLook::Heading);
        if !right.is_empty() && end + escape::width(right) + 4 <= width {
            self.put_right(width - 2, y, &format!(" {right} "), TextLook::Dim);
        }
    }

    /// Writes a paragraph, at most `lines` lines of it. Gives how many it took.
    pub(crate) fn paragraph(
        &mut self,
        y: usize,
        indent: usize,
        text: &str,
        lines: usize,
        look: TextLook,
    ) -> usize {
        let room = self.width().saturating_sub(indent + 1).max(1);
        let wrapped = crate::text::wrap(text, Some(room));
        let all: Vec<_> = wrapped.lines().collect();
        for (number, line) in all.iter().take(lines).enumerate() {
            let is_cut = number + 1 == lines && all.len() > lines;
            let line = match is_cut {
                true => format!("{line} …"),
                false => (*line).to_owned(),
            };
            self.put_within(indent, y + number, &line, room, look);
        }
        all.len().min(lines)
    }

    /// How many lines a paragraph takes.
    pub(crate) fn lines_of(&self, indent: usize, text: &str) -> usize {
        let room = self.width().saturating_sub(indent + 1).max(1);
        crate::text::wrap(text, Some(room)).lines().count()
    }

    fn style(&self, look: TextLook) -> Style {
        let plain = Style::new();
        let colored = |color| match self.has_color {
            true => plain.fg(color),
            false => plain,
        };
        match look {
            TextLook::Plain => plain,
            TextLook::Heading => plain.add_modifier(Modifier::BOLD),
            TextLook::Dim => plain.add_modifier(Modifier::DIM),
            TextLook::Good => colored(Color::Green),
            TextLook::Bad => colored(Color::Red).add_modifier(Modifier::BOLD),
            TextLook::Selected => plain.add_modifier(Modifier::REVERSED),
        }
    }
}

/// Eight heights of a bar.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar of that many eighths, of at most one line.
pub(crate) fn bar(eighths: usize) -> char {
    match eighths {
        0 => ' ',
        eighths => HEIGHTS[(eighths - 1).min(7)],
    }
}

/// Numbers as a line of bars. The largest has the full height, and 0 the least.
pub(crate) fn sparkline(values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let height = |value: &u64| {
        let part = u128::from(*value) * 7 / u128::from(most);
        HEIGHTS[part as usize]
    };
    values.iter().map(height).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_numbers() {
        assert_eq!(sparkline(&[0, 1, 2, 4, 7]), "▁▂▃▅█");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[u64::MAX, 0]), "█▁");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn every_sign_has_another_for_plain_terminals() {
        assert_eq!(signs("▁▂ ● ▲ x"), "_. * ^ x");
        assert!(
            HEIGHTS
                .iter()
                .all(|height| SIGNS.iter().any(|(sign, _)| sign == height))
        );
    }

    #[test]
    fn nothing_is_written_outside() {
        let area = Rect::new(0, 0, 8, 2);
        let mut buffer = Buffer::empty(area);
        let mut canvas = Canvas::new(&mut buffer, area, false);
        canvas.put(5, 1, "abcdef", TextLook::Plain);
        canvas.put(9, 1, "x", TextLook::Plain);
        canvas.put(0, 2, "x", TextLook::Plain);
        canvas.put_right(8, 0, "12", TextLook::Plain);
        canvas.lines(1, 9).put(0, 0, "y", TextLook::Plain);
        canvas.lines(5, 1).put(0, 0, "z", TextLook::Plain);
        assert_eq!(buffer, Buffer::with_lines(["      12", "y    ab…"]));
    }
}
