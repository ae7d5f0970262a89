use std::fmt;

use super::{Metric, Problem};
use crate::{text::human, value::TimeSpan};

/// A limit, and what is compared with it. Written as in a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A length of time, in ns: `50ms`.
    Time(u64),
    /// A number of processes: `10`.
    Number(u64),
    /// Processes a second: `100/s`.
    Rate(f64),
    /// From one run to another, in per cent of the first: `+20%`, `-10%`.
    Change(f64),
}

impl Value {
    /// Parses a limit of this metric; an error comes with the byte that it is about.
    pub(super) fn parse(metric: Metric, text: &str) -> Result<Self, (usize, Problem)> {
        let whole = |problem: fn(String) -> Problem| (0, problem(text.to_owned()));
        if text.is_empty() {
            return Err((0, Problem::NoValue));
        }
        if let Some(percent) = text.strip_suffix('%') {
            let number = percent.strip_prefix(['+', '-']).and_then(decimal);
            let number = number.ok_or_else(|| whole(Problem::Change))?;
            return Ok(Self::Change(if percent.starts_with('-') {
                -number
            } else {
                number
            }));
        }
        match metric {
            Metric::Count | Metric::Alive => {
                let odd = text.find(|char: char| !char.is_ascii_digit());
                let number = text.parse().ok().filter(|_| odd.is_none());
                let problem = || (odd.unwrap_or(0), Problem::Number(text.to_owned()));
                number.map(Self::Number).ok_or_else(problem)
            }
            Metric::Rate => {
                let number = text
                    .strip_suffix("/s")
                    .and_then(|text| decimal(text.trim_end()));
                number.map(Self::Rate).ok_or_else(|| whole(Problem::Rate))
            }
            _ => match text.parse::<TimeSpan>() {
                Ok(time) => Ok(Self::Time(time.as_nanos())),
                Err(error) => Err((0, Problem::Time(text.to_owned(), error))),
            },
        }
    }

    /// To a few digits, for people.
    pub fn human(self) -> String {
        match self {
            Self::Time(ns) => human(ns),
            Self::Number(number) => number.to_string(),
            Self::Rate(rate) if rate < 100.0 => format!("{rate:.2}/s"),
            Self::Rate(rate) => format!("{rate:.0}/s"),
            Self::Change(percent) => format!("{percent:+.1}%"),
        }
    }

    /// Exact, with a space before the unit of time: `50 ms`.
    pub fn spaced(self) -> String {
        let text = self.to_string();
        match (self, text.find(|char: char| char.is_ascii_alphabetic())) {
            (Self::Time(_), Some(unit)) => format!("{} {}", &text[..unit], &text[unit..]),
            _ => text,
        }
    }

    /// Whether it is more, less or the same; [`None`] for another kind of value.
    pub(super) fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Time(one), Self::Time(other)) | (Self::Number(one), Self::Number(other)) => {
                Some(one.cmp(&other))
            }
            (Self::Rate(one), Self::Rate(other)) | (Self::Change(one), Self::Change(other)) => {
                one.partial_cmp(&other)
            }
            _ => None,
        }
    }

    /// From this to a later one.
    pub(super) fn change_to(self, later: Self) -> Option<Self> {
        let (from, to) = (self.magnitude()?, later.magnitude()?);
        let percent = (to - from) * 100.0 / from;
        // From nothing to something is more than any change, from nothing to nothing is none.
        Some(Self::Change(if percent.is_nan() { 0.0 } else { percent }))
    }

    fn magnitude(self) -> Option<f64> {
        match self {
            Self::Time(number) | Self::Number(number) => Some(number as f64),
            Self::Rate(rate) => Some(rate),
            Self::Change(_) => None,
        }
    }
}

/// Digits, and perhaps a point and digits.
fn decimal(text: &str) -> Option<f64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let number = (digits(whole) && digits(rest)).then(|| text.parse().ok())??;
    f64::is_finite(number).then_some(number)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 5] = [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
        ];
        match *self {
            Self::Time(ns) => {
                let fits = |&&(size, _): &&(u64, &str)| ns > 0 && ns.is_multiple_of(size);
                let (size, unit) = UNITS.iter().find(fits).unwrap_or(&(1, "ns"));
                write!(f, "{}{unit}", ns / size)
            }
            Self::Number(number) => write!(f, "{number}"),
            Self::Rate(rate) => write!(f, "{rate}/s"),
            Self::Change(percent) => write!(f, "{percent:+}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_the_largest_unit_that_is_exact() {
        for (ns, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_500, "1500ns"),
            (2_000, "2us"),
            (50_000_000, "50ms"),
            (1_500_000_000, "1500ms"),
            (90_000_000_000, "90s"),
            (120_000_000_000, "2m"),
            (86_400_000_000_000, "24h"),
        ] {
            assert_eq!(Value::Time(ns).to_string(), text);
        }
    }

    #[test]
    fn for_people() {
        assert_eq!(Value::Time(62_314_000).human(), "62.3 ms");
        assert_eq!(Value::Rate(12.3456).human(), "12.35/s");
        assert_eq!(Value::Rate(30_123.4).human(), "30123/s");
        assert_eq!(Value::Change(24.06).human(), "+24.1%");
    }

    #[test]
    fn changes() {
        let change = |from, to| Value::Time(from).change_to(Value::Time(to));
        assert_eq!(change(100, 120), Some(Value::Change(20.0)));
        assert_eq!(change(100, 50), Some(Value::Change(-50.0)));
        assert_eq!(change(0, 0), Some(Value::Change(0.0)));
        assert_eq!(change(0, 1), Some(Value::Change(f64::INFINITY)));
        assert_eq!(Value::Change(1.0).change_to(Value::Change(1.0)), None);
    }

    #[test]
    fn only_like_is_compared() {
        use std::cmp::Ordering::{Greater, Less};
        assert_eq!(Value::Time(2).compare(Value::Time(1)), Some(Greater));
        assert_eq!(Value::Rate(1.0).compare(Value::Rate(1.5)), Some(Less));
        assert_eq!(Value::Time(2).compare(Value::Number(1)), None);
        assert_eq!(Value::Change(2.0).compare(Value::Rate(1.0)), None);
    }
}
