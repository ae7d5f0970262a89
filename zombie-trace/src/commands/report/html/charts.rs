//! Charts over time. The plot is stretched to the page's width, its labels are text beside it: so
//! they have the same size on a phone.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::sections::heading;
use crate::{
    commands::report::{
        Report,
        lanes::LaneRow,
        timeline::{PARTS, TimeSlice, TimelineSeries, range_start},
        verdict::who,
    },
    text::{human, visible},
};

/// The plot's own units.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;
/// Parents that have a colour.
const BANDS: usize = 7;
/// Shades of the heat map.
const SHADES: usize = 6;
/// Ranges of lifetimes in a row of the heat map.
const RANGES_IN_A_ROW: usize = PARTS / 2;

/// The parents of the most zombie time: name, and row of the table. They have a band each in the chart of
/// living zombies.
pub(super) fn bands(report: &Report) -> Vec<(String, usize)> {
    let parents = report.summary.by_parent.iter().enumerate();
    let shown = parents.filter(|(_, parent)| {
        let cells = report
            .lanes
            .get(&LaneRow::Parent((parent.ppid, parent.comm)));
        parent.ppid.is_some() && cells.iter().any(|cell| cell.time > 0)
    });
    shown
        .take(BANDS)
        .map(|(row, parent)| (who(parent), row))
        .collect()
}

/// How many living zombies a row had, on average of each column.
fn living(report: &Report, row: &LaneRow) -> Vec<f64> {
    let width = report.lanes.width();
    let cells = report.lanes.get(row).iter().enumerate();
    let living = cells.map(|(column, cell)| {
        let start = column as u64 * width;
        let span = report
            .timeline
            .duration_ns
            .saturating_sub(start)
            .clamp(1, width);
        cell.time as f64 / span as f64
    });
    living.collect()
}

fn parent_row(report: &Report, index: usize) -> LaneRow {
    let parent = &report.summary.by_parent[index];
    LaneRow::Parent((parent.ppid, parent.comm))
}

/// How many living zombies there were, by parent.
pub(super) fn alive(report: &Report) -> Markup {
    let series = &report.timeline;
    if series.alive.is_empty() || series.duration_ns == 0 {
        return html! {};
    }
    let most = series.alive.iter().copied().fold(0.0, f64::max);
    let all = living(report, &LaneRow::All);
    let highest = all.iter().copied().fold(most, f64::max);
    let step = nice_step(highest.max(f64::MIN_POSITIVE) / 4.0);
    let top = (highest / step).ceil().max(1.0) * step;
    let y = |value: f64| HEIGHT - value / top * HEIGHT;
    let x = |bin: usize| time_x(bin as u64 * series.bin_ns, series);
    let edge = steps(series.alive.iter().map(|&value| y(value)), x);
    let mut marks = Marks::default();
    for tick in 0..=(top / step).round() as u32 {
        let value = f64::from(tick) * step;
        let label = if step < 1.0 {
            format!("{value:.*}", (-step.log10()).ceil() as usize)
        } else {
            format!("{value:.0}")
        };
        marks.y(y(value), &label);
    }
    marks.time(series);

    // From the bottom up, the worst parent first; the rest of the area is of the others.
    let bands = bands(report);
    let mut below = vec![0.0; all.len()];
    let mut areas = Vec::new();
    let column_x = |column: usize| time_x(column as u64 * report.lanes.width(), series);
    for (_, row) in &bands {
        let living = living(report, &parent_row(report, *row));
        let base = below.clone();
        for (sum, value) in below.iter_mut().zip(living) {
            *sum += value;
        }
        areas.push(band(&base, &below, y, column_x));
    }
    let description = format!(
        "At most {most:.1} living zombies, on average of {}, over {}.",
        human(series.bin_ns),
        human(series.duration_ns)
    );
    let svg = html! {
        path.area d={ (edge) "V" (HEIGHT) "H0Z" } {}
        @for (number, area) in areas.iter().enumerate() { path class={ "band b" (number) } d=(area) {} }
        path.edge d=(edge) {}
    };
    html! {
        section {
            (heading("over-time", "Living zombies by parent"))
            p.soft {
                "How many zombies there were, on average of each " (human(series.bin_ns))
                "; time from the start of the run."
                @if !all.is_empty() { span.hint hidden { " Drag over it to select a part of the run." } }
            }
            ul.legend {
                @for (number, (name, _)) in bands.iter().enumerate() {
                    li { span class={ "key b" (number) } {} (name) }
                }
                li { span.key.rest {} @if bands.is_empty() { "all" } @else { "others" } }
            }
            (chart("chart-alive", "chart", "Living zombies by parent", &description, &svg, &marks))
        }
    }
}

/// One of the values of a column, in ns.
type Value = fn(&TimeSlice) -> Option<u64>;

/// The shortest and longest duration that the chart shows, as binary logarithms.
pub(super) fn scale(report: &Report) -> Option<(f64, f64)> {
    let rows: Vec<_> = report.timeline.columns.iter().map(rows).collect();
    let count = rows.first().map_or(0, Vec::len);
    let filled = |row: &usize| rows.iter().any(|column| column[*row] > 0);
    let of_dots = report.dots.iter().map(|dot| log(dot.time_ns.max(FLOOR)));
    let first = (0..count)
        .find(filled)
        .map(|row| log(row_start(row.saturating_sub(1))));
    let last = (0..count)
        .rfind(filled)
        .map(|row| log(row_start((row + 2).min(count))));
    let low = of_dots.clone().chain(first).min_by(f64::total_cmp)?;
    let high = of_dots.chain(last).max_by(f64::total_cmp)?;
    // Dots are round, and need room.
    Some((low - 0.5, high.max(low + 1.0) + 0.5))
}

/// Shorter durations stand at the bottom.
const FLOOR: u64 = 128;

fn log(ns: u64) -> f64 {
    (ns.max(1) as f64).log2()
}

/// How long each zombie lasted, and when it was reaped.
pub(super) fn lifetimes(report: &Report) -> Markup {
    let series = &report.timeline;
    let Some((low, high)) = scale(report).filter(|_| series.duration_ns > 0) else {
        return html! {};
    };
    let rows: Vec<_> = series.columns.iter().map(rows).collect();
    let y = |ns: u64| HEIGHT - (log(ns).clamp(low, high) - low) / (high - low) * HEIGHT;
    let x = |column: usize| time_x(column as u64 * series.column_ns, series);

    let is_thinned = report.dots.iter().any(|dot| dot.count > 1);
    let has_dots = !report.dots.is_empty();
    // Without a dot for each zombie, the ground shows how many there are.
    let is_shaded = is_thinned || !has_dots || report.conditions.is_some();
    let most = rows.iter().flatten().copied().max().unwrap_or(1);
    let mut shades = vec![String::new(); SHADES];
    for (column, counts) in rows.iter().enumerate().filter(|_| is_shaded) {
        for (row, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (top, bottom) = (y(row_start(row + 1)), y(row_start(row)));
            let (left, right) = (x(column), x(column + 1));
            let _ = write!(
                shades[shade(count, most)],
                "M{left:.1} {top:.1}H{right:.1}V{bottom:.1}H{left:.1}z"
            );
        }
    }
    let mut marks = Marks::default();
    for exponent in 0..19 {
        for (factor, is_major) in [(1, true), (3, false)] {
            let tick = factor * 10_u64.pow(exponent);
            // Between decades only where there are few.
            if (is_major || high - low < 8.0) && (low..=high).contains(&log(tick)) {
                marks.y(y(tick), &short(tick));
            }
        }
    }
    marks.time(series);
    let lines: [(&str, Value); 3] = [
        ("max", |column| column.max_ns),
        ("p99", |column| column.p99_ns),
        ("p50", |column| column.p50_ns),
    ];
    let lines = lines.map(|(class, value)| {
        let points = series.columns.iter().enumerate();
        let path = polyline(points.map(|(column, values)| {
            let middle = x(column).midpoint(x(column + 1));
            value(values).map(|ns| (middle, y(ns)))
        }));
        (class, path)
    });
    // A line without length is a round dot, however the plot is stretched.
    let mut dots = [String::new(), String::new()];
    for dot in &report.dots {
        let (x, y) = (time_x(dot.end, series), y(dot.time_ns));
        let _ = write!(dots[usize::from(dot.how.is_none())], "M{x:.1} {y:.1}h0");
    }
    let description = format!(
        "Each zombie by when it was reaped and how long it had lasted, on a logarithmic scale, with the \
         median, 99th percentile and maximum of each {}.",
        human(series.column_ns)
    );
    let svg = html! {
        @for (shade, path) in shades.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            path.heat fill-opacity=(format!("{:.2}", 0.10 + 0.60 * shade as f64 / (SHADES - 1) as f64)) d=(path) {}
        }
        @for (class, path) in &lines { path class={ "line " (class) } d=(path) {} }
        path.dot d=(dots[0]) {}
        path.dot.alive d=(dots[1]) {}
        path.dot.found d="" {}
    };
    html! {
        section {
            (heading("zombies-over-time", "Each zombie: when it was reaped, and how long it lasted"))
            p.soft {
                @if is_thinned {
                    "A dot stands for zombies that lasted about as long at about the same time: "
                    (super::show::grouped(report.dots.len() as u64))
                    " dots. The darker the ground, the more zombies. "
                } @else if has_dots { "One dot per zombie. " }
                @if let Some(conditions) = &report.conditions {
                    "Dots are zombies with " code { (visible(conditions)) } "; the ground and the lines are of all. "
                }
                "Living zombies are at the right edge. The scale is logarithmic."
            }
            ul.legend {
                li { span.key.rule.max {} "longest" }
                li { span.key.rule.p99 {} "p99" }
                li { span.key.rule.p50 {} "median" }
                @if has_dots { li { span.key.point {} "reaped" } li { span.key.point.alive {} "living" } }
            }
            (chart("chart-zombies", "chart tall", "Each zombie over time", &description, &svg, &marks))
        }
    }
}

/// A strip for each of the worst parents, with a scale of its own.
pub(super) fn lanes(report: &Report) -> Markup {
    let series = &report.timeline;
    let parents = bands(report);
    if parents.is_empty() || series.duration_ns == 0 {
        return html! {};
    }
    let lanes = parents.iter().enumerate().map(|(number, (name, row))| {
        let living = living(report, &parent_row(report, *row));
        let most = living.iter().copied().fold(0.0, f64::max);
        let base = vec![0.0; living.len()];
        let y = |value: f64| HEIGHT - value / most.max(f64::MIN_POSITIVE) * HEIGHT * 0.95;
        let area = band(&base, &living, y, |column| {
            time_x(column as u64 * report.lanes.width(), series)
        });
        html! {
            li {
                span.who { (name) }
                span.soft { "at most " (format!("{most:.most_digits$}", most_digits = usize::from(most < 10.0))) }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
                    path class={ "band b" (number) } d=(area) {}
                }
            }
        }
    });
    let lanes: Vec<_> = lanes.collect();
    html! {
        section {
            (heading("lanes", "Lanes of the worst parents"))
            p.soft { "Living zombies of each parent over the run, each on its own scale." }
            ul.lanes #chart-lanes { @for lane in &lanes { (lane) } }
        }
    }
}

/// The area between two lines that are level in each column.
fn band(lower: &[f64], upper: &[f64], y: impl Fn(f64) -> f64, x: impl Fn(usize) -> f64) -> String {
    let mut path = String::new();
    for (column, value) in upper.iter().enumerate() {
        let verb = if column == 0 { "M" } else { "L" };
        let (left, right, y) = (x(column), x(column + 1), y(*value));
        let _ = write!(path, "{verb}{left:.1} {y:.2}H{right:.1}");
    }
    for (column, value) in lower.iter().enumerate().rev() {
        let (left, right, y) = (x(column), x(column + 1), y(*value));
        let _ = write!(path, "L{right:.1} {y:.2}H{left:.1}");
    }
    path + "Z"
}

/// The counts of a column by row.
fn rows(column: &TimeSlice) -> Vec<u64> {
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

fn chart(
    id: &str,
    class: &str,
    title: &str,
    description: &str,
    svg: &Markup,
    marks: &Marks,
) -> Markup {
    html! {
        div id=(id) class=(class) {
            svg role="img" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" {
                title { (title) }
                desc { (description) }
                path.grid d=(marks.grid) {}
                (svg)
            }
            @for (class, style, label) in &marks.labels {
                span class=(class) style=(style) aria-hidden="true" { (label) }
            }
            div.brush hidden {}
            div.cursor hidden {}
        }
    }
}

/// The labels of the axes, as class, place and text, and the lines that belong to them.
#[derive(Default)]
struct Marks {
    labels: Vec<(&'static str, String, String)>,
    grid: String,
}

impl Marks {
    fn y(&mut self, y: f64, label: &str) {
        let bottom = (HEIGHT - y) / HEIGHT * 100.0;
        self.labels
            .push(("y", format!("bottom:{bottom:.1}%"), label.to_owned()));
        let _ = write!(self.grid, "M0 {y:.1}H{WIDTH}");
    }

    fn time(&mut self, series: &TimelineSeries) {
        let step = time_step(series.duration_ns / 8);
        let ticks = (0..=series.duration_ns / step).map(|tick| tick * step);
        for tick in ticks {
            let x = time_x(tick, series);
            let class = match x / WIDTH {
                ..0.02 => "x first",
                0.98.. => "x last",
                _ => "x",
            };
            let left = format!("left:{:.1}%", x / WIDTH * 100.0);
            self.labels.push((class, left, short(tick)));
            let _ = write!(self.grid, "M{x:.1} 0V{HEIGHT}");
        }
    }
}

fn time_x(ns: u64, series: &TimelineSeries) -> f64 {
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
    fn an_area_between_two_lines() {
        let area = band(
            &[0.0, 1.0],
            &[2.0, 3.0],
            |y| y,
            |column| column as f64 * 10.0,
        );
        assert_eq!(
            area,
            "M0.0 2.00H10.0L10.0 3.00H20.0L20.0 1.00H10.0L10.0 0.00H0.0Z"
        );
    }
}
