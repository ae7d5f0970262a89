use anstyle::Style;
use jiff::tz::TimeZone;

use super::Look;
use crate::{
    aggregate::Interval,
    text::{
        lifetime,
        style::{self, paint},
    },
};

/// A line an interval, with a header that comes again on each screen.
#[derive(Debug)]
pub struct Intervals {
    look: Look,
    /// What a zombie time is exact to, in ns.
    pub(super) error_ns: u64,
    /// Where the time of day is shown, and not the seconds since the begin.
    zone: Option<TimeZone>,
    columns: Vec<Column>,
    /// So many lines come after a header, if it comes again.
    screen: Option<usize>,
    lines: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Seconds,
    Time,
    Exits,
    Reaped,
    Autoreaped,
    Alive,
    P50,
    P90,
    P99,
    Max,
    Lost,
}

impl Column {
    const ALL: [Self; 11] = [
        Self::Seconds,
        Self::Time,
        Self::Exits,
        Self::Reaped,
        Self::Autoreaped,
        Self::Alive,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::Max,
        Self::Lost,
    ];

    /// Those that a narrow terminal can do without, the first first.
    const DISPENSABLE: [Self; 6] = [
        Self::Autoreaped,
        Self::P90,
        Self::Reaped,
        Self::Lost,
        Self::Max,
        Self::P50,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Seconds => "SECONDS",
            Self::Time => "TIME",
            Self::Exits => "EXITS/S",
            Self::Reaped => "REAPED",
            Self::Autoreaped => "AUTOREAP",
            Self::Alive => "ALIVE",
            Self::P50 => "P50",
            Self::P90 => "P90",
            Self::P99 => "P99",
            Self::Max => "MAX",
            Self::Lost => "LOST",
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Time => "00:00:00.0".len(),
            Self::Seconds | Self::P50 | Self::P90 | Self::P99 | Self::Max => 7,
            Self::Alive => 6,
            _ => self.title().len(),
        }
    }

    fn cell(self, interval: &Interval, zone: Option<&TimeZone>, error_ns: u64) -> (String, Style) {
        let times = &interval.zombie_ns;
        let time = |ns: Option<u64>| match ns {
            Some(ns) => (lifetime::exact(ns, error_ns), style::of_zombie(ns)),
            None => ("-".to_owned(), style::DIM),
        };
        let text = match self {
            Self::Seconds => format!("{:.1}", interval.elapsed_ns as f64 / 1e9),
            Self::Time => {
                let zone = zone.cloned().unwrap_or(TimeZone::UTC);
                let ts = interval.ts.to_zoned_datetime(zone);
                ts.strftime("%H:%M:%S.%1f").to_string()
            }
            Self::Exits => rate(interval.exits, interval.duration_ns),
            Self::Reaped => count(interval.reaped),
            Self::Autoreaped => count(interval.autoreaped),
            Self::Alive => count(interval.alive),
            Self::P50 => return time(times.p50),
            Self::P90 => return time(times.p90),
            Self::P99 => return time(times.p99),
            Self::Max => return time(times.max),
            Self::Lost => {
                let lost = interval.lost.total();
                let style = if lost > 0 {
                    style::WARNING
                } else {
                    style::PLAIN
                };
                return (count(lost), style);
            }
        };
        (text, style::PLAIN)
    }
}

impl Intervals {
    /// Lines with the time of day, if there is a zone, and a header once more when a terminal of so
    /// many rows is full.
    pub fn new(look: Look, rows: Option<usize>, zone: Option<TimeZone>) -> Self {
        Self {
            columns: columns(look.width, zone.is_some()),
            look,
            error_ns: 0,
            zone,
            screen: screen(rows),
            lines: 0,
        }
    }

    /// The terminal has another size. Gives whether that changes the columns.
    pub(super) fn resize(&mut self, width: Option<usize>, rows: Option<usize>) -> bool {
        self.look.width = width;
        self.screen = screen(rows);
        let columns = columns(width, self.zone.is_some());
        let is_new = columns != self.columns;
        self.columns = columns;
        is_new
    }

    /// The names of the columns, and a newline.
    pub fn header(&self) -> String {
        self.row(|column| (column.title().to_owned(), style::HEADING))
    }

    /// An interval, and a newline; the header before it if the last one is off the screen.
    pub fn interval(&mut self, interval: &Interval) -> String {
        let mut text = String::new();
        if self.screen.is_some_and(|screen| self.lines >= screen) {
            text += &self.header();
            self.lines = 0;
        }
        self.lines += 1;
        text + &self.row(|column| column.cell(interval, self.zone.as_ref(), self.error_ns))
    }

    fn row(&self, cell: impl Fn(Column) -> (String, Style)) -> String {
        let cells = self.columns.iter().map(|&column| {
            let (text, style) = cell(column);
            let padding = column.width().saturating_sub(text.chars().count());
            " ".repeat(padding) + &paint(&text, style, self.look.color)
        });
        cells.collect::<Vec<_>>().join(" ") + "\n"
    }
}

fn columns(width: Option<usize>, has_time_of_day: bool) -> Vec<Column> {
    let unused = match has_time_of_day {
        true => Column::Seconds,
        false => Column::Time,
    };
    let mut columns = Column::ALL.to_vec();
    columns.retain(|column| *column != unused);
    for dispensable in Column::DISPENSABLE {
        if width.is_some_and(|width| total(&columns) > width) {
            columns.retain(|column| *column != dispensable);
        }
    }
    columns
}

/// The header takes a row, and the cursor another.
fn screen(rows: Option<usize>) -> Option<usize> {
    rows.map(|rows| rows.saturating_sub(2).max(1))
}

fn total(columns: &[Column]) -> usize {
    let widths: usize = columns.iter().map(|column| column.width()).sum();
    widths + columns.len() - 1
}

/// In at most six characters.
fn count(number: u64) -> String {
    let in_tenths = |size: u64| format!("{}.{}", number / size, number % size * 10 / size);
    match number {
        0..1_000_000 => number.to_string(),
        1_000_000..1_000_000_000 => in_tenths(1_000_000) + "M",
        _ => in_tenths(1_000_000_000) + "G",
    }
}

/// So many a second.
fn rate(number: u64, duration_ns: u64) -> String {
    let rate = number as f64 * 1e9 / duration_ns.max(1) as f64;
    match rate {
        ..99.95 => format!("{rate:.1}"),
        _ => count(rate.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::fixtures::interval;

    fn intervals(width: Option<usize>, rows: Option<usize>) -> Intervals {
        let look = Look {
            width,
            color: false,
        };
        Intervals::new(look, rows, None)
    }

    #[test]
    fn no_line_is_too_wide() {
        let crowded = Interval {
            exits: u64::MAX / 2_000_000_000,
            reaped: 999_999_999,
            autoreaped: 1_000_000,
            alive: 4_194_304,
            elapsed_ns: 99_999_900_000_000,
            ..interval()
        };
        for zone in [None, Some(TimeZone::UTC)] {
            for width in 40..=130 {
                let look = Look {
                    width: Some(width),
                    color: false,
                };
                let mut lines = Intervals::new(look, None, zone.clone());
                for line in [lines.header(), lines.interval(&crowded)] {
                    assert!(line.trim_end().chars().count() <= width, "{width}: {line}");
                }
                if width >= 80 {
                    assert_eq!(lines.columns.len(), Column::ALL.len() - 1);
                }
            }
        }
    }

    #[test]
    fn the_header_comes_again_on_each_screen() {
        let headers = |rows, lines: usize| {
            let mut intervals = intervals(Some(80), rows);
            let text: String = (0..lines)
                .map(|_| intervals.interval(&interval()))
                .collect();
            text.matches("EXITS/S").count()
        };
        // The first one is written at the start.
        assert_eq!(headers(Some(24), 22), 0);
        assert_eq!(headers(Some(24), 23), 1);
        assert_eq!(headers(Some(24), 45), 2);
        assert_eq!(headers(Some(1), 3), 2);
        assert_eq!(headers(None, 1000), 0);
    }

    #[test]
    fn short_numbers() {
        for (number, text) in [
            (0, "0"),
            (999_999, "999999"),
            (1_000_000, "1.0M"),
            (999_999_999, "999.9M"),
            (1_000_000_000, "1.0G"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(rate(0, 0), "0.0");
        assert_eq!(rate(5, 2_000_000_000), "2.5");
        assert_eq!(rate(999, 10_000_000_000), "99.9");
        assert_eq!(rate(9996, 100_000_000_000), "100");
        assert_eq!(rate(30_000, 1_000_000_000), "30000");
    }

    #[test]
    fn what_is_lost_stands_out() {
        let look = Look {
            width: None,
            color: true,
        };
        let mut lossy = interval();
        lossy.lost.ring_full = 7;
        let mut intervals = Intervals::new(look, None, None);
        assert!(
            intervals
                .interval(&lossy)
                .ends_with("\x1b[1m\x1b[31m7\x1b[0m\n")
        );
        assert!(intervals.interval(&interval()).ends_with("    0\n"));
    }
}
