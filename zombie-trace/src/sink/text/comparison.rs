use std::fmt::Write as _;

use super::Look;
use crate::{
    compare::{
        Change, Comparison, LingeringPair, LingeringSummary, Meaning, Needed, Pair, ParentCount,
        ParentPair, RunFigures,
    },
    model::Comm,
    text::{
        command,
        escape::{cut, escape, width},
        human, lifetime,
        style::{BAD, GOOD, HEADING, PLAIN, paint},
        wrap,
    },
};

/// At most this many parents are shown in full, and as many in one line each.
const MOST: usize = 10;
/// Where there is no limit.
const WIDTH: usize = 80;
/// A table with all its columns takes this many.
const WIDE: usize = 68;
/// A command line is cut where the verdict names its parent.
const LONGEST_NAME: usize = 40;

/// Two runs side by side, described by `base` and `new`. The verdict comes first.
pub fn comparison(comparison: &Comparison, base: &str, new: &str, look: Look) -> String {
    let page = Page {
        columns: look.width.unwrap_or(WIDTH),
        color: look.color,
    };
    let mut text = page.verdict(comparison);
    text.push('\n');
    for (role, run) in [("base", base), ("new ", new)] {
        let line = format!("{role}  {}", escape(run));
        let _ = writeln!(text, "{}", cut(&line, page.columns));
    }
    text.push('\n');
    text += &page.pair("all", &comparison.overall);
    text += &page.needs(&comparison.overall);
    let (changed, same): (Vec<_>, Vec<_>) = comparison
        .by_parent
        .iter()
        .partition(|parent| adds_something(&parent.pair, comparison));
    for parent in changed.iter().take(MOST) {
        text.push('\n');
        text += &page.pair(&format!("of {}", name(parent.comm)), &parent.pair);
    }
    more(&mut text, changed.len(), "parents with a difference");
    if !same.is_empty() {
        text.push('\n');
        text += &page.others(&same);
        more(&mut text, same.len(), "parents");
    }
    for (run, parents) in [
        ("base", &comparison.only_base),
        ("new", &comparison.only_new),
    ] {
        text += &page.only(run, parents);
    }
    if comparison.of_others > 0 {
        let _ = writeln!(text, "\n{} zombies of other parents", comparison.of_others);
    }
    let basis = format!(
        "\n{} intervals hold at once with {:.0} % confidence; changes below ×{} do not count",
        comparison.judged,
        comparison.confidence * 100.0,
        comparison.least_change,
    );
    text + &wrap(&basis, Some(page.columns)) + "\n"
}

/// There is a difference, and not just that of the run as a whole once more.
fn adds_something(pair: &Pair, comparison: &Comparison) -> bool {
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

/// Where text goes.
struct Page {
    columns: usize,
    color: bool,
}

impl Page {
    /// The verdict and its grounds.
    fn verdict(&self, comparison: &Comparison) -> String {
        let mut grounds: Vec<_> = comparison.lingering.iter().map(leaves).collect();
        let parents = comparison
            .by_parent
            .iter()
            .filter(|parent| adds_something(&parent.pair, comparison))
            .map(|parent| (name(parent.comm), &parent.pair));
        for (who, pair) in [("all".to_owned(), &comparison.overall)]
            .into_iter()
            .chain(parents)
        {
            for (metric, change) in percentiles(pair) {
                if change.verdict.is_some_and(Meaning::is_difference) {
                    grounds.push(format!("{metric} of {who} {}", times(change.ratio)));
                }
            }
        }
        let verdict = comparison.verdict;
        let p50 = &comparison.overall.changes.p50;
        let because = match (grounds.as_slice(), p50.needed) {
            ([], Some(needed)) if verdict == Meaning::NotEnoughData => {
                format!(": {}", lacks(needed, &comparison.overall))
            }
            ([], _) => String::new(),
            ([one], _) => format!(": {one}"),
            ([one, two], _) => format!(": {one}; {two}"),
            ([one, two, more @ ..], _) => format!(": {one}; {two}; and {} more", more.len()),
        };
        let text = wrap(
            &format!("{}{because}", verdict.as_str()),
            Some(self.columns),
        );
        let lines = text
            .lines()
            .map(|line| paint(&cut(line, self.columns), style(verdict), self.color) + "\n");
        lines.collect()
    }

    /// One line per figure.
    fn pair(&self, name: &str, pair: &Pair) -> String {
        let number = |number: Option<u64>| number.map_or_else(unknown, |number| number.to_string());
        let rate = |rate: Option<f64>| rate.map_or_else(unknown, per_second);
        let time = |ns: Option<u64>| ns.map_or_else(unknown, human);
        let (base, new) = (&pair.base, &pair.new);
        let (old, now) = (&base.zombie_ns, &new.zombie_ns);
        let was = |ns| lasted(ns, base);
        let is = |ns| lasted(ns, new);
        let changes = &pair.changes;
        let mut rows = vec![
            (
                "reaped",
                number(Some(old.count)),
                number(Some(now.count)),
                &changes.count,
            ),
            ("rate", rate(base.rate), rate(new.rate), &changes.rate),
            ("p50", was(old.p50), is(now.p50), &changes.p50),
            ("p90", was(old.p90), is(now.p90), &changes.p90),
            ("p99", was(old.p99), is(now.p99), &changes.p99),
            ("max", was(old.max), is(now.max), &changes.max),
        ];
        if base.zombie_time_ns.is_some() || new.zombie_time_ns.is_some() {
            rows.push((
                "zombie time",
                time(base.zombie_time_ns),
                time(new.zombie_time_ns),
                &changes.zombie_time,
            ));
        }
        if base.alive.is_some() || new.alive.is_some() {
            rows.push((
                "living",
                number(base.alive),
                number(new.alive),
                &changes.alive,
            ));
        }
        if base.oldest_ns.is_some() || new.oldest_ns.is_some() {
            rows.push((
                "oldest",
                time(base.oldest_ns),
                time(new.oldest_ns),
                &changes.oldest,
            ));
        }
        let mut text = self.heading(name);
        for (figure, base, new, change) in rows {
            let interval = change.interval.map_or_else(String::new, |[low, high]| {
                format!("{} … {}", factor(low + 1.0), factor(high + 1.0))
            });
            let ratio = match (figure, pair.base.alive, pair.new.alive) {
                // No factor makes something of nothing.
                ("living", Some(0), Some(more @ 1..)) => format!("+{more}"),
                // Nothing is known about a change below the error.
                _ if base == new && new.starts_with('<') => "same".to_owned(),
                _ => times(change.ratio),
            };
            let line = match self.is_wide() {
                true => format!("  {figure:<11}{base:>9} {new:>9} {ratio:>8}  {interval:<18} "),
                false => format!("  {figure:<11}{new:>8} {ratio:>8}  "),
            };
            text += &self.judged(&line, change.verdict);
        }
        text
    }

    fn is_wide(&self) -> bool {
        self.columns >= WIDE
    }

    fn heading(&self, name: &str) -> String {
        let name = padded(name, if self.is_wide() { 17 } else { 13 });
        let interval = "INTERVAL";
        let title = match self.is_wide() {
            true => {
                format!(
                    "{name} BASE {:>9} {:>8}  {interval:<18} VERDICT",
                    "NEW", "CHANGE"
                )
            }
            false => format!("{name}{:>8} {:>8}  VERDICT", "NEW", "CHANGE"),
        };
        paint(&cut(&title, self.columns), HEADING, self.color) + "\n"
    }

    /// One line per parent.
    fn others(&self, parents: &[&ParentPair]) -> String {
        let title = match self.is_wide() {
            true => format!(
                "{} {:>8} {:>8} {:>8} {:>8} {:>8}  VERDICT",
                padded("parent", 15),
                "REAPED",
                "NEW",
                "P50",
                "NEW",
                "CHANGE"
            ),
            false => format!(
                "{}{:>8} {:>8}  VERDICT",
                padded("parent", 13),
                "P50",
                "CHANGE"
            ),
        };
        let mut text = paint(&cut(&title, self.columns), HEADING, self.color) + "\n";
        for ParentPair { comm, pair, .. } in parents.iter().take(MOST) {
            let (base, new) = (&pair.base.zombie_ns, &pair.new.zombie_ns);
            let (old, now) = (lasted(base.p50, &pair.base), lasted(new.p50, &pair.new));
            let name = name(*comm);
            let change = match old == now && now.starts_with('<') {
                true => "same".to_owned(),
                false => times(pair.changes.p50.ratio),
            };
            let line = match self.is_wide() {
                true => format!(
                    "{} {:>8} {:>8} {:>8} {:>8} {change:>8}  ",
                    padded(&name, 15),
                    base.count,
                    new.count,
                    old,
                    now,
                ),
                false => format!("{}{:>8} {change:>8}  ", padded(&name, 13), now),
            };
            text += &self.judged(&line, Some(pair.verdict));
        }
        text
    }

    /// A line with the verdict at its end.
    fn judged(&self, line: &str, verdict: Option<Meaning>) -> String {
        let words = match verdict {
            None => "",
            Some(Meaning::NoDifference) if !self.is_wide() => "same",
            Some(Meaning::NotEnoughData) if !self.is_wide() => "?",
            Some(verdict) => verdict.as_str(),
        };
        let words = cut(words, self.columns.saturating_sub(width(line)));
        let words = paint(&words, verdict.map_or(PLAIN, style), self.color);
        let line = cut(line, self.columns);
        format!("{line}{words}").trim_end().to_owned() + "\n"
    }

    /// What the percentiles lack that are not judged; the verdict says that of the median.
    fn needs(&self, pair: &Pair) -> String {
        let mut text = String::new();
        let is_said = pair.verdict == Meaning::NotEnoughData;
        for (metric, change) in percentiles(pair).skip(usize::from(is_said)) {
            if let Some(needed) = change.needed {
                let sentence = format!("{metric}: {}", lacks(needed, pair));
                let _ = writeln!(text, "{}", wrap(&sentence, Some(self.columns)));
            }
        }
        text
    }

    fn only(&self, run: &str, parents: &[ParentCount]) -> String {
        if parents.is_empty() {
            return String::new();
        }
        let mut text = format!("\nonly in {run}:");
        for (index, parent) in parents.iter().take(MOST).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(
                text,
                "{comma} {} ({} reaped",
                name(parent.comm),
                parent.count
            );
            if parent.lingering.alive > 0 {
                let _ = write!(text, ", {} living", parent.lingering.alive);
            }
            text.push(')');
        }
        if parents.len() > MOST {
            let _ = write!(text, " and {} more", parents.len() - MOST);
        }
        wrap(&text, Some(self.columns)) + "\n"
    }
}

/// A zombie time of one of the runs.
fn lasted(ns: Option<u64>, run: &RunFigures) -> String {
    ns.map_or_else(unknown, |ns| lifetime::exact(ns, run.error_ns))
}

fn percentiles(pair: &Pair) -> impl Iterator<Item = (&'static str, &Change)> {
    ["p50", "p90", "p99"]
        .into_iter()
        .zip(pair.changes.percentiles())
}

/// `python3 supervisor.py leaves 67 zombies, the oldest 7.10 s; none before`.
fn leaves(parent: &LingeringPair) -> String {
    let LingeringPair { base, new, .. } = parent;
    let cmdline = new.cmdline.as_ref().or(base.cmdline.as_ref());
    let who = match cmdline {
        Some(cmdline) => command(cmdline, LONGEST_NAME),
        None => name(parent.comm),
    };
    let zombies = |run: &LingeringSummary| match run.alive {
        0 => "no zombies".to_owned(),
        1 => "1 zombie".to_owned(),
        count => format!("{count} zombies"),
    };
    let oldest = new.oldest_ns.filter(|_| new.alive > 0);
    let oldest = oldest.map_or_else(String::new, |ns| format!(", the oldest {}", human(ns)));
    let before = match base.alive {
        0 => "none".to_owned(),
        count => count.to_string(),
    };
    format!("{who} leaves {}{oldest} (base: {before})", zombies(new))
}

/// `at least 1000 zombies are needed in each run; NEW has 12: record about 90 times as long`.
fn lacks(needed: Needed, pair: &Pair) -> String {
    let runs = [
        ("BASE", pair.base.zombie_ns.count, needed.base_longer),
        ("NEW", pair.new.zombie_ns.count, needed.new_longer),
    ];
    let mut found = Vec::new();
    for (run, count, longer) in runs {
        match longer {
            Some(longer) => {
                let few = if count < needed.zombies {
                    ""
                } else {
                    ", in bursts"
                };
                let longer = rounded_up(longer);
                found.push(format!(
                    "{run} has {count}{few}: record about {longer} times as long"
                ));
            }
            None if count == 0 => found.push(format!("{run} has none")),
            None => {}
        }
    }
    let zombies = needed.zombies;
    format!(
        "at least {zombies} zombies are needed in each run; {}",
        found.join("; ")
    )
}

/// To two digits, at least 2.
fn rounded_up(number: f64) -> u64 {
    let mut unit = 1;
    while number / unit as f64 > 99.0 {
        unit *= 10;
    }
    ((number / unit as f64).ceil() as u64 * unit).max(2)
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

/// `×1.2`, `÷53`; `same` if it rounds to 1.
fn times(ratio: Option<f64>) -> String {
    match ratio.map(factor) {
        None => unknown(),
        Some(same) if same == "×1" => "same".to_owned(),
        Some(factor) => factor,
    }
}

/// To two decimals, from ten on to whole numbers.
fn factor(ratio: f64) -> String {
    let (sign, factor) = match ratio {
        1.0.. => ('×', ratio),
        _ => ('÷', 1.0 / ratio),
    };
    let number = match factor {
        ..9.995 => format!("{factor:.2}"),
        9.995..99_999.5 => return format!("{sign}{factor:.0}"),
        _ => return format!("{sign}∞"),
    };
    match number.trim_end_matches('0').trim_end_matches('.') {
        "1" => "×1".to_owned(),
        number => format!("{sign}{number}"),
    }
}

fn style(verdict: Meaning) -> anstyle::Style {
    match verdict {
        Meaning::Worse | Meaning::Mixed => BAD,
        Meaning::Better => GOOD,
        Meaning::NoDifference | Meaning::NotEnoughData => PLAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_factors() {
        let changes = [
            (1.0, "same"),
            (0.9999, "same"),
            (0.9568, "÷1.05"),
            (1.2, "×1.2"),
            (1.25, "×1.25"),
            (2.0, "×2"),
            (53.2, "×53"),
            (1.0 / 1643.0, "÷1643"),
            (0.0, "÷∞"),
            (1e9, "×∞"),
        ];
        for (ratio, text) in changes {
            assert_eq!(times(Some(ratio)), text);
        }
        assert_eq!(times(None), "-");
        assert_eq!(factor(1.0), "×1");
        assert_eq!(factor(f64::INFINITY), "×∞");
    }

    #[test]
    fn how_much_longer_is_rounded_up() {
        for (number, longer) in [(1.1, 2), (2.01, 3), (84.0, 84), (99.5, 100), (123.4, 130)] {
            assert_eq!(rounded_up(number), longer, "{number}");
        }
    }
}
