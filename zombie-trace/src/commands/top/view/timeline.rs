//! The run from its start, as three charts.

use super::{
    canvas::{Canvas, TextLook, bar},
    scene::Scene,
};
use crate::text::human;

/// Columns for the scale at the left.
const SCALE: usize = 9;

/// Draws living zombies, processes per second, and the longest zombie time.
pub(super) fn draw(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let timeline = &scene.model.timeline;
    let room = canvas.width().saturating_sub(SCALE + 1);
    let height = canvas.height().saturating_sub(1) / 3;
    if timeline.bins().is_empty() || room == 0 || height < 2 {
        canvas.put(2, 1, "Nothing has happened yet.", TextLook::Dim);
        return;
    }
    let seconds = timeline.width() as f64 / 1e9;
    let bins = timeline.bins();
    // The whole run always fits: several bins can share a column.
    let per_column = bins.len().div_ceil(room);
    let columns = bins.chunks(per_column);
    let alive: Vec<f64> = columns
        .clone()
        .map(|bins| most(bins.iter().map(|bin| bin.alive)))
        .collect();
    let gone: Vec<f64> = columns
        .clone()
        .map(|bins| {
            bins.iter().map(|bin| bin.gone).sum::<u64>() as f64 / (seconds * bins.len() as f64)
        })
        .collect();
    let longest: Vec<f64> = columns
        .map(|bins| most(bins.iter().map(|bin| bin.max)))
        .collect();
    let count = |value: f64| format!("{value:.0}");
    chart(
        &mut canvas.lines(0, height),
        "living zombies",
        &alive,
        count,
        false,
    );
    chart(
        &mut canvas.lines(height, height),
        "exits per second",
        &gone,
        count,
        false,
    );
    let time = |value: f64| human(value as u64);
    chart(
        &mut canvas.lines(2 * height, height),
        "longest zombie time (log)",
        &longest,
        time,
        true,
    );
    let width = human((seconds * per_column as f64 * 1e9) as u64);
    let text = format!("from the start to now, {width} per column");
    canvas.put(SCALE + 1, 3 * height, &text, TextLook::Dim);
}

fn most(values: impl Iterator<Item = u64>) -> f64 {
    values.max().unwrap_or(0) as f64
}

/// A title, and bars of several lines.
fn chart(
    canvas: &mut Canvas<'_>,
    title: &str,
    values: &[f64],
    scale: impl Fn(f64) -> String,
    is_log: bool,
) {
    let lines = canvas.height() - 1;
    let most = values.iter().copied().fold(0.0, f64::max);
    canvas.put(SCALE + 1, 0, title, TextLook::Heading);
    canvas.put_right(SCALE, 1, &scale(most), TextLook::Dim);
    let height = |value: f64| {
        let part = match is_log {
            // From 1 µs on.
            true => (value / 1e3 + 1.0).log2() / (most / 1e3 + 1.0).log2(),
            false => value / most,
        };
        if value > 0.0 {
            ((part * (lines * 8) as f64).round() as usize).max(1)
        } else {
            0
        }
    };
    for line in 0..lines {
        let below = (lines - 1 - line) * 8;
        let text = values
            .iter()
            .map(|value| bar(height(*value).saturating_sub(below).min(8)));
        canvas.put(
            SCALE + 1,
            1 + line,
            &text.collect::<String>(),
            TextLook::Plain,
        );
    }
}
