//! Conditions that must not hold (`--fail-if`): parsed, judged by figures, reported. This module is pure.

mod condition;
mod error;
mod figures;
mod format;
mod judged;
mod metric;
mod value;
mod verdict;

pub use condition::{Condition, LimitOperator};
pub use error::{ConditionError, Problem};
pub use figures::Figures;
pub use format::{Format, render};
pub use judged::Judged;
pub use metric::Metric;
pub use value::Value;
pub use verdict::Verdict;
