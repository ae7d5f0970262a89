//! What the user has chosen to see.

use std::sync::Arc;

use super::{
    column::Column,
    view::{Grouping, View, Window},
};
use crate::{
    container::Container,
    filter::{Expression, Filter},
};

/// Zombies that were reaped sooner can be left out: ns.
const THRESHOLDS: [u64; 5] = [0, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// What is left out at first.
pub(crate) const DEFAULT_THRESHOLD: u64 = THRESHOLDS[1];

/// Everything that decides which rows there are, and in which order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) view: View,
    pub(crate) window: Window,
    pub(crate) grouping: Grouping,
    /// Parents stand below their ancestors, if rows are about single parents.
    pub(crate) as_tree: bool,
    /// Zombies that were reaped sooner are not listed, ns.
    pub(crate) threshold: u64,
    pub(crate) filter: Expression,
    /// Which single zombies are listed, by the command line.
    pub(crate) listed: Filter,
    /// Only this container.
    pub(crate) container: Option<Container>,
    /// Command lines with the program's path.
    pub(crate) whole_commands: bool,
    /// A living zombie of this age is marked, ns.
    pub(crate) old_ns: u64,
    pub(crate) sorts: [Sort; 6],
}

/// What a view is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) column: Column,
    /// Against the column's own direction.
    pub(crate) is_inverted: bool,
}

impl Sort {
    /// What a view is sorted by at first.
    fn at_first(view: View) -> Self {
        Self {
            column: match view {
                View::Alive => Column::Age,
                View::Reaps => Column::Time,
                _ => Column::ZombieTime,
            },
            is_inverted: false,
        }
    }
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            view: View::default(),
            window: Window::default(),
            grouping: Grouping::default(),
            as_tree: false,
            threshold: DEFAULT_THRESHOLD,
            filter: Expression::default(),
            listed: Filter::default(),
            container: None,
            whole_commands: false,
            old_ns: 5_000_000_000,
            sorts: View::ALL.map(Sort::at_first),
        }
    }
}

impl Choice {
    pub(crate) fn sort(&self) -> Sort {
        self.sorts[self.view.index()]
    }

    /// What the user has chosen to sort by.
    pub(crate) fn chosen_sort(&self) -> Option<Sort> {
        let sort = self.sort();
        (sort != Sort::at_first(self.view)).then_some(sort)
    }

    pub(crate) fn invert(&mut self) {
        let sort = &mut self.sorts[self.view.index()];
        sort.is_inverted = !sort.is_inverted;
    }

    /// Sorts by a column; by the same one again, the other way round.
    pub(crate) fn sort_by(&mut self, column: Column) {
        let sort = &mut self.sorts[self.view.index()];
        *sort = Sort {
            column,
            is_inverted: sort.column == column && !sort.is_inverted,
        };
    }

    /// Sorts by the column that many to the right, around the end if `wraps`.
    pub(crate) fn sort_step(&mut self, by: isize, wraps: bool) {
        let columns = Column::of(self.view).iter().copied();
        let columns: Vec<_> = columns.filter(|column| column.is_sortable()).collect();
        let sort = &mut self.sorts[self.view.index()];
        let Some(at) = columns.iter().position(|column| *column == sort.column) else {
            return;
        };
        let last = columns.len() as isize - 1;
        let next = at as isize + by;
        let next = match wraps {
            true => next.rem_euclid(last + 1),
            false => next.clamp(0, last),
        };
        *sort = Sort {
            column: columns[next as usize],
            is_inverted: false,
        };
    }

    /// Whether the rows make a tree.
    pub(crate) fn is_tree(&self) -> bool {
        self.as_tree && self.view == View::Parents && self.grouping == Grouping::Pid
    }

    /// Names need more room than usual.
    pub(crate) fn has_long_names(&self) -> bool {
        self.whole_commands || self.is_tree()
    }

    /// The next larger threshold, and 0 after the last.
    pub(crate) fn next_threshold(&mut self) {
        let larger = THRESHOLDS.into_iter().find(|one| *one > self.threshold);
        self.threshold = larger.unwrap_or(THRESHOLDS[0]);
    }

    /// Whether a container is among those chosen.
    pub(crate) fn is_in_container(&self, container: Option<&Container>) -> bool {
        let key = |container: &Container| -> Arc<str> { container.key() };
        self.container
            .as_ref()
            .is_none_or(|wanted| container.map(key) == Some(key(wanted)))
    }
}
