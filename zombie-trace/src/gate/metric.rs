use std::{fmt, str::FromStr};

use crate::aggregate::Quantile;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// A percentile of the exact zombie times.
    Percentile(Quantile),
    /// The longest of them.
    Max,
    /// Their arithmetic mean.
    Mean,
    /// How many zombies were reaped.
    Count,
    /// Living zombies at the end, including pre-existing ones.
    Alive,
    /// The age of the oldest living zombie.
    Oldest,
    /// How many zombies were reaped each second.
    Rate,
    /// The zombie time of all processes.
    ZombieTime,
}

impl Metric {
    /// What is known of a run, as it is written.
    pub(super) const OF_A_RUN: &[&str] = &[
        "p50",
        "p95",
        "p99.9",
        "max",
        "mean",
        "count",
        "alive",
        "oldest",
        "rate",
        "zombie_time",
    ];

    /// What is known of the zombies that exist now.
    pub(super) const OF_NOW: &[&str] = &["alive", "oldest"];

    /// The metric of this name; an error says what is wrong with a percentile.
    pub(super) fn named(name: &str) -> Result<Option<Self>, &'static str> {
        if let Some(digits) = name.strip_prefix('p')
            && digits.starts_with(|char: char| char.is_ascii_digit())
        {
            return digits.parse().map(Self::Percentile).map(Some);
        }
        Ok(Some(match name {
            "max" => Self::Max,
            "mean" => Self::Mean,
            "count" => Self::Count,
            "alive" => Self::Alive,
            // What it was called before.
            "oldest" | "age" => Self::Oldest,
            "rate" => Self::Rate,
            "zombie_time" => Self::ZombieTime,
            _ => return Ok(None),
        }))
    }

    /// Whether it is a zombie time, or a mean of zombie times.
    pub(super) fn is_a_zombie_time(self) -> bool {
        matches!(self, Self::Percentile(_) | Self::Max | Self::Mean)
    }

    /// Whether it is about the zombies that were reaped, so that there must be one.
    pub(super) fn is_of_the_reaped(self) -> bool {
        match self {
            Self::Percentile(_) | Self::Max | Self::Mean | Self::Count | Self::Rate => true,
            Self::Alive | Self::Oldest | Self::ZombieTime => false,
        }
    }

    /// Whether it is known of the zombies that exist now.
    pub(super) fn is_of_now(self) -> bool {
        matches!(self, Self::Alive | Self::Oldest)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Percentile(quantile) => return write!(f, "p{quantile}"),
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Count => "count",
            Self::Alive => "alive",
            Self::Oldest => "oldest",
            Self::Rate => "rate",
            Self::ZombieTime => "zombie_time",
        })
    }
}

impl FromStr for Quantile {
    type Err = &'static str;

    /// Reads per cent: `50`, `95`, `99.95`; what follows 99 is a fraction even without a point: `999` is
    /// 99.9.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "a percentile is above 0 and below 100, such as p50, p99 or p99.95";
        const TOO_FINE: &str = "a percentile has at most four decimals, such as p99.9999";
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(WRONG),
            Some(parts) => parts,
            None if text.starts_with("99") => text.split_at(2),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 2 || !digits(whole) || !digits(fraction) {
            return Err(WRONG);
        }
        if fraction.len() > 4 {
            return Err(TOO_FINE);
        }
        let number = u32::from_str(&format!("{whole}{fraction:0<4}")).map_err(|_| WRONG)?;
        if number == 0 {
            return Err(WRONG);
        }
        Ok(Self(number))
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 10_000, self.0 % 10_000);
        let fraction = format!("{fraction:04}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            fraction => write!(f, "{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        for (text, parts, shown) in [
            ("50", 500_000, "50"),
            ("5", 50_000, "5"),
            ("95", 950_000, "95"),
            ("999", 999_000, "99.9"),
            ("99.95", 999_500, "99.95"),
            ("9999", 999_900, "99.99"),
            ("0.5", 5_000, "0.5"),
        ] {
            let quantile: Quantile = text.parse().unwrap();
            assert_eq!((quantile.0, &*quantile.to_string()), (parts, shown));
        }
        for text in [
            "0", "00", "100", "101", "1000", "995x", "100.5", "99.", "99.99999", "9x", "",
        ] {
            assert!(text.parse::<Quantile>().is_err(), "{text}");
        }
    }
}
