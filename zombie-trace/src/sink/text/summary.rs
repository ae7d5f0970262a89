use std::fmt::Write;

use super::{Look, Tables, worst_containers::worst_containers, worst_parents::worst_parents};
use crate::{
    aggregate::{Log2Histogram, Summary, ZombieTimes},
    model::Running,
    text::{
        escape::width,
        human, printable,
        style::{self, paint},
    },
};

/// Where there is no limit, bars need one.
const WIDTH: usize = 80;
const LONGEST_BAR: usize = 40;
/// So many empty rows of the histogram are shown in a row; more are shown as one.
const LONGEST_GAP: usize = 2;

/// The end of a run: counts, percentiles, histogram, worst parents, loss.
pub(super) fn render(summary: &Summary, look: Look, tables: Tables) -> String {
    let columns = look.width.unwrap_or(WIDTH);
    let mut text = counts(summary, columns, look.color);
    if summary.zombie_ns.count > 0 {
        text.push('\n');
        text += &times(&summary.zombie_ns, columns, look.color);
        text.push('\n');
        text += &histogram(&summary.histogram, columns);
    }
    if !summary.by_parent.is_empty() {
        text.push('\n');
        text += &paint(
            "worst parents, by total zombie time",
            style::HEADING,
            look.color,
        );
        text.push('\n');
        text += &worst_parents(&summary.by_parent, tables, columns, look.color);
    }
    if !summary.by_container.is_empty() {
        text.push('\n');
        text += &paint(
            "worst containers, by total zombie time",
            style::HEADING,
            look.color,
        );
        text.push('\n');
        text += &worst_containers(&summary.by_container, columns, look.color);
    }
    text.push('\n');
    text += &loss(summary, columns, look.color);
    text + &forged(summary.counts.suspicious, columns, look.color)
}

/// The descendants that run on; nothing if there are none.
pub(super) fn running(running: &[Running]) -> String {
    /// At most this many are named.
    const NAMED: usize = 5;
    if running.is_empty() {
        return String::new();
    }
    let mut names: Vec<_> = running
        .iter()
        .take(NAMED)
        .map(|process| format!("{} ({})", printable(&process.comm), process.pid))
        .collect();
    if running.len() > NAMED {
        names.push("…".to_owned());
    }
    let count = match running.len() {
        1 => "1 descendant still runs".to_owned(),
        count => format!("{count} descendants still run"),
    };
    format!("{count}: {}\n", names.join(", "))
}

fn counts(summary: &Summary, columns: usize, color: bool) -> String {
    let counts = &summary.counts;
    let exits = match counts.exits {
        1 => "1 exit".to_owned(),
        exits => format!("{exits} exits"),
    };
    let title = format!("{exits} in {}", human(summary.duration_ns));
    let items = [
        format!("reaped {}", counts.reaped),
        format!("autoreaped {}", counts.autoreaped),
        format!("still zombies {}", counts.alive),
        format!("pre-existing {}", counts.pre_existing),
        format!("not listed {}", counts.filtered),
    ];
    format!(
        "{}\n{}",
        paint(&title, style::HEADING, color),
        wrap(&items, " · ", 2, columns)
    )
}

fn times(times: &ZombieTimes, columns: usize, color: bool) -> String {
    let line = |items: &[(&str, Option<u64>)]| {
        let item = |&(name, ns): &(&str, Option<u64>)| Some(format!("{name} {}", human(ns?)));
        wrap(
            &items.iter().filter_map(item).collect::<Vec<_>>(),
            "  ",
            2,
            columns,
        )
    };
    let title = format!("zombie time of {} listed", times.count);
    let worst = [
        ("p50", times.p50),
        ("p90", times.p90),
        ("p99", times.p99),
        ("p99.9", times.p999),
        ("max", times.max),
    ];
    let rest = [("min", times.min), ("mean", times.mean)];
    paint(&title, style::HEADING, color) + "\n" + &line(&worst) + &line(&rest)
}

fn histogram(histogram: &Log2Histogram, columns: usize) -> String {
    let buckets: Vec<_> = histogram.buckets().collect();
    let largest = buckets.iter().map(|&(_, count)| count).max().unwrap_or(0);
    let digits = largest.to_string().len();
    let mut text = String::new();
    for run in buckets.chunk_by(|(_, a), (_, b)| (*a == 0) == (*b == 0)) {
        if run[0].1 == 0 && run.len() > LONGEST_GAP {
            text += "          …\n";
            continue;
        }
        for (range, count) in run {
            let (start, end) = (human(range.start), human(range.end));
            let label = format!("  {start:>7} – {end:>7} {count:>digits$} ");
            let room = columns.saturating_sub(width(&label)).min(LONGEST_BAR);
            let line = label + &bar(*count, largest, room);
            text += line.trim_end();
            text.push('\n');
        }
    }
    text
}

/// A bar of at most `room` columns, in eighths of one; what is not 0 always shows.
fn bar(count: u64, largest: u64, room: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

    let most = room as u128 * 8;
    let eighths = (u128::from(count) * most).div_ceil(u128::from(largest.max(1)));
    let eighths = usize::try_from(eighths).unwrap_or(0);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

fn loss(summary: &Summary, columns: usize, color: bool) -> String {
    let lost = &summary.counts.lost;
    if lost.is_none() && !summary.complete {
        let text = "INCOMPLETE: the recording is not whole";
        return paint(text, style::WARNING, color) + "\n";
    }
    if lost.is_none() {
        return paint("complete: nothing was lost", style::GOOD, color) + "\n";
    }
    let mut text = paint(
        "INCOMPLETE: some processes were lost",
        style::WARNING,
        color,
    );
    text.push('\n');
    let reasons = [
        (lost.ring_full, "ring buffer full", " (raise --buffer)"),
        (
            lost.map_full,
            "map of zombies full",
            " (raise --max-zombies)",
        ),
        (lost.missed, "missed by the hooks", ""),
    ];
    for (count, reason, remedy) in reasons {
        if count > 0 {
            let line = format!("{reason}: {count}{remedy}");
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            text += &wrap(&words, " ", 2, columns);
        }
    }
    text
}

/// Forgeries, if there were any.
fn forged(count: u64, columns: usize, color: bool) -> String {
    if count == 0 {
        return String::new();
    }
    let text = format!("SUSPICIOUS: {count} forged notifications or reaps were ignored");
    let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    wrap(&words, " ", 0, columns)
        .lines()
        .map(|line| paint(line, style::WARNING, color) + "\n")
        .collect()
}

/// The items in as many lines as they need, each line with that many spaces in front.
fn wrap(items: &[String], separator: &str, indent: usize, columns: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for item in items {
        let needed = width(separator) + width(item);
        if used > 0 && used + needed <= columns {
            text += separator;
            text += item;
            used += needed;
        } else {
            if used > 0 {
                text.push('\n');
            }
            let _ = write!(text, "{:indent$}{item}", "");
            used = indent + width(item);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(bar(0, 100, 10), "");
        assert_eq!(bar(100, 100, 10), "██████████");
        assert_eq!(bar(50, 100, 10), "█████");
        assert_eq!(bar(1, 1_000_000, 10), "▏");
        assert_eq!(bar(u64::MAX, u64::MAX, 3), "███");
        assert_eq!(bar(5, 10, 0), "");
        assert_eq!(bar(0, 0, 10), "");
    }

    #[test]
    fn forgeries_are_mentioned() {
        assert_eq!(forged(0, 80, false), "");
        assert_eq!(
            forged(7, 40, false),
            "SUSPICIOUS: 7 forged notifications or\nreaps were ignored\n"
        );
    }

    #[test]
    fn names_the_descendants_that_run_on() {
        let text = |count: u32| {
            let process = |pid| Running {
                pid,
                comm: "a\x1bb".into(),
            };
            running(&(1..=count).map(process).collect::<Vec<_>>())
        };
        let name = printable(&"a\x1bb".into());
        assert!(!name.contains('\x1b'));
        assert_eq!(text(0), "");
        assert_eq!(text(1), format!("1 descendant still runs: {name} (1)\n"));
        let many = text(40);
        assert!(many.starts_with("40 descendants still run: "), "{many}");
        assert!(
            many.ends_with("(5), …\n") && many.lines().count() == 1,
            "{many}"
        );
    }

    #[test]
    fn wraps_between_items() {
        let items = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(wrap(&items, ", ", 2, 80), "  one, two, three\n");
        assert_eq!(wrap(&items, ", ", 2, 10), "  one, two\n  three\n");
        assert_eq!(wrap(&items, ", ", 2, 3), "  one\n  two\n  three\n");
        assert_eq!(wrap(&[], ", ", 2, 3), "\n");
    }
}
