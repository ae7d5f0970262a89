//! A row of a table: figures that can be sorted, and their text.

use std::{cmp::Ordering, sync::Arc};

use jiff::tz::TimeZone;

use super::column::Column;
use crate::{
    aggregate::ParentKey,
    commands::top::data::Explanation,
    container::Container,
    lifecycle::TaskId,
    model::{Alive, Comm, Phase, Zombie},
    text::{human, printable, status, time_of_day, visible},
};

/// What distinguishes a row from all others of its view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Parent(ParentKey),
    ParentComm(Option<Comm>),
    Unit(Option<Arc<str>>),
    Container(Option<Arc<str>>),
    Command(Comm),
    Living(TaskId),
    Ancestor(u32),
    Reaped(u32, i64),
}

/// The figures of a parent, command or container.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RowFigures {
    pub(crate) alive: u64,
    pub(crate) oldest: Option<u64>,
    pub(crate) reaped: u64,
    /// Zombies from before the run that were reaped.
    pub(crate) pre_existing: u64,
    pub(crate) autoreaped: u64,
    /// Reaped zombies per second.
    pub(crate) rate: f64,
    pub(crate) p50: Option<u64>,
    pub(crate) p99: Option<u64>,
    pub(crate) max: Option<u64>,
    /// Zombie-seconds per second, which is the average number of living zombies.
    pub(crate) zombie_time: f64,
    /// How the zombie time is split, in the order of `Phase::ALL`, ns.
    pub(crate) phases: [u64; 5],
    /// The number of its living zombies grows.
    pub(crate) is_growing: bool,
    /// One of them is older than `--alive-after`.
    pub(crate) is_old: bool,
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Group(Box<RowFigures>),
    Living(Box<Alive>, u64),
    Reaped(Arc<Zombie>),
    /// A process that only stands above others in the tree.
    Ancestor,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopRow {
    pub(crate) key: Key,
    /// The process that the row is about.
    pub(crate) pid: Option<u32>,
    /// Its command name; escaped when it is shown.
    pub(crate) comm: Option<Comm>,
    /// What it is called; escaped.
    pub(crate) name: String,
    /// Of a zombie: its parent's name; escaped.
    pub(crate) parent: String,
    /// How many ancestors stand above it.
    pub(crate) depth: usize,
    pub(crate) container: Option<Container>,
    pub(crate) found: Option<Explanation>,
    pub(crate) content: Content,
}

/// What rows are sorted by.
#[derive(Clone, Debug, PartialEq)]
enum SortValue<'a> {
    Number(f64),
    Text(&'a str),
}

impl TopRow {
    pub(crate) fn figures(&self) -> Option<&RowFigures> {
        match &self.content {
            Content::Group(figures) => Some(figures),
            _ => None,
        }
    }

    /// The parent that the row is about: its own pid, or that of the zombie's parent.
    pub(crate) fn parent_process(&self) -> Option<(u32, Option<Comm>)> {
        match &self.content {
            Content::Group(_) | Content::Ancestor => Some((self.pid?, self.comm)),
            Content::Living(alive, _) => Some((alive.ppid?, alive.parent_comm)),
            Content::Reaped(zombie) => Some((zombie.ppid?, zombie.parent_comm)),
        }
    }

    /// The container, escaped; empty if there is none.
    pub(crate) fn container_name(&self) -> String {
        let container = self.container.as_ref();
        container
            .map(|container| visible(container.name()))
            .unwrap_or_default()
    }

    pub(crate) fn container(&self) -> Option<&Container> {
        self.container.as_ref()
    }

    /// Something that somebody should look at.
    pub(crate) fn is_marked(&self, old_ns: u64) -> bool {
        match &self.content {
            Content::Group(figures) => figures.is_growing || figures.is_old,
            Content::Living(_, age) => *age >= old_ns,
            Content::Reaped(_) | Content::Ancestor => false,
        }
    }

    /// Why, in a few words: the cause, or the phase that took most of the time.
    pub(crate) fn why(&self) -> String {
        match &self.found {
            Some(found) => why(found, what_it_does),
            None if self.lacks_cause() => String::new(),
            None if self.content == Content::Ancestor => String::new(),
            None => self.mostly(),
        }
    }

    /// It has living zombies, and nobody knows why.
    pub(crate) fn lacks_cause(&self) -> bool {
        let has_living = match &self.content {
            Content::Group(figures) => figures.alive > 0,
            Content::Living(..) => true,
            Content::Reaped(_) | Content::Ancestor => false,
        };
        has_living && self.found.is_none()
    }

    /// The same, with the parent's name; empty if no cause was found.
    pub(crate) fn whole_why(&self) -> String {
        let found = self.found.as_ref();
        found.map_or_else(String::new, |found| why(found, |text| text))
    }

    fn mostly(&self) -> String {
        let phases = match &self.content {
            Content::Group(figures) => figures.phases,
            Content::Reaped(zombie) => zombie.phases.map_or([0; 5], |phases| phases.times()),
            Content::Living(..) | Content::Ancestor => [0; 5],
        };
        match phases.iter().any(|time| *time > 0) {
            true => phase(crate::model::longest(phases)).to_owned(),
            false => "-".to_owned(),
        }
    }

    /// The text in a column.
    pub(crate) fn text(&self, column: Column, zone: &TimeZone) -> String {
        let pid = |pid: Option<u32>| pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let time = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), human);
        match (&self.content, column) {
            (_, Column::Pid) => pid(self.pid),
            (_, Column::Name) => match self.depth {
                0 => self.name.clone(),
                depth => format!("{}└{}", " ".repeat(depth - 1), self.name),
            },
            (_, Column::Why) => self.why(),
            (_, Column::Parent) => self.parent.clone(),
            (_, Column::Container) => self.container_name(),
            (_, Column::Mostly) => self.mostly(),
            (_, Column::ParentPid) => match &self.content {
                Content::Living(alive, _) => pid(alive.ppid),
                Content::Reaped(zombie) => pid(zombie.ppid),
                Content::Group(_) | Content::Ancestor => pid(self.pid),
            },
            (Content::Group(figures), column) => match column {
                Column::Alive => figures.alive.to_string(),
                Column::Oldest => time(figures.oldest),
                Column::Rate => rate(figures.rate),
                Column::P50 => time(figures.p50),
                Column::P99 => time(figures.p99),
                Column::ZombieTime => rate(figures.zombie_time),
                _ => String::new(),
            },
            (Content::Ancestor, _) => String::new(),
            (Content::Living(alive, age), column) => match column {
                Column::Age => human(*age),
                Column::Status => status(alive.exit_code, alive.signal, false),
                _ => String::new(),
            },
            (Content::Reaped(zombie), column) => match column {
                Column::Time => {
                    let time = time_of_day(zombie.ts, zone);
                    time.chars().take(Column::Time.width()).collect()
                }
                Column::Zombie => human(zombie.zombie_ns),
                Column::Status => status(zombie.exit_code, zombie.signal, zombie.core_dumped),
                Column::How => zombie.how.as_str().to_owned(),
                _ => String::new(),
            },
        }
    }

    fn sort_value(&self, column: Column) -> SortValue<'_> {
        let number = |number: Option<u64>| SortValue::Number(number.map_or(-1.0, |it| it as f64));
        match (&self.content, column) {
            (_, Column::Pid) => number(self.pid.map(u64::from)),
            (_, Column::Name) => SortValue::Text(&self.name),
            (_, Column::Parent) => SortValue::Text(&self.parent),
            (_, Column::Container) => {
                SortValue::Text(self.container.as_ref().map_or("~", Container::name))
            }
            (_, Column::Why | Column::Mostly) => {
                SortValue::Text(self.found.as_ref().map_or("~", |found| found.cause.code()))
            }
            (Content::Group(figures), column) => match column {
                Column::Alive => number(Some(figures.alive)),
                Column::Oldest => number(figures.oldest),
                Column::Rate => SortValue::Number(figures.rate),
                Column::P50 => number(figures.p50),
                Column::P99 => number(figures.p99),
                _ => SortValue::Number(figures.zombie_time),
            },
            (Content::Ancestor, _) => number(None),
            (Content::Living(alive, age), column) => match column {
                Column::ParentPid => number(alive.ppid.map(u64::from)),
                Column::Status => number(alive.signal.or(alive.exit_code).map(u64::from)),
                _ => number(Some(*age)),
            },
            (Content::Reaped(zombie), column) => match column {
                Column::Zombie => number(Some(zombie.zombie_ns)),
                Column::ParentPid => number(zombie.ppid.map(u64::from)),
                Column::Status => number(zombie.signal.or(zombie.exit_code).map(u64::from)),
                Column::How => SortValue::Text(zombie.how.as_str()),
                _ => SortValue::Number(zombie.ts.as_nanosecond() as f64),
            },
        }
    }

    /// Which of two rows comes first by a column, in that column's own direction.
    pub(crate) fn compare(&self, other: &Self, column: Column) -> Ordering {
        let order = match (self.sort_value(column), other.sort_value(column)) {
            (SortValue::Number(one), SortValue::Number(other)) => one.total_cmp(&other),
            (SortValue::Text(one), SortValue::Text(other)) => one.cmp(other),
            _ => Ordering::Equal,
        };
        match column.is_descending() {
            true => order.reverse(),
            false => order,
        }
    }

    /// Whether a search for this text, in lower case, finds the row.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let comm = self.comm.as_ref().map(printable).unwrap_or_default();
        let fields = [
            &self.name,
            &self.parent,
            &self.container_name(),
            &comm,
            &self.why(),
        ];
        fields
            .into_iter()
            .any(|field| field.to_lowercase().contains(text))
            || self.pid.is_some_and(|pid| pid.to_string().contains(text))
    }
}

/// The cause, and part of the finding.
fn why(found: &Explanation, part: impl Fn(&str) -> &str) -> String {
    match &found.text {
        Some(text) => format!("{}: {}", found.cause.code(), visible(part(text))),
        None => found.cause.code().to_owned(),
    }
}

/// A rate to two digits.
pub(crate) fn rate(rate: f64) -> String {
    match rate {
        rate if rate < 0.05 => "0.0".to_owned(),
        rate if rate < 99.95 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

/// A phase, as people say it.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Notify => "notified late",
        Phase::NotWaiting => "not waiting",
        Phase::RunQueue => "no CPU (run queue)",
        Phase::Tracer => "held by a tracer",
        Phase::Reap => "the wait itself",
    }
}

/// A finding without its subject, which the row has already: `the parent 12 (sup) `.
fn what_it_does(finding: &str) -> &str {
    finding
        .strip_prefix("the parent ")
        .and_then(|rest| rest.split_once(") "))
        .map_or(finding, |(_, does)| does)
}
