use std::{fmt, str::FromStr};

use thiserror::Error;

/// What must not be: `alive>10`, `alive<1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    comparison: Comparison,
    limit: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    More,
    Less,
}

impl Condition {
    /// Whether it holds with so many zombies alive.
    pub fn holds(self, alive: u64) -> bool {
        match self.comparison {
            Comparison::More => alive > self.limit,
            Comparison::Less => alive < self.limit,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comparison = match self.comparison {
            Comparison::More => '>',
            Comparison::Less => '<',
        };
        write!(f, "alive{comparison}{}", self.limit)
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let at = text.find(['<', '>']).ok_or(ConditionError::NoComparison)?;
        let (metric, rest) = text.split_at(at);
        if metric.trim() != "alive" {
            return Err(ConditionError::Metric(metric.trim().to_owned()));
        }
        let limit = rest[1..].trim();
        if limit.is_empty() || !limit.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ConditionError::Limit(at + 1, limit.to_owned()));
        }
        Ok(Self {
            comparison: if rest.starts_with('>') {
                Comparison::More
            } else {
                Comparison::Less
            },
            limit: limit
                .parse()
                .map_err(|_| ConditionError::Limit(at + 1, limit.to_owned()))?,
        })
    }
}

/// Why a text is no [`Condition`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConditionError {
    /// Neither `>` nor `<`.
    #[error("needs > or <, such as alive>10")]
    NoComparison,
    /// Something that can't be compared.
    #[error("at character 1: '{0}' is not known: it can only be alive, such as alive>10")]
    Metric(String),
    /// Not a number; after which character.
    #[error("after character {0}: '{1}' is no whole number, such as in alive>10")]
    Limit(usize, String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Condition {
        text.parse().unwrap()
    }

    #[test]
    fn more_and_less() {
        assert!(condition("alive>3").holds(4) && !condition("alive>3").holds(3));
        assert!(condition("alive < 1").holds(0) && !condition("alive<1").holds(1));
        assert_eq!(condition(" alive > 10 ").to_string(), "alive>10");
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| text.parse::<Condition>().unwrap_err();
        assert_eq!(error("alive"), ConditionError::NoComparison);
        assert_eq!(error("p99>3"), ConditionError::Metric("p99".to_owned()));
        assert_eq!(error("alive>"), ConditionError::Limit(6, String::new()));
        assert_eq!(error("alive>-1"), ConditionError::Limit(6, "-1".to_owned()));
        assert!(matches!(
            error("alive>99999999999999999999"),
            ConditionError::Limit(..)
        ));
    }
}
