use super::{Condition, LimitOperator, Value, Verdict};
use crate::text::lifetime;

/// A condition and what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// What must not be.
    pub condition: Condition,
    /// Whether it is.
    pub verdict: Verdict,
    /// What a zombie time is exact to, in ns.
    pub error_ns: u64,
}

impl Judged {
    /// The gate has failed.
    pub fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Holds(_) | Verdict::Unknown)
    }

    /// `PASS p99 = 12.3 ms (limit 50 ms)`, or `FAIL` and the same.
    pub fn line(&self) -> String {
        let word = if self.failed() { "FAIL" } else { "PASS" };
        format!("{word} {}", self.explanation())
    }

    /// What the figure is, and what it may be: `p99 = 12.3 ms (limit 50 ms)`.
    pub fn explanation(&self) -> String {
        let metric = self.condition.metric();
        let limit = match self.condition.comparison() {
            LimitOperator::More => "limit",
            LimitOperator::Less => "at least",
        };
        let limit = format!("({limit} {})", self.condition.limit().spaced());
        let actual = match self.verdict {
            Verdict::Holds(actual) | Verdict::DoesNotHold(actual) => actual,
            Verdict::NoData if self.condition.is_change() => {
                return format!("{metric}: too little data to tell a change {limit}");
            }
            Verdict::NoData => return format!("{metric}: no zombie was reaped {limit}"),
            Verdict::Unknown => {
                let why = match metric.is_a_zombie_time() {
                    true => "no exact times are known",
                    false => "the recording ends before the run's summary",
                };
                return format!("{metric} can't be judged: {why} {limit}");
            }
        };
        // To a few digits it can look like the limit that it is beyond.
        let shown = match (actual, actual.human()) {
            (Value::Time(ns), _) if metric.is_a_zombie_time() && ns < self.error_ns => {
                lifetime::exact(ns, self.error_ns)
            }
            (_, shown) if shown == self.condition.limit().human() => actual.spaced(),
            (_, shown) => shown,
        };
        match actual {
            Value::Change(percent) if percent.is_infinite() => {
                format!("{metric} rose from 0 {limit}")
            }
            Value::Change(_) => format!("{metric} changed by {shown} {limit}"),
            _ => format!("{metric} = {shown} {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(condition: &str, verdict: Verdict) -> String {
        let condition = condition.parse().unwrap();
        Judged {
            condition,
            verdict,
            error_ns: 1_000,
        }
        .line()
    }

    #[test]
    fn each_gate_has_a_line() {
        let holds = |ns| line("p99>50ms", Verdict::Holds(Value::Time(ns)));
        assert_eq!(holds(200_000_000), "FAIL p99 = 200 ms (limit 50 ms)");
        assert_eq!(holds(50_000_001), "FAIL p99 = 50000001 ns (limit 50 ms)");
        // A figure is no finer than its error.
        assert_eq!(holds(999), "FAIL p99 = <1 µs (limit 50 ms)");
        assert_eq!(
            line("zombie_time>0ns", Verdict::Holds(Value::Time(999))),
            "FAIL zombie_time = 999 ns (limit 0 ns)"
        );
        assert_eq!(
            line("p99.95>1500ms", Verdict::DoesNotHold(Value::Time(1_000))),
            "PASS p99.95 = 1.00 µs (limit 1500 ms)"
        );
        assert_eq!(
            line("rate<100/s", Verdict::Holds(Value::Rate(80.0))),
            "FAIL rate = 80.00/s (at least 100/s)"
        );
        assert_eq!(
            line("p99>+20%", Verdict::Holds(Value::Change(24.0))),
            "FAIL p99 changed by +24.0% (limit +20%)"
        );
        assert_eq!(
            line("alive>+0%", Verdict::Holds(Value::Change(f64::INFINITY))),
            "FAIL alive rose from 0 (limit +0%)"
        );
        assert_eq!(
            line("max>1s", Verdict::NoData),
            "PASS max: no zombie was reaped (limit 1 s)"
        );
        assert_eq!(
            line("p95>1s", Verdict::Unknown),
            "FAIL p95 can't be judged: no exact times are known (limit 1 s)"
        );
    }
}
