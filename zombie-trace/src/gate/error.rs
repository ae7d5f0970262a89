use thiserror::Error;

use crate::value::TimeSpanError;

/// Why a text is no [`Condition`](super::Condition), and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at character {at}: {problem}")]
pub struct ConditionError {
    /// The first character is 1.
    pub at: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong in a condition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// What can't be compared here, and what can.
    #[error("'{0}' is not known: it can be {list}", list = .1.join(", "))]
    Metric(String, &'static [&'static str]),
    /// A percentile that is none.
    #[error("'{0}': {1}")]
    Percentile(String, &'static str),
    /// Neither `>` nor `<`.
    #[error("needs > or <, such as in p99>50ms or alive>10")]
    Comparison,
    /// `>=` or `<=`.
    #[error("write > or < without =")]
    Equal,
    /// Nothing behind the comparison.
    #[error("needs a value, such as in p99>50ms or alive>10")]
    NoValue,
    /// No duration.
    #[error("'{0}': {1}")]
    Time(String, TimeSpanError),
    /// No whole number.
    #[error("'{0}' is no whole number, such as in alive>10")]
    Number(String),
    /// No rate.
    #[error("'{0}' is no rate, such as in rate<100/s")]
    Rate(String),
    /// No change.
    #[error("'{0}' is no change, such as in p99>+20% or p99<-10%")]
    Change(String),
    /// A change where there is one run.
    #[error("'{0}' is a change: only zombie-trace diff has two runs to compare")]
    NoBase(String),
}
