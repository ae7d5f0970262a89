//! Zombie time over time, for each row of the tables. Pure.
//!
//! Time is cut into columns of equal width, which double as the run grows longer: a bound on memory.

use foldhash::HashMap;

use crate::{
    aggregate::ParentKey,
    container::Container,
    model::{Cause, Comm},
};

/// There are at most this many columns: a quarter of the bins of the timeline, and in step with them.
pub(crate) const MOST_COLUMNS: usize = 128;
/// The width of columns at first, some ms.
const FIRST_WIDTH: u64 = 1 << 22;
/// With more rows, those with the least zombie time go.
const MOST_LANES: usize = 4096;

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum LaneRow {
    All,
    Parent(ParentKey),
    Comm(Option<Comm>),
    Container(Container),
    Cause(Option<Cause>),
}

/// What happened in a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Zombie time inside the column, in ns.
    pub(crate) time: u64,
    /// Zombies that were reaped in it.
    pub(crate) reaped: u32,
    /// The longest zombie time of those.
    pub(crate) max: u64,
}

/// The lanes of all rows.
#[derive(Debug)]
pub(crate) struct Lanes {
    width: u64,
    /// From the first column on; the last ones may be missing.
    lanes: HashMap<LaneRow, Vec<Cell>>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            width: FIRST_WIDTH,
            lanes: HashMap::default(),
        }
    }
}

impl Lanes {
    /// A zombie existed from `begin` to `end`, when it was reaped if `is_reaped`.
    pub(crate) fn add(&mut self, row: LaneRow, begin: u64, end: u64, is_reaped: bool) {
        while (end / self.width) as usize >= MOST_COLUMNS {
            self.double();
        }
        if self.lanes.len() >= MOST_LANES && !self.lanes.contains_key(&row) {
            self.fold();
        }
        let width = self.width;
        let (first, last) = ((begin.min(end) / width) as usize, (end / width) as usize);
        let lane = self.lanes.entry(row).or_default();
        if lane.len() <= last {
            lane.resize(last + 1, Cell::default());
        }
        for (column, cell) in lane.iter_mut().enumerate().take(last + 1).skip(first) {
            let start = column as u64 * width;
            let time = end.min(start + width) - begin.min(end).max(start);
            cell.time = cell.time.saturating_add(time);
        }
        if is_reaped {
            lane[last].reaped = lane[last].reaped.saturating_add(1);
            lane[last].max = lane[last].max.max(end.saturating_sub(begin));
        }
    }

    /// The width of a column, in ns.
    pub(crate) fn width(&self) -> u64 {
        self.width
    }

    /// The columns of a row.
    pub(crate) fn get(&self, row: &LaneRow) -> &[Cell] {
        self.lanes.get(row).map_or(&[], Vec::as_slice)
    }

    fn double(&mut self) {
        self.width *= 2;
        for lane in self.lanes.values_mut() {
            let pairs = lane.chunks(2).map(|pair| {
                let next = pair.get(1).copied().unwrap_or_default();
                Cell {
                    time: pair[0].time.saturating_add(next.time),
                    reaped: pair[0].reaped.saturating_add(next.reaped),
                    max: pair[0].max.max(next.max),
                }
            });
            *lane = pairs.collect();
        }
    }

    fn fold(&mut self) {
        let time = |lane: &[Cell]| {
            lane.iter()
                .fold(0_u64, |sum, cell| sum.saturating_add(cell.time))
        };
        let mut lanes: Vec<_> = self.lanes.drain().collect();
        lanes.sort_unstable_by(|(row, lane), (other_row, other)| {
            (time(other), row).cmp(&(time(lane), other_row))
        });
        lanes.truncate(MOST_LANES / 2);
        self.lanes.extend(lanes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zombie_time_is_spread_over_the_columns() {
        let mut lanes = Lanes::default();
        lanes.add(LaneRow::All, 0, 3 * FIRST_WIDTH / 2, true);
        lanes.add(LaneRow::All, FIRST_WIDTH, 2 * FIRST_WIDTH - 1, false);
        let cells = lanes.get(&LaneRow::All);
        assert_eq!(cells[0].time, FIRST_WIDTH);
        assert_eq!(cells[1].time, 3 * FIRST_WIDTH / 2 - 1);
        assert_eq!((cells[0].reaped, cells[1].reaped), (0, 1));
        assert_eq!(cells[1].max, 3 * FIRST_WIDTH / 2);
    }

    #[test]
    fn nothing_is_lost_as_a_run_grows() {
        let mut lanes = Lanes::default();
        for n in 1..=1000_u64 {
            let end = n * n * FIRST_WIDTH / 7;
            lanes.add(LaneRow::All, end.saturating_sub(n * 1000), end, true);
        }
        let cells = lanes.get(&LaneRow::All);
        assert!(cells.len() <= MOST_COLUMNS && cells.len() > MOST_COLUMNS / 4);
        assert_eq!(cells.iter().map(|cell| cell.reaped).sum::<u32>(), 1000);
        let time: u64 = cells.iter().map(|cell| cell.time).sum();
        assert_eq!(time, 1000 * 500_500);
    }

    #[test]
    fn rows_are_bounded_and_the_worst_are_kept() {
        let mut lanes = Lanes::default();
        for n in 0..3 * MOST_LANES as u32 {
            let row = LaneRow::Parent((Some(n), None));
            let time = if n == 7 { 1_000_000 } else { 1000 };
            lanes.add(row, 0, time, true);
        }
        assert!(lanes.lanes.len() <= MOST_LANES);
        assert_eq!(
            lanes.get(&LaneRow::Parent((Some(7), None)))[0].max,
            1_000_000
        );
    }
}
