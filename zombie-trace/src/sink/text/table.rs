use anstyle::Style;
use jiff::tz::TimeZone;

use super::{
    Look,
    fit::{ColumnSlot, TextColumn, fit},
    row::Cells,
};
use crate::{
    model::{Alive, Cause, Zombie},
    text::{
        escape::{cut, width},
        style::{self, paint},
    },
};

/// A row a zombie, with a header that is printed once.
#[derive(Debug)]
pub struct Table {
    look: Look,
    zone: TimeZone,
    timestamps: bool,
    slots: Vec<ColumnSlot>,
}

impl Table {
    /// A table, with the time of day in `zone` if `timestamps`.
    pub fn new(look: Look, timestamps: bool, zone: TimeZone) -> Self {
        Self {
            look,
            zone,
            timestamps,
            slots: fit(look.width, timestamps),
        }
    }

    /// The terminal has another width. Gives whether that changes the columns.
    pub(super) fn resize(&mut self, width: Option<usize>) -> bool {
        self.look.width = width;
        let slots = fit(width, self.timestamps);
        let is_new = slots != self.slots;
        self.slots = slots;
        is_new
    }

    /// Where the time of day is shown.
    pub(super) fn zone(&self) -> Option<&TimeZone> {
        self.timestamps.then_some(&self.zone)
    }

    /// The names of the columns, and a newline.
    pub fn header(&self) -> String {
        self.line(|column| (column.title().to_owned(), style::HEADING))
    }

    /// A process that is gone, and a newline.
    pub fn zombie(&self, zombie: &Zombie) -> String {
        self.line(|column| zombie.cell(column, &self.zone))
    }

    /// A zombie that still exists, and a newline. Where there is no room for the cause, it takes a line of its
    /// own.
    pub fn alive(&self, alive: &Alive) -> String {
        let mut text = self.line(|column| alive.cell(column, &self.zone));
        if let Some(cause) = alive.cause
            && !self.has_room_for(cause)
        {
            text += &format!("{:8}{cause}\n", "");
        }
        text
    }

    fn has_room_for(&self, cause: Cause) -> bool {
        let mut slots = self.slots.iter();
        let slot = slots.find(|slot| slot.column == TextColumn::Why);
        slot.is_some_and(|slot| slot.width >= cause.code().len())
    }

    fn line(&self, cell: impl Fn(TextColumn) -> (String, Style)) -> String {
        let mut line = String::new();
        let mut spaces = 0;
        for slot in &self.slots {
            let (text, style) = cell(slot.column);
            let text = match self.look.width {
                Some(_) => cut(&text, slot.width),
                None => text.as_str().into(),
            };
            let padding = slot.width.saturating_sub(width(&text));
            let (before, after) = if slot.column.right() {
                (padding, 0)
            } else {
                (0, padding)
            };
            spaces += before;
            // Spaces wait for something to follow, so that no line ends in them.
            if !text.is_empty() {
                line.extend(std::iter::repeat_n(' ', spaces));
                line.push_str(&paint(&text, style, self.look.color));
                spaces = 0;
            }
            spaces += after + 1;
        }
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::{alive, zombie};

    fn table(width: Option<usize>, color: bool) -> Table {
        Table::new(Look { width, color }, true, TimeZone::UTC)
    }

    #[test]
    fn no_line_is_too_wide_whatever_the_names() {
        let zombie = Zombie {
            pid: 4_194_304,
            ppid: Some(4_194_304),
            comm: "\u{202e}\u{202e}\u{202e}\x1b\x1b\x1b".into(),
            parent_comm: Some("日本語日本".into()),
            signal: Some(26),
            core_dumped: true,
            zombie_ns: 999_000_000,
            how: crate::model::How::AutoreapOnReparent,
            reaper_pid: Some(1),
            flags: vec![crate::model::Flag::BoundedEnd; 5],
            ..zombie()
        };
        for columns in 40..200 {
            let table = table(Some(columns), false);
            for line in [table.header(), table.zombie(&zombie), table.alive(&alive())] {
                assert!(width(line.trim_end()) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn the_cause_is_there_at_every_width() {
        for cause in Cause::ALL {
            let alive = Alive {
                cause: Some(cause),
                ..alive()
            };
            for columns in 40..200 {
                let text = table(Some(columns), false).alive(&alive);
                assert!(text.contains(cause.code()), "{columns}: {text}");
            }
        }
    }

    #[test]
    fn another_width_brings_other_columns() {
        let mut table = table(Some(80), false);
        let narrow = table.header();
        assert!(!table.resize(Some(80)));
        assert!(table.resize(Some(160)));
        assert!(width(&table.header()) > width(&narrow));
    }

    #[test]
    fn without_a_width_nothing_is_cut() {
        let zombie = Zombie {
            comm: "\u{202e}\u{202e}\u{202e}".into(),
            ..zombie()
        };
        let line = table(None, false).zombie(&zombie);
        assert!(line.contains(r"\u{202e}\u{202e}\u{202e}"));
        assert!(!line.contains('…'));
    }

    #[test]
    fn no_line_ends_in_spaces() {
        for line in [
            table(None, false).zombie(&zombie()),
            table(Some(40), false).header(),
        ] {
            assert_eq!(line, format!("{}\n", line.trim_end()));
        }
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let plain = table(Some(100), false).zombie(&zombie());
        let colored = table(Some(100), true).zombie(&zombie());
        assert_ne!(plain, colored);
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
    }
}
