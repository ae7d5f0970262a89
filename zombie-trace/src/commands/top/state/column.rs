//! The columns of each view.

use super::view::View;

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Column {
    Pid,
    Name,
    Alive,
    Oldest,
    Rate,
    P50,
    P99,
    ZombieTime,
    Where,
    Why,
    Age,
    Status,
    ParentPid,
    Parent,
    Container,
    Time,
    Zombie,
    How,
    Mostly,
}

impl Column {
    /// Those of a view, from the left. The last takes the room that is left.
    pub(crate) fn of(view: View) -> &'static [Self] {
        match view {
            View::Parents => &[
                Self::Pid,
                Self::Name,
                Self::Alive,
                Self::Oldest,
                Self::Rate,
                Self::P50,
                Self::P99,
                Self::ZombieTime,
                Self::Where,
                Self::Why,
            ],
            View::Commands | View::Containers => &[
                Self::Name,
                Self::Alive,
                Self::Oldest,
                Self::Rate,
                Self::P50,
                Self::P99,
                Self::ZombieTime,
                Self::Where,
                Self::Why,
            ],
            View::Alive => &[
                Self::Pid,
                Self::Name,
                Self::Age,
                Self::Status,
                Self::ParentPid,
                Self::Parent,
                Self::Container,
                Self::Why,
            ],
            View::Reaps => &[
                Self::Time,
                Self::Pid,
                Self::Name,
                Self::Zombie,
                Self::Status,
                Self::How,
                Self::ParentPid,
                Self::Parent,
                Self::Container,
                Self::Mostly,
            ],
            View::Timeline => &[],
        }
    }

    /// Its heading. `view`: what the name is of.
    pub(crate) fn heading(self, view: View) -> &'static str {
        match (self, view) {
            (Self::Name, View::Parents) => "PARENT",
            (Self::Name, View::Containers) => "CONTAINER",
            (Self::Name, View::Commands) => "COMMAND",
            (Self::Name, _) => "COMM",
            (Self::Pid, _) => "PID",
            (Self::Alive, _) => "ALIVE",
            (Self::Oldest, _) => "OLDEST",
            (Self::Rate, _) => "REAP/S",
            (Self::P50, _) => "P50",
            (Self::P99, _) => "P99",
            (Self::ZombieTime, _) => "AVG ALIVE",
            (Self::Where, _) => "WHERE",
            (Self::Why, _) => "WHY",
            (Self::Age, _) => "AGE",
            (Self::Status, _) => "STATUS",
            (Self::ParentPid, _) => "PPID",
            (Self::Parent, _) => "PARENT",
            (Self::Container, _) => "CONTAINER",
            (Self::Time, _) => "TIME",
            (Self::Zombie, _) => "ZOMBIE",
            (Self::How, _) => "HOW",
            (Self::Mostly, _) => "MOSTLY",
        }
    }

    /// How many columns of the terminal it takes; at least that for one that grows. WHY is short of it only
    /// where all that can be left out has been.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Pid | Self::ParentPid | Self::Rate => 7,
            Self::Name => 14,
            Self::Alive => 6,
            Self::Oldest | Self::P50 | Self::P99 | Self::Age | Self::Zombie => 7,
            Self::ZombieTime => 10,
            Self::Where => 10,
            Self::Why => 40,
            Self::Status => 12,
            Self::Parent => 10,
            Self::Container => 12,
            Self::Time => 12,
            Self::How => 8,
            Self::Mostly => 11,
        }
    }

    /// Whether it is a number, which stands at the right.
    pub(crate) fn is_right(self) -> bool {
        !matches!(
            self,
            Self::Name
                | Self::Where
                | Self::Why
                | Self::Status
                | Self::Parent
                | Self::Container
                | Self::Time
                | Self::How
                | Self::Mostly
        )
    }

    /// Whether it gets a share of the room that is left.
    pub(crate) fn grows(self, view: View) -> bool {
        matches!(self, Self::Name | Self::Why) || view == View::Reaps && self == Self::Parent
    }

    /// Whether rows can be sorted by it.
    pub(crate) fn is_sortable(self) -> bool {
        self != Self::Where
    }

    /// Whether the largest comes first.
    pub(crate) fn is_descending(self) -> bool {
        matches!(
            self,
            Self::Alive
                | Self::Oldest
                | Self::Rate
                | Self::P50
                | Self::P99
                | Self::ZombieTime
                | Self::Age
                | Self::Time
                | Self::Zombie
        )
    }

    /// What goes first where there is too little room; `None` stays.
    fn goes(self) -> Option<u8> {
        match self {
            Self::P50 => Some(0),
            Self::ZombieTime => Some(1),
            Self::Where => Some(2),
            Self::Container => Some(3),
            Self::How => Some(4),
            Self::P99 => Some(5),
            Self::Rate => Some(6),
            Self::Status => Some(7),
            Self::Parent => Some(8),
            Self::Time => Some(9),
            Self::Mostly => Some(10),
            _ => None,
        }
    }
}

/// Whole command lines and names in a tree have at least that, at the cost of WHY.
const LONG_NAME: usize = 28;
const WHY_BESIDE_IT: usize = 26;

/// The columns of a view that fit, each with its width.
///
/// `is_whole`: names get the larger part of the room that is left. `kept`: stays even where WHY gets less
/// room by that.
pub(crate) fn fitting(
    view: View,
    width: usize,
    is_whole: bool,
    kept: Option<Column>,
) -> Vec<(Column, usize)> {
    let mut columns = Column::of(view).to_vec();
    let width_of = |column: Column| match column {
        Column::Name if is_whole && view == View::Parents => LONG_NAME,
        Column::Why if is_whole && view == View::Parents => WHY_BESIDE_IT,
        column => column.width(),
    };
    let needed = |columns: &[Column]| {
        columns
            .iter()
            .map(|column| width_of(*column) + 1)
            .sum::<usize>()
    };
    // The mark and a space stand in front.
    let room = width.saturating_sub(1);
    let goes = |column: &Column| column.goes().filter(|_| Some(*column) != kept);
    while needed(&columns) > room
        && let Some(first) = columns.iter().filter_map(goes).min()
    {
        columns.retain(|column| goes(column) != Some(first));
    }
    let mut spare = room.saturating_sub(needed(&columns));
    let lack = needed(&columns).saturating_sub(room);
    // A long name gives half of it.
    let of_name = (lack / 2).min(width_of(Column::Name) - Column::Name.width());
    let mut widths: Vec<_> = columns
        .iter()
        .map(|column| match column {
            Column::Why => (*column, width_of(*column).saturating_sub(lack - of_name)),
            Column::Name => (*column, width_of(*column) - of_name),
            _ => (*column, width_of(*column)),
        })
        .collect();
    let growing = widths
        .iter()
        .filter(|(column, _)| column.grows(view))
        .count();
    let mut left = growing;
    for (column, width) in widths.iter_mut().filter(|(column, _)| column.grows(view)) {
        let is_name = matches!(column, Column::Name | Column::Parent);
        let share = match (left, is_name && is_whole) {
            (1, _) => spare,
            (_, true) => spare * 2 / 3,
            // What it is takes less than why.
            (_, false) => (spare / left).min(24),
        };
        *width += share;
        spare -= share;
        left -= 1;
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headings(view: View, width: usize) -> Vec<&'static str> {
        let columns = fitting(view, width, false, None);
        columns
            .iter()
            .map(|(column, _)| column.heading(view))
            .collect()
    }

    #[test]
    fn why_is_never_left_out() {
        for width in 50..200 {
            let headings = headings(View::Parents, width);
            assert!(
                headings.contains(&"WHY") && headings.contains(&"PARENT"),
                "{width}"
            );
        }
        assert_eq!(
            headings(View::Parents, 80),
            ["PID", "PARENT", "ALIVE", "OLDEST", "WHY"]
        );
        assert_eq!(headings(View::Parents, 80), headings(View::Parents, 60));
        assert_eq!(
            headings(View::Parents, 120),
            [
                "PID",
                "PARENT",
                "ALIVE",
                "OLDEST",
                "REAP/S",
                "P99",
                "AVG ALIVE",
                "WHERE",
                "WHY"
            ]
        );
        assert_eq!(headings(View::Parents, 140).len(), 10);
    }

    #[test]
    fn why_has_room_before_other_columns() {
        for view in [View::Parents, View::Commands, View::Containers, View::Alive] {
            for width in 80..250 {
                let columns = fitting(view, width, false, None);
                let why = columns.iter().find(|(column, _)| *column == Column::Why);
                assert!(
                    why.is_some_and(|(_, width)| *width >= 38),
                    "{view:?} {width}"
                );
            }
        }
    }

    #[test]
    fn what_rows_are_sorted_by_is_never_left_out() {
        for view in View::ALL.into_iter().filter(|view| *view != View::Timeline) {
            for kept in Column::of(view)
                .iter()
                .copied()
                .filter(|column| column.is_sortable())
            {
                for width in 60..250 {
                    let columns = fitting(view, width, false, Some(kept));
                    assert!(
                        columns.iter().any(|(column, _)| *column == kept),
                        "{view:?} {width} {kept:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_columns_fill_the_line_and_no_more() {
        for view in View::ALL.into_iter().filter(|view| *view != View::Timeline) {
            for width in 60..250 {
                for is_whole in [false, true] {
                    for kept in Column::of(view).iter().copied().map(Some).chain([None]) {
                        let columns = fitting(view, width, is_whole, kept);
                        let used: usize = columns.iter().map(|(_, width)| width + 1).sum();
                        assert!(used < width, "{view:?} {width} {kept:?}: {used}");
                    }
                }
            }
        }
    }
}
