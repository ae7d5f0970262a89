/// A column of the table, in order of appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextColumn {
    Time,
    Pid,
    Comm,
    Ppid,
    Parent,
    Status,
    Zombie,
    Why,
    How,
    Reaper,
    Notes,
}

impl TextColumn {
    const ALL: [Self; 11] = [
        Self::Time,
        Self::Pid,
        Self::Comm,
        Self::Ppid,
        Self::Parent,
        Self::Status,
        Self::Zombie,
        Self::Why,
        Self::How,
        Self::Reaper,
        Self::Notes,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Time => "TIME",
            Self::Pid => "PID",
            Self::Comm => "COMM",
            Self::Ppid => "PPID",
            Self::Parent => "PARENT",
            Self::Status => "STATUS",
            Self::Zombie => "ZOMBIE",
            Self::Why => "WHY",
            Self::How => "HOW",
            Self::Reaper => "REAPER",
            Self::Notes => "NOTES",
        }
    }

    /// Numbers are aligned to the right.
    pub(super) fn right(self) -> bool {
        matches!(self, Self::Pid | Self::Ppid | Self::Zombie)
    }

    /// What its cells take at most, but for a few.
    fn full(self) -> usize {
        match self {
            Self::Time | Self::Comm | Self::Parent => 15,
            Self::Pid | Self::Ppid => 7,
            Self::Status => 14,
            Self::Zombie => 8,
            Self::Why => "parent-uninterruptible".len(),
            Self::How => 20,
            Self::Reaper => 22,
            Self::Notes => 24,
        }
    }

    /// What is enough for most cells.
    fn fair(self) -> usize {
        match self {
            Self::Comm | Self::Parent | Self::Reaper | Self::Notes => 12,
            Self::Status => 10,
            Self::How => 10,
            Self::Why => "signals-coalesced".len(),
            _ => self.full(),
        }
    }

    /// What is of some use still.
    fn least(self) -> usize {
        match self {
            Self::Comm => 6,
            Self::Status => 8,
            _ => self.fair(),
        }
    }
}

/// A column and how wide it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColumnSlot {
    pub(super) column: TextColumn,
    pub(super) width: usize,
}

/// Which columns there are, and how wide, so that a line of them with a space between takes at
/// most `width` columns, provided that is 40 or more.
pub(super) fn fit(width: Option<usize>, timestamps: bool) -> Vec<ColumnSlot> {
    let slot = |(column, width)| ColumnSlot { column, width };
    let columns = TextColumn::ALL
        .into_iter()
        .filter(|&column| timestamps || column != TextColumn::Time);
    let Some(width) = width else {
        return columns
            .map(|column| slot((column, column.full())))
            .collect();
    };

    let mut slots: Vec<_> = columns
        .map(|column| slot((column, column.fair())))
        .collect();
    for column in [TextColumn::Notes, TextColumn::Reaper, TextColumn::How] {
        if total(&slots) > width {
            slots.retain(|slot| slot.column != column);
        }
    }
    if total(&slots) > width {
        slots
            .iter_mut()
            .for_each(|slot| slot.width = slot.column.least());
    }
    // At 80 columns the cause is there, whatever else goes.
    for column in [
        TextColumn::Parent,
        TextColumn::Why,
        TextColumn::Status,
        TextColumn::Ppid,
    ] {
        if total(&slots) > width {
            slots.retain(|slot| slot.column != column);
        }
    }

    let wishes = [
        (TextColumn::Status, "SIGSEGV core".len()),
        (TextColumn::How, "still a zombie".len()),
        (TextColumn::Comm, TextColumn::Comm.full()),
        (TextColumn::Parent, TextColumn::Parent.full()),
        (TextColumn::Reaper, "4194304 python3".len()),
        (TextColumn::Why, TextColumn::Why.full()),
        (TextColumn::Notes, TextColumn::Notes.full()),
        (TextColumn::Status, TextColumn::Status.full()),
        (TextColumn::Reaper, TextColumn::Reaper.full()),
        (TextColumn::How, TextColumn::How.full()),
        (TextColumn::Notes, usize::MAX),
    ];
    for (column, wish) in wishes {
        let room = width.saturating_sub(total(&slots));
        if let Some(slot) = slots.iter_mut().find(|slot| slot.column == column) {
            slot.width += room.min(wish.saturating_sub(slot.width));
        }
    }
    slots
}

fn total(slots: &[ColumnSlot]) -> usize {
    slots
        .iter()
        .map(|slot| slot.width + 1)
        .sum::<usize>()
        .saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(width: usize, timestamps: bool) -> Vec<TextColumn> {
        fit(Some(width), timestamps)
            .into_iter()
            .map(|slot| slot.column)
            .collect()
    }

    #[test]
    fn never_wider_than_asked_from_40_on() {
        for timestamps in [false, true] {
            for width in 40..400 {
                assert!(total(&fit(Some(width), timestamps)) <= width, "{width}");
            }
        }
    }

    #[test]
    fn more_room_never_shows_less() {
        for timestamps in [false, true] {
            for width in 40..200 {
                let narrow = columns(width, timestamps);
                let wide = columns(width + 1, timestamps);
                assert!(narrow.iter().all(|column| wide.contains(column)), "{width}");
            }
        }
    }

    #[test]
    fn who_of_whom_and_how_long_is_always_there() {
        use TextColumn::{Comm, Pid, Ppid, Status, Time, Zombie};
        assert_eq!(columns(40, false), [Pid, Comm, Ppid, Status, Zombie]);
        assert_eq!(columns(40, true), [Time, Pid, Comm, Zombie]);
    }

    #[test]
    fn the_cause_is_there_at_80_columns() {
        for timestamps in [false, true] {
            assert!(
                columns(80, timestamps).contains(&TextColumn::Why),
                "{timestamps}"
            );
        }
    }

    #[test]
    fn everything_is_there_from_116_on() {
        assert_eq!(columns(116, false), TextColumn::ALL[1..]);
        assert_eq!(columns(132, true), TextColumn::ALL);
        assert_eq!(fit(None, true).len(), TextColumn::ALL.len());
    }
}
