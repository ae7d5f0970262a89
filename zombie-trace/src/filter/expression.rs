//! A filter as one line of text: `parent~nginx zombie>10ms cause=blocks-sigchld`.

use std::{borrow::Cow, fmt, str::FromStr};

use thiserror::Error;

use crate::{
    model::{Alive, Cause, Comm, Dying, Zombie},
    value::TimeSpan,
};

/// Conditions that must all hold. The empty one holds always.
///
/// A condition is a field, an operator and a value, without spaces around the operator. What is not known
/// of a process meets no condition about it. `Display` gives the text back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expression {
    text: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    field: Field,
    operator: Operator,
    value: Value,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Pid,
    Comm,
    Ppid,
    Parent,
    Zombie,
    Cause,
    Container,
    Cgroup,
    Uid,
    Exit,
    Signal,
}

impl Field {
    const ALL: [(&'static str, Self); 11] = [
        ("pid", Self::Pid),
        ("comm", Self::Comm),
        ("ppid", Self::Ppid),
        ("parent", Self::Parent),
        ("zombie", Self::Zombie),
        ("cause", Self::Cause),
        ("container", Self::Container),
        ("cgroup", Self::Cgroup),
        ("uid", Self::Uid),
        ("exit", Self::Exit),
        ("signal", Self::Signal),
    ];

    fn is_text(self) -> bool {
        matches!(
            self,
            Self::Comm | Self::Parent | Self::Cause | Self::Container | Self::Cgroup
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Contains,
    ContainsNot,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Operator {
    /// Longer ones first.
    const ALL: [(&'static str, Self); 8] = [
        ("!=", Self::NotEqual),
        ("!~", Self::ContainsNot),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("=", Self::Equal),
        ("~", Self::Contains),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    fn is_about_order(self) -> bool {
        matches!(
            self,
            Self::Less | Self::AtMost | Self::Greater | Self::AtLeast
        )
    }

    fn is_about_parts(self) -> bool {
        matches!(self, Self::Contains | Self::ContainsNot)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u64),
    Text(String),
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("column {column}: {reason}")]
pub struct ExpressionError {
    /// Where it is wrong: the number of characters up to there, from 1.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub reason: String,
}

/// What a filter looks at: a zombie, living or reaped, or a row about several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject<'a> {
    /// The process.
    pub pid: Option<u32>,
    /// Its command name.
    pub comm: Option<Cow<'a, str>>,
    /// Its parent.
    pub ppid: Option<u32>,
    /// The parent's command name.
    pub parent: Option<Cow<'a, str>>,
    /// The parent's command line. A condition about the parent is about both.
    pub parent_cmdline: Option<&'a str>,
    /// The zombie time or, so far, the age, in ns.
    pub zombie_ns: Option<u64>,
    /// Why it lingers.
    pub cause: Option<Cause>,
    /// Its container's ID or name.
    pub container: Option<&'a str>,
    /// Its cgroup's path.
    pub cgroup: Option<&'a str>,
    /// Its user.
    pub uid: Option<u32>,
    /// Its exit code.
    pub exit_code: Option<u8>,
    /// The signal that killed it.
    pub signal: Option<u8>,
}

impl<'a> From<&'a Zombie> for Subject<'a> {
    fn from(zombie: &'a Zombie) -> Self {
        Self {
            pid: Some(zombie.pid),
            comm: Some(zombie.comm.to_str()),
            ppid: zombie.ppid,
            parent: zombie.parent_comm.as_ref().map(|comm| comm.to_str()),
            parent_cmdline: None,
            zombie_ns: Some(zombie.zombie_ns),
            cause: zombie.cause,
            container: zombie.container.as_ref().map(|container| container.name()),
            cgroup: zombie.cgroup.as_deref(),
            uid: Some(zombie.uid),
            exit_code: zombie.exit_code,
            signal: zombie.signal,
        }
    }
}

impl<'a> From<&'a Alive> for Subject<'a> {
    fn from(alive: &'a Alive) -> Self {
        Self {
            pid: Some(alive.pid),
            comm: Some(alive.comm.to_str()),
            ppid: alive.ppid,
            parent: alive.parent_comm.as_ref().map(|comm| comm.to_str()),
            parent_cmdline: None,
            zombie_ns: Some(alive.age_ns),
            cause: alive.cause,
            container: alive.container.as_ref().map(|container| container.name()),
            cgroup: alive.cgroup.as_deref(),
            uid: Some(alive.uid),
            exit_code: alive.exit_code,
            signal: alive.signal,
        }
    }
}

impl<'a> Subject<'a> {
    /// A dying process, and its parent's name. It has no zombie time yet.
    pub(super) fn dying(dying: &'a Dying, parent: Option<&'a Comm>) -> Self {
        Self {
            pid: Some(dying.pid),
            comm: Some(dying.comm.to_str()),
            ppid: dying.ppid,
            parent: parent.map(Comm::to_str),
            signal: dying.signal,
            ..Self::default()
        }
    }
}

impl Expression {
    /// It holds always.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether all conditions hold.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(subject))
    }
}

impl Condition {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        let number = match self.field {
            Field::Pid => subject.pid.map(u64::from),
            Field::Ppid => subject.ppid.map(u64::from),
            Field::Zombie => subject.zombie_ns,
            Field::Uid => subject.uid.map(u64::from),
            Field::Exit => subject.exit_code.map(u64::from),
            Field::Signal => subject.signal.map(u64::from),
            _ => None,
        };
        let texts = match self.field {
            Field::Comm => [subject.comm.as_deref(), None],
            Field::Parent => [subject.parent.as_deref(), subject.parent_cmdline],
            Field::Cause => [subject.cause.map(Cause::code), None],
            Field::Container => [subject.container, None],
            Field::Cgroup => [subject.cgroup, None],
            _ => [None, None],
        };
        let mut texts = texts.into_iter().flatten().peekable();
        match (&self.value, number) {
            (Value::Number(wanted), Some(number)) => match self.operator {
                Operator::Equal => number == *wanted,
                Operator::NotEqual => number != *wanted,
                Operator::Less => number < *wanted,
                Operator::AtMost => number <= *wanted,
                Operator::Greater => number > *wanted,
                Operator::AtLeast => number >= *wanted,
                Operator::Contains | Operator::ContainsNot => false,
            },
            (Value::Text(wanted), _) if texts.peek().is_some() => match self.operator {
                Operator::Equal => texts.any(|text| text == wanted),
                Operator::NotEqual => texts.all(|text| text != wanted),
                Operator::Contains => texts.any(|text| text.contains(wanted.as_str())),
                Operator::ContainsNot => texts.all(|text| !text.contains(wanted.as_str())),
                _ => false,
            },
            _ => false,
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let mut parser = Parser { text, at: 0 };
        let mut conditions = Vec::new();
        while parser.skip_spaces() {
            conditions.push(parser.condition()?);
        }
        Ok(Self {
            text: text.trim().to_owned(),
            conditions,
        })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, at: usize, reason: impl Into<String>) -> ExpressionError {
        ExpressionError {
            column: self.text[..at].chars().count() + 1,
            reason: reason.into(),
        }
    }

    /// Whether something follows.
    fn skip_spaces(&mut self) -> bool {
        self.at += self.rest().len() - self.rest().trim_start().len();
        !self.rest().is_empty()
    }

    fn condition(&mut self) -> Result<Condition, ExpressionError> {
        let begin = self.at;
        let name = self.word(|char| char.is_ascii_alphabetic());
        let field = Field::ALL.into_iter().find(|(known, _)| *known == name);
        let Some((_, field)) = field else {
            let names: Vec<_> = Field::ALL.iter().map(|(name, _)| *name).collect();
            return Err(self.error(begin, format!("expected one of {}", names.join(", "))));
        };
        let operator_at = self.at;
        let rest = self.rest();
        let operator = Operator::ALL
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign));
        let Some((sign, operator)) = operator else {
            let signs = if field.is_text() {
                "=, !=, ~ or !~"
            } else {
                "=, !=, <, <=, > or >="
            };
            return Err(self.error(operator_at, format!("{name} must be followed by {signs}")));
        };
        match field.is_text() {
            true if operator.is_about_order() => {
                let reason = format!("{name} is text: use =, !=, ~ or !~");
                return Err(self.error(operator_at, reason));
            }
            false if operator.is_about_parts() => {
                let reason = format!("{name} is a number: use =, !=, <, <=, > or >=");
                return Err(self.error(operator_at, reason));
            }
            _ => {}
        }
        self.at += sign.len();
        let value_at = self.at;
        let text = self.value()?;
        if text.is_empty() {
            return Err(self.error(value_at, format!("{name}{sign} lacks a value")));
        }
        let value = self.checked(field, operator, &text, value_at)?;
        Ok(Condition {
            field,
            operator,
            value,
        })
    }

    fn checked(
        &self,
        field: Field,
        operator: Operator,
        text: &str,
        at: usize,
    ) -> Result<Value, ExpressionError> {
        match field {
            Field::Zombie => {
                let span: Result<TimeSpan, _> = TimeSpan::or_zero(text);
                let span = span.map_err(|error| self.error(at, error.to_string()))?;
                Ok(Value::Number(span.as_nanos()))
            }
            Field::Cause if !operator.is_about_parts() => {
                let is_known = Cause::ALL.iter().any(|cause| cause.code() == text);
                match is_known {
                    true => Ok(Value::Text(text.to_owned())),
                    false => {
                        let reason = format!("there is no cause {text}: docs/causes.md lists them");
                        Err(self.error(at, reason))
                    }
                }
            }
            field if field.is_text() => Ok(Value::Text(text.to_owned())),
            _ => match text.parse() {
                Ok(number) => Ok(Value::Number(number)),
                Err(_) => Err(self.error(at, format!("{text} is not a number"))),
            },
        }
    }

    fn word(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Up to the next space, or in double quotes.
    fn value(&mut self) -> Result<String, ExpressionError> {
        let begin = self.at;
        let Some(quoted) = self.rest().strip_prefix('"') else {
            return Ok(self.word(|char| !char.is_whitespace()).to_owned());
        };
        let Some(end) = quoted.find('"') else {
            return Err(self.error(begin, "the closing quote is missing"));
        };
        self.at += end + 2;
        Ok(quoted[..end].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures;

    fn parse(text: &str) -> Expression {
        text.parse().unwrap()
    }

    #[test]
    fn all_conditions_must_hold() {
        let zombie = Zombie {
            zombie_ns: 20_000_000,
            cause: Some(Cause::BlocksSigchld),
            ..fixtures::zombie()
        };
        for (text, expected) in [
            ("", true),
            ("parent~as zombie>10ms cause=blocks-sigchld", true),
            ("parent~as zombie>20ms", false),
            ("zombie>=20ms zombie<=20ms", true),
            ("comm=sleep", true),
            ("comm=slee", false),
            ("comm!=sleep", false),
            ("comm!~x", true),
            ("parent=\"bash\" pid=4243 ppid!=1", true),
            ("uid=1000 exit=0", true),
            ("cause~sigchld", true),
            // What is not known meets no condition.
            ("signal!=9", false),
            ("container!=x", false),
        ] {
            assert_eq!(parse(text).matches(&(&zombie).into()), expected, "{text}");
        }
    }

    #[test]
    fn the_age_of_the_living_is_their_time() {
        let alive = fixtures::alive();
        assert!(parse("zombie=3s parent=bash").matches(&(&alive).into()));
        assert!(!parse("zombie>3s").matches(&(&alive).into()));
    }

    #[test]
    fn a_value_in_quotes_holds_spaces() {
        let subject = Subject {
            parent: Some("node server.js".into()),
            ..Subject::default()
        };
        assert!(parse("parent~\"node server\"").matches(&subject));
        assert!(!parse("parent~\"node x\"").matches(&subject));
    }

    #[test]
    fn a_parent_has_a_name_and_a_command_line() {
        let subject = Subject {
            parent: Some("node".into()),
            parent_cmdline: Some("/usr/bin/node server.js"),
            ..Subject::default()
        };
        for (text, expected) in [
            ("parent=node", true),
            ("parent~server", true),
            ("parent!=node", false),
            ("parent!~server", false),
            ("parent!~python", true),
        ] {
            assert_eq!(parse(text).matches(&subject), expected, "{text}");
        }
    }

    #[test]
    fn errors_say_where() {
        for (text, column, reason) in [
            ("comm=x size>3", 8, "expected one of pid, comm"),
            ("parent", 7, "parent must be followed by =, !=, ~ or !~"),
            ("zombie~1s", 7, "zombie is a number: use ="),
            ("comm>1", 5, "comm is text: use ="),
            ("zombie>10", 8, ""),
            ("pid=abc", 5, "abc is not a number"),
            ("cause=no-such", 7, "there is no cause no-such"),
            ("comm=", 6, "comm= lacks a value"),
            ("é comm=x", 1, "expected one of"),
            ("comm=é size=1", 8, "expected one of"),
            ("comm=\"a b", 6, "the closing quote is missing"),
        ] {
            let error = text.parse::<Expression>().unwrap_err();
            assert_eq!(error.column, column, "{text}: {error}");
            assert!(error.reason.starts_with(reason), "{text}: {error}");
        }
    }

    #[test]
    fn the_text_is_kept() {
        assert_eq!(parse(" parent~a  pid=3 ").to_string(), "parent~a  pid=3");
        assert!(parse("  ").is_empty());
    }
}
