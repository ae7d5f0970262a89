use super::{Condition, Metric, Value, Verdict};

/// A condition and what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// What must not be.
    pub condition: Condition,
    /// Whether it is.
    pub verdict: Verdict,
}

impl Judged {
    /// It holds: the gate has failed.
    pub fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Holds(_))
    }

    /// What the figure is, in plain words.
    pub fn explanation(&self) -> String {
        let metric = self.condition.metric();
        let actual = match self.verdict {
            Verdict::Holds(actual) | Verdict::DoesNotHold(actual) => actual,
            Verdict::NoData if self.condition.is_change() => {
                return format!("how {metric} has changed can't be told: there is too little data");
            }
            Verdict::NoData => {
                let why = match metric {
                    Metric::Age => "there was no zombie",
                    _ => "none was reaped",
                };
                return format!("{metric} is not known, as {why}");
            }
        };
        // To a few digits it can look like the limit that it is beyond.
        let shown = match actual.human() {
            shown if shown == self.condition.limit().human() => actual.to_string(),
            shown => shown,
        };
        match actual {
            Value::Change(_) => format!("{metric} has changed by {shown}"),
            _ => format!("{metric} is {shown}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation(condition: &str, verdict: Verdict) -> String {
        let condition = condition.parse().unwrap();
        Judged { condition, verdict }.explanation()
    }

    #[test]
    fn figures_are_short_unless_that_would_hide_the_difference() {
        let time = |ns| explanation("p99>50ms", Verdict::Holds(Value::Time(ns)));
        assert_eq!(time(62_314_517), "p99 is 62.3 ms");
        assert_eq!(time(50_000_001), "p99 is 50000001ns");
        assert_eq!(
            explanation("p99>+20%", Verdict::Holds(Value::Change(24.0))),
            "p99 has changed by +24.0%"
        );
        assert_eq!(
            explanation("max>1s", Verdict::NoData),
            "max is not known, as none was reaped"
        );
    }
}
