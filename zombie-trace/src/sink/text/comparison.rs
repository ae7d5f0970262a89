use std::fmt::Write as _;

use super::Look;
use crate::{
    compare::{Change, Comparison, Pair, ParentCount, ParentPair, Verdict},
    model::Comm,
    text::{
        escape::{cut, escape, width},
        human,
        style::{BAD, GOOD, HEADING, PLAIN, paint},
        wrap,
    },
};

/// So many parents are shown in full, and as many in a line each.
const MOST: usize = 10;
/// Where there is no limit.
const WIDTH: usize = 80;

/// Two runs, of which `base` and `new` say what they are, side by side.
pub fn comparison(comparison: &Comparison, base: &str, new: &str, look: Look) -> String {
    let columns = look.width.unwrap_or(WIDTH);
    let mut text = String::new();
    for (role, run) in [("base", base), ("new ", new)] {
        let line = format!("{role}  {}", escape(run));
        let _ = writeln!(text, "{}", cut(&line, columns));
    }
    text.push('\n');
    text += &verdict(comparison, columns, look.color);
    text.push('\n');
    text += &pair("all", &comparison.overall, columns, look.color);
    let (changed, same): (Vec<_>, Vec<_>) = comparison
        .by_parent
        .iter()
        .partition(|parent| tells_more(&parent.pair, comparison));
    for parent in changed.iter().take(MOST) {
        text.push('\n');
        let name = format!("of {}", name(parent.comm));
        text += &pair(&name, &parent.pair, columns, look.color);
    }
    more(&mut text, changed.len(), "parents with a difference");
    if !same.is_empty() {
        text.push('\n');
        text += &others(&same, columns, look.color);
        more(&mut text, same.len(), "parents");
    }
    for (run, parents) in [
        ("base", &comparison.only_base),
        ("new", &comparison.only_new),
    ] {
        text += &only(run, parents, columns);
    }
    if comparison.of_others > 0 {
        let _ = writeln!(text, "\n{} zombies of other parents", comparison.of_others);
    }
    text
}

/// There is a difference, and not just that of the run as a whole once more.
fn tells_more(pair: &Pair, comparison: &Comparison) -> bool {
    let all = &comparison.overall;
    let is_nearly_all = [(&pair.base, &all.base), (&pair.new, &all.new)]
        .iter()
        .all(|(of_parent, of_all)| of_parent.zombie_ns.count >= of_all.zombie_ns.count / 100 * 99);
    pair.verdict.is_difference() && !(is_nearly_all && pair.verdict == all.verdict)
}

fn more(text: &mut String, count: usize, what: &str) {
    if count > MOST {
        let _ = writeln!(text, "  … and {} more {what}", count - MOST);
    }
}

/// The verdict and what it rests on.
fn verdict(comparison: &Comparison, columns: usize, color: bool) -> String {
    let mut grounds = Vec::new();
    let parents = comparison
        .by_parent
        .iter()
        .filter(|parent| tells_more(&parent.pair, comparison))
        .map(|ParentPair { comm, pair }| (name(*comm), pair));
    for (who, pair) in [("all".to_owned(), &comparison.overall)]
        .into_iter()
        .chain(parents)
    {
        for (metric, change) in percentiles(pair) {
            if change.verdict.is_some_and(Verdict::is_difference) {
                grounds.push(format!("{metric} of {who} {}", percent(change.relative)));
            }
        }
    }
    let because = match grounds.as_slice() {
        [] => String::new(),
        [one] => format!(": {one}"),
        [one, two] => format!(": {one}, {two}"),
        [one, two, more @ ..] => format!(": {one}, {two} and {} more", more.len()),
    };
    let verdict = comparison.verdict;
    let line = format!("{}{because}", verdict.as_str());
    let line = paint(&cut(&line, columns), style(verdict), color);
    let basis = format!(
        "  {} intervals at once with {:.0} % confidence; a change below {:.0} % does not count",
        comparison.judged,
        comparison.confidence * 100.0,
        (comparison.least_change - 1.0) * 100.0
    );
    format!("{line}\n{}\n", wrap(&basis, Some(columns)))
}

fn percentiles(pair: &Pair) -> impl Iterator<Item = (&'static str, &Change)> {
    ["p50", "p90", "p99"]
        .into_iter()
        .zip(pair.changes.percentiles())
}

/// A line a figure.
fn pair(name: &str, pair: &Pair, columns: usize, color: bool) -> String {
    let number = |number: u64| number.to_string();
    let rate = |rate: Option<f64>| rate.map_or_else(unknown, per_second);
    let time = |ns: Option<u64>| ns.map_or_else(unknown, human);
    let (base, new) = (&pair.base, &pair.new);
    let (old, now) = (&base.zombie_ns, &new.zombie_ns);
    let changes = &pair.changes;
    let rows = [
        (
            "count",
            number(old.count),
            number(now.count),
            &changes.count,
        ),
        ("rate", rate(base.rate), rate(new.rate), &changes.rate),
        ("p50", time(old.p50), time(now.p50), &changes.p50),
        ("p90", time(old.p90), time(now.p90), &changes.p90),
        ("p99", time(old.p99), time(now.p99), &changes.p99),
        ("max", time(old.max), time(now.max), &changes.max),
    ];
    let title = format!(
        "{}{:>4} {:>10} {:>9}  {:<18} VERDICT",
        padded(name, 18),
        "BASE",
        "NEW",
        "CHANGE",
        "INTERVAL"
    );
    let mut text = paint(&cut(&title, columns), HEADING, color) + "\n";
    for (figure, base, new, change) in rows {
        let interval = change.interval.map_or_else(String::new, |[low, high]| {
            format!("{} … {}", percent(Some(low)), percent(Some(high)))
        });
        let line = format!(
            "  {figure:<10}{base:>10} {new:>10} {:>9}  {interval:<18} ",
            percent(change.relative)
        );
        text += &judged(&line, change.verdict, columns, color);
    }
    text
}

/// A line a parent.
fn others(parents: &[&ParentPair], columns: usize, color: bool) -> String {
    let title = format!(
        "{} {:>8} {:>8} {:>8} {:>8} {:>8}  VERDICT",
        padded("parent", 15),
        "COUNT",
        "NEW",
        "P50",
        "NEW",
        "CHANGE"
    );
    let mut text = paint(&cut(&title, columns), HEADING, color) + "\n";
    for ParentPair { comm, pair } in parents.iter().take(MOST) {
        let (base, new) = (&pair.base.zombie_ns, &pair.new.zombie_ns);
        let time = |ns: Option<u64>| ns.map_or_else(unknown, human);
        let line = format!(
            "{} {:>8} {:>8} {:>8} {:>8} {:>8}  ",
            padded(&name(*comm), 15),
            base.count,
            new.count,
            time(base.p50),
            time(new.p50),
            percent(pair.changes.p50.relative),
        );
        text += &judged(&line, Some(pair.verdict), columns, color);
    }
    text
}

/// A line with the verdict at its end.
fn judged(line: &str, verdict: Option<Verdict>, columns: usize, color: bool) -> String {
    let room = columns.saturating_sub(width(line));
    let words = cut(verdict.map_or("", Verdict::as_str), room);
    let words = paint(&words, verdict.map_or(PLAIN, style), color);
    format!("{}{words}", cut(line, columns))
        .trim_end()
        .to_owned()
        + "\n"
}

fn only(run: &str, parents: &[ParentCount], columns: usize) -> String {
    if parents.is_empty() {
        return String::new();
    }
    let mut text = format!("\nonly in {run}:");
    for (index, ParentCount { comm, count }) in parents.iter().take(MOST).enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(text, "{comma} {} ({count})", name(*comm));
    }
    if parents.len() > MOST {
        let _ = write!(text, " and {} more", parents.len() - MOST);
    }
    wrap(&text, Some(columns)) + "\n"
}

fn name(comm: Option<Comm>) -> String {
    comm.map_or_else(
        || "?".to_owned(),
        |comm| escape(&comm.to_str()).into_owned(),
    )
}

fn padded(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    format!("{text}{}", " ".repeat(columns - width(&text)))
}

fn unknown() -> String {
    "-".to_owned()
}

fn per_second(rate: f64) -> String {
    match rate {
        0.0..9.995 => format!("{rate:.2} /s"),
        9.995..99.95 => format!("{rate:.1} /s"),
        _ => format!("{rate:.0} /s"),
    }
}

/// `+4.2 %`, `-12 %`; from ten times as much on the factor: `×31`.
fn percent(relative: Option<f64>) -> String {
    let Some(relative) = relative else {
        return unknown();
    };
    let percent = relative * 100.0;
    match percent.abs() {
        0.0..9.95 => format!("{percent:+.1} %"),
        9.95..899.5 => format!("{percent:+.0} %"),
        _ if relative < 9999.5 => format!("×{:.0}", relative + 1.0),
        _ => "×∞".to_owned(),
    }
}

fn style(verdict: Verdict) -> anstyle::Style {
    match verdict {
        Verdict::Worse | Verdict::Mixed => BAD,
        Verdict::Better => GOOD,
        Verdict::NoDifference | Verdict::NotEnoughData => PLAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_short() {
        let changes = [
            (0.0, "+0.0 %"),
            (-0.0432, "-4.3 %"),
            (0.2, "+20 %"),
            (8.0, "+800 %"),
            (30.2, "×31"),
            (-1.0, "-100 %"),
            (1e9, "×∞"),
        ];
        for (relative, text) in changes {
            assert_eq!(percent(Some(relative)), text);
        }
        assert_eq!(percent(None), "-");
        assert_eq!(percent(Some(f64::INFINITY)), "×∞");
    }
}
