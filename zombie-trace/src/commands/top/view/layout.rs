//! How the lines of the screen are used.

use crate::commands::top::state::{Column, View};

/// A smaller terminal only says so.
pub(crate) const LEAST_WIDTH: u16 = 60;
pub(crate) const LEAST_HEIGHT: u16 = 15;

/// How many lines each part has. One line each is for the tabs and the footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) header: usize,
    /// What restricts the view.
    pub(crate) restriction: usize,
    /// With its headings.
    pub(crate) table: usize,
    pub(crate) details: usize,
}

/// What a mouse can point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MouseTarget {
    Tabs,
    Tab(View),
    Heading(Option<Column>),
    /// The row at that place.
    Row(usize),
}

impl Layout {
    /// `None` if there is too little room.
    pub(crate) fn of(width: u16, height: u16) -> Option<Self> {
        if width < LEAST_WIDTH || height < LEAST_HEIGHT {
            return None;
        }
        let height = usize::from(height);
        let (header, details) = match height {
            0..20 => (2, 5),
            20..30 => (3, 7),
            _ => (3, 9),
        };
        Some(Self {
            header,
            restriction: 0,
            details,
            table: height - header - details - 2,
        })
    }

    /// With lines for what restricts the view.
    pub(crate) fn with_restriction(self, lines: usize) -> Self {
        Self {
            restriction: lines,
            table: self.table - lines,
            ..self
        }
    }

    /// How many rows of a table fit.
    pub(crate) fn rows(&self) -> usize {
        self.table - 1
    }

    /// How many lines COMMAND's terminal has.
    pub(crate) fn pane(&self) -> u16 {
        u16::try_from(self.table + self.details).unwrap_or(u16::MAX)
    }

    /// The first line of the table.
    pub(crate) fn body(&self) -> usize {
        self.header + 1 + self.restriction
    }

    /// The last line.
    pub(crate) fn footer(&self) -> usize {
        self.body() + self.table + self.details
    }

    /// What a line is.
    pub(crate) fn at(&self, y: usize) -> Option<MouseTarget> {
        let body = self.body();
        match y {
            y if y == self.header => Some(MouseTarget::Tabs),
            y if y == body => Some(MouseTarget::Heading(None)),
            y if y > body && y < body + self.table => Some(MouseTarget::Row(y - body - 1)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_are_used() {
        for height in LEAST_HEIGHT..200 {
            let layout = Layout::of(80, height).unwrap();
            assert_eq!(layout.footer() + 1, usize::from(height));
            assert!(layout.rows() >= 5);
            let restricted = layout.with_restriction(3);
            assert_eq!(restricted.footer(), layout.footer());
            assert_eq!(restricted.rows() + 3, layout.rows());
        }
        assert_eq!(Layout::of(59, 40), None);
        assert_eq!(Layout::of(80, 14), None);
    }
}
