use std::{str::FromStr, time::Duration};

use jiff::fmt::friendly::SpanParser;
use thiserror::Error;

/// A length of time, 0 to 2⁶⁴−1 ns (584 years), written with its unit: `10ms`, `1.5s`, `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(u64);

impl TimeSpan {
    /// So many ms.
    pub const fn from_millis(ms: u32) -> Self {
        Self(ms as u64 * 1_000_000)
    }

    /// Parses a span of which 0 needs no unit.
    pub fn or_zero(text: &str) -> Result<Self, TimeSpanError> {
        match text {
            "0" => Ok(Self(0)),
            _ => text.parse(),
        }
    }

    /// In nanoseconds.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// Parses a span that must not be 0.
    pub fn positive(text: &str) -> Result<Self, TimeSpanError> {
        match Self::or_zero(text)? {
            Self(0) => Err(TimeSpanError::Zero),
            span => Ok(span),
        }
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        Self::from_nanos(span.0)
    }
}

impl FromStr for TimeSpan {
    type Err = TimeSpanError;

    fn from_str(text: &str) -> Result<Self, TimeSpanError> {
        // The parser would also take a clock time (1:30:00) and a span in the past (1s ago).
        if text.starts_with(['-', '+']) || text.ends_with("ago") {
            return Err(TimeSpanError::Signed);
        }
        let is_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b',');
        if text.bytes().all(is_number) && text.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(TimeSpanError::NoUnit(text.to_owned()));
        }
        if text.contains(':') {
            return Err(TimeSpanError::Unreadable);
        }
        // The parser knows one of the two characters that look like µ.
        let duration = SpanParser::new()
            .parse_unsigned_duration(text.replace('\u{3bc}', "\u{b5}"))
            .map_err(
                |_| match text.split(|char: char| !char.is_ascii_digit()).any(is_huge) {
                    true => TimeSpanError::TooLong,
                    false => TimeSpanError::Unreadable,
                },
            )?;
        let nanos = u64::try_from(duration.as_nanos()).map_err(|_| TimeSpanError::TooLong)?;
        Ok(Self(nanos))
    }
}

/// So many digits that the number may be beyond 64 bits, which the parser takes as unreadable.
fn is_huge(digits: &str) -> bool {
    digits.len() >= 19
}

/// Why a text is no [`TimeSpan`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimeSpanError {
    /// A number alone.
    #[error("needs a unit: {0}ms, {0}s")]
    NoUnit(String),
    /// A sign in front, or `ago` behind.
    #[error("a duration has no sign")]
    Signed,
    /// Zero where that makes no sense.
    #[error("must be longer than 0")]
    Zero,
    /// More than 2⁶⁴−1 ns.
    #[error("too long: the longest is 584 years")]
    TooLong,
    /// Anything else.
    #[error(
        "not a duration: write a number and a unit (ns, us, ms, s, m, h), such as 10ms or 1m30s"
    )]
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let spans = [
            ("5ns", 5),
            ("5us", 5_000),
            ("5µs", 5_000),
            ("5μs", 5_000),
            ("10ms", 10_000_000),
            ("10 ms", 10_000_000),
            ("2s", 2_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.5ms", 500_000),
            ("1m", 60_000_000_000),
            ("1m30s", 90_000_000_000),
            ("2h", 7_200_000_000_000),
            ("0s", 0),
            ("18446744073709551615ns", u64::MAX),
        ];
        for (text, nanos) in spans {
            assert_eq!(text.parse(), Ok(TimeSpan(nanos)), "{text}");
        }
    }

    #[test]
    fn a_number_alone_needs_a_unit() {
        for text in ["10", "0", "1.5"] {
            assert_eq!(
                text.parse::<TimeSpan>(),
                Err(TimeSpanError::NoUnit(text.into()))
            );
        }
        assert_eq!(
            "10".parse::<TimeSpan>().unwrap_err().to_string(),
            "needs a unit: 10ms, 10s"
        );
    }

    #[test]
    fn signs_are_refused() {
        for text in ["-1s", "+1s", "1s ago"] {
            assert_eq!(
                text.parse::<TimeSpan>(),
                Err(TimeSpanError::Signed),
                "{text}"
            );
        }
    }

    #[test]
    fn too_long_is_refused() {
        for text in [
            "18446744073709551616ns",
            "99999999999s",
            "999999999999999999999h",
        ] {
            assert_eq!(
                text.parse::<TimeSpan>(),
                Err(TimeSpanError::TooLong),
                "{text}"
            );
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "ms",
            "10 parsecs",
            "1:30:00",
            "PT1S",
            "1s1h",
            "ten seconds",
            ".",
            "1e3s",
        ] {
            assert_eq!(
                text.parse::<TimeSpan>(),
                Err(TimeSpanError::Unreadable),
                "{text}"
            );
        }
    }

    #[test]
    fn positive_refuses_zero() {
        assert_eq!(TimeSpan::positive("0ms"), Err(TimeSpanError::Zero));
        // Not "needs a unit", as it is refused with one, too.
        assert_eq!(TimeSpan::positive("0"), Err(TimeSpanError::Zero));
        assert_eq!(TimeSpan::positive("1ns"), Ok(TimeSpan(1)));
    }
}
