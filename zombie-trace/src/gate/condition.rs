use std::{cmp::Ordering, fmt, str::FromStr};

use super::{ConditionError, Figures, Metric, Problem, Value, Verdict};

/// What must not be: `p99>50ms`, `alive<1`, `rate<100/s`, and of two runs `p99>+20%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    metric: Metric,
    comparison: LimitOperator,
    limit: Value,
}

/// How a figure is compared with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitOperator {
    /// `>`
    More,
    /// `<`
    Less,
}

impl Condition {
    /// Parses what a single run can be judged by.
    pub fn of_a_run(text: &str) -> Result<Self, ConditionError> {
        parse(text, Allowed::OfARun, false)
    }

    /// Parses what the zombies that exist now can be judged by.
    pub fn of_now(text: &str) -> Result<Self, ConditionError> {
        parse(text, Allowed::OfNow, false)
    }

    /// Parses what two runs can be judged by: a change, or a limit for the second.
    pub fn of_two_runs(text: &str) -> Result<Self, ConditionError> {
        parse(text, Allowed::OfARun, true)
    }

    /// What it is about.
    pub fn metric(self) -> Metric {
        self.metric
    }

    /// Whether it holds above or below the limit.
    pub fn comparison(self) -> LimitOperator {
        self.comparison
    }

    /// What the figure is compared with.
    pub fn limit(self) -> Value {
        self.limit
    }

    /// Whether it compares two runs.
    pub fn is_change(self) -> bool {
        matches!(self.limit, Value::Change(_))
    }

    /// Whether it holds; a change of nothing else is never known.
    pub fn judge(self, figures: &Figures) -> Verdict {
        match figures.get(self.metric) {
            _ if self.is_change() => Verdict::NoData,
            Some(actual) => self.compare(actual),
            None if figures.count == 0 && self.metric.is_of_the_reaped() => Verdict::NoData,
            None => Verdict::Unknown,
        }
    }

    /// Whether it holds from one run to another: a limit is for the latter.
    pub fn judge_change(self, base: &Figures, new: &Figures) -> Verdict {
        if !self.is_change() {
            return self.judge(new);
        }
        let change = || {
            let base = base.get(self.metric)?;
            base.change_to(new.get(self.metric)?)
        };
        change().map_or(Verdict::NoData, |change| self.compare(change))
    }

    fn compare(self, actual: Value) -> Verdict {
        let beyond = match self.comparison {
            LimitOperator::More => Ordering::Greater,
            LimitOperator::Less => Ordering::Less,
        };
        match actual.compare(self.limit) {
            Some(order) if order == beyond => Verdict::Holds(actual),
            Some(_) => Verdict::DoesNotHold(actual),
            None => Verdict::NoData,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comparison = match self.comparison {
            LimitOperator::More => '>',
            LimitOperator::Less => '<',
        };
        write!(f, "{}{comparison}{}", self.metric, self.limit)
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    /// The whole grammar, whatever a condition is for.
    fn from_str(text: &str) -> Result<Self, ConditionError> {
        parse(text, Allowed::OfARun, true)
    }
}

/// What a condition can be about.
#[derive(Clone, Copy)]
enum Allowed {
    OfARun,
    OfNow,
}

fn parse(text: &str, allowed: Allowed, change: bool) -> Result<Condition, ConditionError> {
    let error = |byte: usize, problem| ConditionError {
        at: text[..byte].chars().count() + 1,
        problem,
    };
    let begin = text.len() - text.trim_start().len();
    let rest = &text[begin..];
    let name = &rest[..rest
        .find(|char: char| !char.is_alphanumeric() && !"._".contains(char))
        .unwrap_or(rest.len())];
    let metric = Metric::named(name)
        .map_err(|why| error(begin, Problem::Percentile(name.to_owned(), why)))?
        .filter(|metric| matches!(allowed, Allowed::OfARun) || metric.is_of_now());
    let metric = metric.ok_or_else(|| {
        let allowed = match allowed {
            Allowed::OfARun => Metric::OF_A_RUN,
            Allowed::OfNow => Metric::OF_NOW,
        };
        error(begin, Problem::Metric(name.to_owned(), allowed))
    })?;

    let rest = rest[name.len()..].trim_start();
    let at = text.len() - rest.len();
    let comparison = match rest.chars().next() {
        Some('>') => LimitOperator::More,
        Some('<') => LimitOperator::Less,
        _ => return Err(error(at, Problem::Comparison)),
    };
    if rest[1..].starts_with('=') {
        return Err(error(at + 1, Problem::Equal));
    }

    let rest = rest[1..].trim_start();
    let at = text.len() - rest.len();
    let limit = Value::parse(metric, rest.trim_end())
        .map_err(|(byte, problem)| error(at + byte, problem))?;
    if matches!(limit, Value::Change(_)) && !change {
        return Err(error(at, Problem::NoBase(rest.trim_end().to_owned())));
    }
    Ok(Condition {
        metric,
        comparison,
        limit,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::ZombieTimes;

    fn condition(text: &str) -> Condition {
        text.parse().unwrap()
    }

    fn figures() -> Figures {
        Figures {
            zombie_ns: ZombieTimes {
                count: 200,
                min: Some(1),
                mean: Some(30_000),
                p50: Some(10_000),
                p90: Some(90_000),
                p99: Some(1_000_000),
                p999: Some(2_000_000),
                max: Some(3_000_000),
            },
            times: None,
            count: 200,
            alive: Some(4),
            oldest_ns: Some(7_000_000_000),
            zombie_time_ns: Some(90_000_000_000),
            duration: Duration::from_secs(20),
        }
    }

    fn holds(text: &str, figures: &Figures) -> Option<bool> {
        match condition(text).judge(figures) {
            Verdict::Holds(_) => Some(true),
            Verdict::DoesNotHold(_) => Some(false),
            Verdict::NoData | Verdict::Unknown => None,
        }
    }

    #[test]
    fn each_metric_is_compared_with_its_figure() {
        for (more, less) in [
            ("p50>9999ns", "p50<10001ns"),
            ("p90>89us", "p90<91us"),
            ("p99>999us", "p99<1001us"),
            ("p999>1.9ms", "p999<2.1ms"),
            ("max>2ms", "max<1s"),
            ("mean>29us", "mean<31us"),
            ("count>199", "count<201"),
            ("alive>3", "alive<5"),
            ("rate>9.99/s", "rate<10.01/s"),
            ("age>6s", "age<8s"),
        ] {
            assert_eq!(holds(more, &figures()), Some(true), "{more}");
            assert_eq!(holds(less, &figures()), Some(true), "{less}");
            let opposite = |text: &str| match text.contains('>') {
                true => text.replace('>', "<"),
                false => text.replace('<', ">"),
            };
            assert_eq!(holds(&opposite(more), &figures()), Some(false), "{more}");
            assert_eq!(holds(&opposite(less), &figures()), Some(false), "{less}");
        }
    }

    #[test]
    fn a_limit_itself_is_neither_more_nor_less() {
        for text in ["max>3ms", "max<3ms", "alive>4", "alive<4", "rate>10/s"] {
            assert_eq!(holds(text, &figures()), Some(false), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_does_not_hold() {
        let empty = Figures {
            alive: Some(0),
            ..Figures::default()
        };
        for text in ["p50<1s", "max>0ns", "mean<1s", "rate<1/s"] {
            assert_eq!(holds(text, &empty), None, "{text}");
        }
        // None is a number.
        assert_eq!(holds("count<1", &empty), Some(true));
        assert_eq!(holds("alive>0", &empty), Some(false));
        assert_eq!(holds("oldest>0s", &empty), Some(false));
        let unknown = Figures {
            count: 1,
            alive: Some(1),
            ..empty.clone()
        };
        for text in ["p95>1s", "oldest>1s"] {
            assert_eq!(condition(text).judge(&unknown), Verdict::Unknown);
        }
        // A recording without its end does not pass for one without zombies.
        for text in ["alive>0", "alive<1", "oldest>1s", "zombie_time>1s"] {
            let cut = empty.clone().without_end();
            assert_eq!(condition(text).judge(&cut), Verdict::Unknown, "{text}");
        }
    }

    #[test]
    fn changes_are_from_one_run_to_another() {
        let base = figures();
        let new = Figures {
            zombie_ns: ZombieTimes {
                p99: Some(1_250_000),
                p50: Some(8_000),
                ..base.zombie_ns
            },
            ..base.clone()
        };
        let judge = |text| condition(text).judge_change(&base, &new);
        assert_eq!(judge("p99>+20%"), Verdict::Holds(Value::Change(25.0)));
        assert_eq!(judge("p99>+25%"), Verdict::DoesNotHold(Value::Change(25.0)));
        assert_eq!(judge("p50<-10%"), Verdict::Holds(Value::Change(-20.0)));
        assert_eq!(judge("alive>+0%"), Verdict::DoesNotHold(Value::Change(0.0)));
        assert_eq!(judge("p99>1ms"), Verdict::Holds(Value::Time(1_250_000)));
        let empty = Figures::default();
        let change = condition("p99>+20%");
        assert_eq!(change.judge_change(&empty, &new), Verdict::NoData);
        assert_eq!(change.judge_change(&base, &empty), Verdict::NoData);
        assert_eq!(change.judge(&new), Verdict::NoData);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, at, part) in [
            ("", 1, "'' is not known: it can be p50, p95"),
            ("q98>3ms", 1, "'q98' is not known"),
            (
                "p100.5>3ms",
                1,
                "'p100.5': a percentile is above 0 and below 100",
            ),
            ("p99.99999>3ms", 1, "at most four decimals"),
            ("  ällt>3ms", 3, "'ällt' is not known"),
            ("P99>3ms", 1, "'P99'"),
            ("p99", 4, "needs > or <"),
            ("p99 = 3ms", 5, "needs > or <"),
            ("p99>=3ms", 5, "without ="),
            ("p99>", 5, "needs a value"),
            ("p99 >  ", 8, "needs a value"),
            ("p99>50", 5, "'50': needs a unit: 50ms, 50s"),
            ("p99>-1s", 5, "'-1s': a duration has no sign"),
            ("p99>1 parsec", 5, "not a duration"),
            ("alive>", 7, "needs a value"),
            ("alive>-1", 7, "'-1' is no whole number"),
            ("alive>10ms", 9, "'10ms' is no whole number"),
            ("count>1.5", 8, "'1.5' is no whole number"),
            ("alive>99999999999999999999", 7, "is no whole number"),
            ("rate>100", 6, "'100' is no rate"),
            ("rate>1e3/s", 6, "'1e3/s' is no rate"),
            ("rate>/s", 6, "is no rate"),
            ("p99>20%", 5, "'20%' is no change"),
            ("p99>+x%", 5, "'+x%' is no change"),
            ("p99>50ms,max>1s", 5, "not a duration"),
        ] {
            let error = text.parse::<Condition>().unwrap_err();
            assert_eq!(error.at, at, "{text}: {error}");
            let message = error.to_string();
            assert!(message.starts_with(&format!("at character {at}: ")));
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn each_use_has_its_own() {
        let message = |result: Result<Condition, ConditionError>| result.unwrap_err().to_string();
        assert_eq!(
            message(Condition::of_now("p99>3ms")),
            "at character 1: 'p99' is not known: it can be alive, oldest"
        );
        assert_eq!(condition("age>3ms"), condition("oldest>3ms"));
        assert_eq!(
            message(Condition::of_a_run("p99>+20%")),
            "at character 5: '+20%' is a change: only zombie-trace diff has two runs to compare"
        );
        assert!(message(Condition::of_now("alive>+20%")).contains("'+20%' is a change"));
        assert!(Condition::of_now("age>1m").is_ok());
        assert!(Condition::of_a_run("rate<0.5/s").is_ok());
        assert!(Condition::of_two_runs("p99<-10%").is_ok());
    }

    #[test]
    fn spaces_do_not_matter() {
        assert_eq!(condition(" alive  > 10 ").to_string(), "alive>10");
        assert_eq!(condition("p99 < 1m30s").to_string(), "p99<90s");
        assert_eq!(condition("rate<100 /s").to_string(), "rate<100/s");
        assert_eq!(condition("p99>+20.50%").to_string(), "p99>+20.5%");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(
            metric in 0..Metric::OF_A_RUN.len(),
            more: bool,
            number: u64,
            thousandths in 0..1_000_000_000_u32,
            change: bool,
            sign: bool,
        ) {
            let metric = Metric::named(Metric::OF_A_RUN[metric]).unwrap().unwrap();
            let decimal = f64::from(thousandths) / 1000.0;
            let limit = match metric {
                _ if change => Value::Change(if sign { decimal } else { -decimal }),
                Metric::Count | Metric::Alive => Value::Number(number),
                Metric::Rate => Value::Rate(decimal),
                _ => Value::Time(number),
            };
            let comparison = if more { LimitOperator::More } else { LimitOperator::Less };
            let condition = Condition { metric, comparison, limit };
            prop_assert_eq!(condition.to_string().parse(), Ok(condition));
        }

        #[test]
        fn no_text_panics(text in "[ a-z0-9<>=%+./ä-]{0,12}") {
            if let Err(error) = text.parse::<Condition>() {
                prop_assert!(error.at <= text.chars().count() + 1);
            }
        }
    }
}
