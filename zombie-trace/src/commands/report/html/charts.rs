//! Charts over time. The plot is stretched to the page's width, its labels are text beside it: so
//! they have the same size on a phone.

use std::fmt::Write as _;

use crate::{
    commands::report::timeline::{Column, PARTS, Series, range_start},
    text::human,
};

/// The plot's own units.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;
/// Shades of the heat map.
const SHADES: usize = 6;
/// Ranges of lifetimes in a row of the heat map.
const RANGES_IN_A_ROW: usize = PARTS / 2;

/// How many zombies there were.
pub(super) fn alive(series: &Series) -> String {
    if series.alive.is_empty() || series.duration_ns == 0 {
        return String::new();
    }
    let most = series.alive.iter().copied().fold(0.0, f64::max);
    let step = nice_step(most.max(f64::MIN_POSITIVE) / 4.0);
    let top = (most / step).ceil().max(1.0) * step;
    let y = |value: f64| HEIGHT - value / top * HEIGHT;
    let x = |bin: usize| time_x(bin as u64 * series.bin_ns, series);
    let edge = steps(series.alive.iter().map(|&value| y(value)), x);
    let mut marks = String::new();
    let mut grid = String::new();
    for tick in 0..=(top / step).round() as u32 {
        let value = f64::from(tick) * step;
        let label = if step < 1.0 {
            format!("{value:.*}", (-step.log10()).ceil() as usize)
        } else {
            format!("{value:.0}")
        };
        mark_y(&mut marks, &mut grid, y(value), &label);
    }
    mark_time(&mut marks, &mut grid, series);
    let description = format!(
        "At most {most:.1} zombies at a time on average of {}, over {}.",
        human(series.bin_ns),
        human(series.duration_ns)
    );
    let svg = format!(
        "{grid}<path class=\"area\" d=\"{edge}V{HEIGHT}H0Z\"/><path class=\"edge\" d=\"{edge}\"/>"
    );
    format!(
        "<section><h2>Zombies at a time</h2>\n<p class=\"soft\">How many zombies there were, on \
         average of each {}; time from the begin of the run.</p>\n{}</section>\n",
        human(series.bin_ns),
        chart("chart", "Zombies at a time", &description, &svg, &marks)
    )
}

/// One of the values of a column, in ns.
type Value = fn(&Column) -> Option<u64>;

/// How long the zombies lasted that were reaped then.
pub(super) fn lifetimes(series: &Series) -> String {
    let rows: Vec<_> = series.columns.iter().map(rows).collect();
    let filled = |row: &usize| rows.iter().any(|column| column[*row] > 0);
    let all = 0..rows.first().map_or(0, Vec::len);
    let (Some(first), Some(last)) = (all.clone().find(filled), all.clone().rfind(filled)) else {
        return String::new();
    };
    // Nothing is narrower than that, and lines need room.
    let (first, last) = (first.saturating_sub(1), (last + 2).min(all.end));
    let log = |ns: u64| (ns.max(1) as f64).log2();
    let (low, high) = (log(row_start(first)), log(row_start(last)));
    let y = |ns: u64| HEIGHT - (log(ns).clamp(low, high) - low) / (high - low) * HEIGHT;
    let x = |column: usize| time_x(column as u64 * series.column_ns, series);

    let most = rows.iter().flatten().copied().max().unwrap_or(1);
    let mut shades = vec![String::new(); SHADES];
    for (column, counts) in rows.iter().enumerate() {
        for row in (first..last).filter(|&row| counts[row] > 0) {
            let (top, bottom) = (y(row_start(row + 1)), y(row_start(row)));
            let (left, right) = (x(column), x(column + 1));
            let _ = write!(
                shades[shade(counts[row], most)],
                "M{left:.1} {top:.1}H{right:.1}V{bottom:.1}H{left:.1}z"
            );
        }
    }
    let mut svg = String::new();
    let mut marks = String::new();
    for exponent in 0..19 {
        for (factor, is_major) in [(1, true), (3, false)] {
            let tick = factor * 10_u64.pow(exponent);
            // Between decades only where there are few.
            if (is_major || high - low < 8.0) && (low..=high).contains(&log(tick)) {
                mark_y(&mut marks, &mut svg, y(tick), &short(tick));
            }
        }
    }
    mark_time(&mut marks, &mut svg, series);
    for (shade, path) in shades
        .iter()
        .enumerate()
        .filter(|(_, path)| !path.is_empty())
    {
        let opacity = 0.10 + 0.60 * shade as f64 / (SHADES - 1) as f64;
        let _ = write!(
            svg,
            "<path class=\"heat\" fill-opacity=\"{opacity:.2}\" d=\"{path}\"/>"
        );
    }
    let lines: [(&str, Value); 3] = [
        ("max", |column| column.max_ns),
        ("p99", |column| column.p99_ns),
        ("p50", |column| column.p50_ns),
    ];
    for (class, value) in lines {
        let points = series.columns.iter().enumerate();
        let path = polyline(points.map(|(column, values)| {
            let middle = x(column).midpoint(x(column + 1));
            value(values).map(|ns| (middle, y(ns)))
        }));
        let _ = write!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
    }
    let description = format!(
        "For each {} the lifetimes of the zombies that were reaped then: how many, their median, \
         99th percentile and maximum, on a logarithmic scale.",
        human(series.column_ns)
    );
    format!(
        "<section><h2>Zombie time over time</h2>\n<p class=\"soft\">How long the zombies had lasted \
         that were reaped in each {}; the darker, the more. Logarithmic.</p>\n\
         <ul class=\"legend\"><li><span class=\"key rule max\"></span>longest</li>\
         <li><span class=\"key rule p99\"></span>p99</li>\
         <li><span class=\"key rule p50\"></span>median</li>\
         <li><span class=\"key\"></span>how many</li></ul>\n{}</section>\n",
        human(series.column_ns),
        chart(
            "chart tall",
            "Zombie time over time",
            &description,
            &svg,
            &marks
        )
    )
}

/// The counts of a column by row.
fn rows(column: &Column) -> Vec<u64> {
    let rows = column.lifetimes.chunks(RANGES_IN_A_ROW);
    rows.map(|ranges| ranges.iter().sum()).collect()
}

fn row_start(row: usize) -> u64 {
    range_start(row * RANGES_IN_A_ROW)
}

/// By the logarithm: one zombie among a thousand is to be seen.
fn shade(count: u64, most: u64) -> usize {
    let share = (count as f64).ln_1p() / (most as f64).ln_1p();
    ((share * SHADES as f64) as usize).min(SHADES - 1)
}

fn chart(class: &str, title: &str, description: &str, svg: &str, marks: &str) -> String {
    format!(
        "<div class=\"{class}\"><svg role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         preserveAspectRatio=\"none\"><title>{title}</title><desc>{description}</desc>{svg}</svg>\
         {marks}</div>\n"
    )
}

fn mark_y(marks: &mut String, grid: &mut String, y: f64, label: &str) {
    let bottom = (HEIGHT - y) / HEIGHT * 100.0;
    let _ = write!(
        marks,
        "<span class=\"y\" aria-hidden=\"true\" style=\"bottom:{bottom:.1}%\">{label}</span>"
    );
    let _ = write!(grid, "<path class=\"grid\" d=\"M0 {y:.1}H{WIDTH}\"/>");
}

fn mark_time(marks: &mut String, grid: &mut String, series: &Series) {
    let step = time_step(series.duration_ns / 8);
    let ticks = (0..=series.duration_ns / step).map(|tick| tick * step);
    for tick in ticks {
        let x = time_x(tick, series);
        let class = match x / WIDTH {
            ..0.02 => "x first",
            0.98.. => "x last",
            _ => "x",
        };
        let _ = write!(
            marks,
            "<span class=\"{class}\" aria-hidden=\"true\" style=\"left:{:.1}%\">{}</span>",
            x / WIDTH * 100.0,
            short(tick)
        );
        let _ = write!(grid, "<path class=\"grid\" d=\"M{x:.1} 0V{HEIGHT}\"/>");
    }
}

fn time_x(ns: u64, series: &Series) -> f64 {
    (ns as f64 / series.duration_ns.max(1) as f64 * WIDTH).min(WIDTH)
}

/// A line that is level in each bin.
fn steps(values: impl Iterator<Item = f64>, x: impl Fn(usize) -> f64) -> String {
    let mut path = String::new();
    let mut last = f64::NAN;
    for (bin, y) in values.enumerate() {
        if bin == 0 {
            let _ = write!(path, "M0 {y:.2}");
        } else if (y - last).abs() >= 0.005 {
            let _ = write!(path, "H{:.1}V{y:.2}", x(bin));
        }
        last = y;
    }
    path + &format!("H{WIDTH}")
}

/// Through the points, with gaps where there is none; a lone point is a short line.
fn polyline(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for point in points {
        if let Some((x, y)) = point {
            if drawing {
                let _ = write!(path, "L{x:.1} {y:.1}");
            } else {
                let _ = write!(path, "M{:.1} {y:.1}L{x:.1} {y:.1}", x - 2.0);
            }
        }
        drawing = point.is_some();
    }
    path
}

/// The least of 1, 2, 5, 10, 20, … (or 0.5, 0.2, …) that is not below.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps
        .into_iter()
        .find(|&step| step >= least)
        .unwrap_or(10.0 * power)
}

/// The same for times, which from a second on go by minutes, hours and days.
fn time_step(least: u64) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    const STEPS: [u64; 18] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400,
        172_800,
    ];
    if least <= SECOND / 2 {
        return nice_step(least.max(1) as f64).round() as u64;
    }
    let steps = STEPS.map(|seconds| seconds * SECOND);
    let day = 86_400 * SECOND;
    steps
        .into_iter()
        .find(|&step| step >= least)
        .unwrap_or(least.div_ceil(day) * day)
}

/// A round time, without the zeros of [`human`].
fn short(ns: u64) -> String {
    if ns == 0 {
        return "0".to_owned();
    }
    let text = human(ns);
    let Some((number, unit)) = text.split_once(' ') else {
        return text
            .replace("m00s", " min")
            .replace("h00m", " h")
            .replace("d00h", " d");
    };
    match number.contains('.') {
        true => format!(
            "{} {unit}",
            number.trim_end_matches('0').trim_end_matches('.')
        ),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (least, step) in [
            (0.3, 0.5),
            (1.0, 1.0),
            (1.1, 2.0),
            (21.0, 50.0),
            (6000.0, 10_000.0),
        ] {
            assert!((nice_step(least) - step).abs() < 1e-9, "{least}");
        }
        for (least, step) in [
            (0, "1 ns"),
            (3_000_000, "5 ms"),
            (400_000_000, "500 ms"),
            (600_000_000, "1 s"),
            (12_000_000_000, "15 s"),
            (100_000_000_000, "2 min"),
            (4_000_000_000_000, "2 h"),
            (1_000_000_000_000_000, "12 d"),
        ] {
            assert_eq!(short(time_step(least)), step, "{least}");
        }
    }

    #[test]
    fn a_line_has_gaps_where_nothing_is_known() {
        let points = [Some((1.0, 2.0)), Some((3.0, 4.0)), None, Some((5.0, 6.0))];
        assert_eq!(
            polyline(points.into_iter()),
            "M-1.0 2.0L1.0 2.0L3.0 4.0M3.0 6.0L5.0 6.0"
        );
    }

    #[test]
    fn level_parts_are_one() {
        let path = steps([1.0, 1.0, 3.0, 1.0].into_iter(), |bin| bin as f64 * 10.0);
        assert_eq!(path, "M0 1.00H20.0V3.00H30.0V1.00H1000");
    }

    #[test]
    fn one_among_many_is_seen() {
        assert_eq!(shade(1000, 1000), SHADES - 1);
        assert!(shade(30, 1000) > shade(1, 1000));
        assert_eq!(shade(1, 1), SHADES - 1);
    }

    #[test]
    fn nothing_gives_no_charts() {
        assert_eq!(
            alive(&Series::default()) + &lifetimes(&Series::default()),
            ""
        );
    }
}
