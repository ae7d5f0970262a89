//! From the figures to the rows of a view.

use std::{borrow::Cow, cmp::Reverse, sync::Arc};

use foldhash::{HashMap, HashMapExt as _};

use super::{
    choice::Choice,
    row::{Content, Key, RowFigures, TopRow},
    tree,
    view::{Grouping, View},
};
use crate::{
    aggregate::{GroupSummary, ParentKey},
    commands::top::data::{Explanation, Model, Parent, Rolling, Sums, nanos},
    container::Container,
    filter::Subject,
    model::{Alive, Cause, Phase},
    text::{command, printable, visible},
};

/// Columns of a command line that a row keeps.
const LONGEST_NAME: usize = 400;

/// The rows of a view, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SortedRows {
    pub(crate) rows: Vec<TopRow>,
    /// Rows that a filter, a container or the threshold leaves out.
    pub(crate) hidden: usize,
    /// Rows that the threshold leaves out, which are among the hidden ones.
    pub(crate) quick: usize,
}

/// Living zombies, as much of them as a row adds up.
#[derive(Clone, Copy, Debug, Default)]
struct Living {
    count: u64,
    oldest: Option<u64>,
    /// Inside the window, ns.
    zombie_ns: u64,
    phases: [u64; 5],
}

impl Living {
    fn add(&mut self, model: &Model, alive: &Alive, window: u64) {
        let within = model.age_within(alive, window);
        self.count += 1;
        self.oldest = self.oldest.max(Some(model.age(alive)));
        self.zombie_ns = self.zombie_ns.saturating_add(within);
        // What a zombie waits for now.
        let phase = match model.found(alive).map(|found| found.cause) {
            Some(Cause::HeldByTracer) => Phase::Tracer,
            Some(Cause::ParentStarved) => Phase::RunQueue,
            _ => Phase::NotWaiting,
        };
        let at = Phase::ALL
            .iter()
            .position(|other| *other == phase)
            .unwrap_or(0);
        self.phases[at] = self.phases[at].saturating_add(within);
    }

    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.oldest = self.oldest.max(other.oldest);
        self.zombie_ns = self.zombie_ns.saturating_add(other.zombie_ns);
        for (sum, more) in self.phases.iter_mut().zip(other.phases) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Why the oldest of some zombies is there, of those whose cause is known.
#[derive(Clone, Copy, Default)]
struct OfOldest<'a>(Option<(Rank, &'a Explanation)>);

/// The known before the unknown, the oldest first; a map has its zombies in any order.
type Rank = (bool, u64, Reverse<u32>);

impl<'a> OfOldest<'a> {
    fn add(&mut self, model: &'a Model, alive: &'a Alive) {
        if let Some(found) = model.found(alive) {
            let is_known = found.cause != Cause::Unknown;
            let rank = (is_known, model.age(alive), Reverse(alive.pid));
            if self.0.is_none_or(|(best, _)| rank > best) {
                self.0 = Some((rank, found));
            }
        }
    }

    fn found(self) -> Option<&'a Explanation> {
        self.0.map(|(_, found)| found)
    }
}

/// The rows of the chosen view.
pub(crate) fn table(model: &Model, choice: &Choice) -> SortedRows {
    let mut table = SortedRows::default();
    let mut add =
        |row: TopRow, container: Option<&Container>, subject: Subject<'_>, is_quick: bool| {
            let is_shown =
                !is_quick && choice.is_in_container(container) && choice.filter.matches(&subject);
            match is_shown {
                true => table.rows.push(row),
                false => table.hidden += 1,
            }
            table.quick += usize::from(is_quick);
        };
    let (mut quick, mut unlisted) = (0, 0);
    match choice.view {
        View::Parents => quick = parents(model, choice, &mut add),
        View::Commands => commands(model, choice, &mut add),
        View::Containers => containers(model, choice, &mut add),
        View::Alive => {
            for (id, alive) in &model.living {
                let age = model.age(alive);
                let found = model.found(alive).cloned();
                let subject = Subject {
                    zombie_ns: Some(age),
                    cause: found.as_ref().map(|found| found.cause),
                    parent_cmdline: cmdline(model, (alive.ppid, alive.parent_comm)),
                    ..Subject::from(alive)
                };
                let row = TopRow {
                    key: Key::Living(*id),
                    pid: Some(alive.pid),
                    comm: Some(alive.comm),
                    name: printable(&alive.comm),
                    parent: alive
                        .parent_comm
                        .as_ref()
                        .map(printable)
                        .unwrap_or_default(),
                    depth: 0,
                    container: alive.container.clone(),
                    found,
                    content: Content::Living(Box::new(alive.clone()), age),
                };
                match choice.listed.passes_alive(alive) {
                    true => add(row, alive.container.as_ref(), subject, false),
                    false => unlisted += 1,
                }
            }
        }
        View::Reaps => {
            for zombie in &model.recent {
                let found = Explanation::of_zombie(zombie);
                let row = TopRow {
                    key: Key::Reaped(zombie.pid, nanos(zombie.ts)),
                    pid: Some(zombie.pid),
                    comm: Some(zombie.comm),
                    name: printable(&zombie.comm),
                    parent: zombie
                        .parent_comm
                        .as_ref()
                        .map(printable)
                        .unwrap_or_default(),
                    depth: 0,
                    container: zombie.container.clone(),
                    found,
                    content: Content::Reaped(Arc::clone(zombie)),
                };
                // Autoreaped processes were never zombies: no threshold is about them.
                let is_quick = zombie.zombie_ns < choice.threshold && !zombie.autoreaped();
                if !choice.listed.passes(zombie) {
                    unlisted += 1;
                    continue;
                }
                let subject = Subject {
                    parent_cmdline: cmdline(model, (zombie.ppid, zombie.parent_comm)),
                    ..Subject::from(&**zombie)
                };
                add(row, zombie.container.as_ref(), subject, is_quick);
            }
        }
        View::Timeline => {}
    }
    table.hidden += quick + unlisted;
    table.quick += quick;
    let sort = choice.sort();
    table.rows.sort_by(|one, other| {
        let order = one.compare(other, sort.column);
        let order = if sort.is_inverted {
            order.reverse()
        } else {
            order
        };
        // Rows that are alike keep their places.
        order
            .then_with(|| one.pid.cmp(&other.pid))
            .then_with(|| one.name.cmp(&other.name))
    });
    if choice.is_tree() {
        table.rows = tree::arrange(table.rows, &model.lineage);
    }
    table
}

fn cmdline(model: &Model, parent: ParentKey) -> Option<&str> {
    model.parents.get(&parent)?.cmdline()
}

type Add<'a> = &'a mut dyn FnMut(TopRow, Option<&Container>, Subject<'_>, bool);

fn window_ns(choice: &Choice) -> u64 {
    choice
        .window
        .seconds()
        .map_or(u64::MAX, |seconds| seconds as u64 * 1_000_000_000)
}

/// What a row adds up to in the window. At the end of a recorded run, its summary counts what no line lists.
fn sums<'a>(
    model: &Model,
    choice: &Choice,
    rolling: &'a Rolling,
    living: Living,
    summed: Option<&GroupSummary>,
) -> (Cow<'a, Sums>, Living) {
    if let Some(seconds) = choice.window.seconds() {
        return (rolling.last(model.now, seconds), living);
    }
    let total = &rolling.total;
    let Some(group) = summed else {
        return (Cow::Borrowed(total), living);
    };
    let sums = Sums {
        reaped: group.reaped,
        autoreaped: group.autoreaped,
        zombie_ns: group.zombie_time_ns.saturating_sub(living.zombie_ns),
        max: group.max_ns.unwrap_or(0),
        longest: total.longest.max(group.max_ns.unwrap_or(0)),
        phases: group.phases.map_or(total.phases, |phases| phases.times()),
        given: Some((group.p50_ns, group.p99_ns)),
        ..total.clone()
    };
    let living = Living {
        count: group.alive,
        oldest: group.oldest_ns.or(living.oldest),
        ..living
    };
    (Cow::Owned(sums), living)
}

/// Over how many seconds a rate is taken.
pub(crate) fn seconds(model: &Model, choice: &Choice) -> f64 {
    let elapsed = model.elapsed() as f64 / 1e9;
    let seconds = match choice.window.seconds() {
        Some(seconds) => elapsed.min(seconds as f64),
        None => elapsed,
    };
    seconds.max(1.0)
}

fn figures(model: &Model, choice: &Choice, sums: &Sums, living: &Living) -> RowFigures {
    let seconds = seconds(model, choice);
    let mut phases = sums.phases;
    for (sum, more) in phases.iter_mut().zip(living.phases) {
        *sum = sum.saturating_add(more);
    }
    let zombie_ns = sums.zombie_ns.saturating_add(living.zombie_ns);
    RowFigures {
        alive: living.count,
        oldest: living.oldest,
        reaped: sums.reaped,
        pre_existing: sums.pre_existing,
        autoreaped: sums.autoreaped,
        rate: sums.reaped.saturating_add(sums.pre_existing) as f64 / seconds,
        p50: sums.p50(),
        p99: sums.p99(),
        max: sums.longest_measured(),
        zombie_time: zombie_ns as f64 / 1e9 / seconds,
        phases,
        is_growing: false,
        is_old: living.oldest.is_some_and(|oldest| oldest >= choice.old_ns),
    }
}

/// Nothing happened to it in the window, or nothing but quick reaps.
fn is_quick(choice: &Choice, sums: &Sums, living: &Living) -> bool {
    living.count == 0 && sums.longest < choice.threshold
}

/// The longest zombie time of those that were reaped, exact or not.
fn longest(sums: &Sums) -> Option<u64> {
    (sums.reaped > 0 || sums.pre_existing > 0).then_some(sums.longest)
}

/// A row of the parents view in the making.
struct Group<'a> {
    sums: Cow<'a, Sums>,
    living: Living,
    is_growing: bool,
    parents: usize,
    /// The one with the most zombie time.
    main: (ParentKey, &'a Parent, u64),
}

/// Gives how many rows the threshold leaves out.
fn parents(model: &Model, choice: &Choice, add: Add<'_>) -> usize {
    let window = window_ns(choice);
    let mut living: HashMap<ParentKey, Living> = HashMap::new();
    for alive in model.living.values() {
        let living = living.entry((alive.ppid, alive.parent_comm)).or_default();
        living.add(model, alive, window);
    }
    let mut quick = 0;
    let mut groups: HashMap<Key, Group<'_>> = HashMap::new();
    let settled = model.settled.as_deref();
    for (key, parent) in &model.parents {
        let living = living.get(key).copied().unwrap_or_default();
        let summed = settled.and_then(|settled| settled.parents.get(key));
        let (sums, living) = sums(model, choice, &parent.rolling, living, summed);
        if living.count == 0 && !sums.is_some() {
            continue;
        }
        // Most of thousands of parents reap at once: they get no row.
        if choice.grouping == Grouping::Pid && is_quick(choice, &sums, &living) {
            quick += 1;
            continue;
        }
        let group_key = match choice.grouping {
            Grouping::Pid => Key::Parent(*key),
            Grouping::Command => Key::ParentComm(key.1),
            Grouping::Unit => Key::Unit(parent.cgroup.clone()),
            Grouping::Container => Key::Container(parent.container.as_ref().map(Container::key)),
        };
        let time = sums.zombie_ns.saturating_add(living.zombie_ns);
        match groups.get_mut(&group_key) {
            Some(group) => {
                group.sums.to_mut().add(&sums);
                group.living.merge(&living);
                group.is_growing |= parent.is_growing();
                group.parents += 1;
                if time > group.main.2 {
                    group.main = (*key, parent, time);
                }
            }
            None => {
                let group = Group {
                    sums,
                    living,
                    is_growing: parent.is_growing(),
                    parents: 1,
                    main: (*key, parent, time),
                };
                groups.insert(group_key, group);
            }
        }
    }
    for (key, group) in groups {
        if is_quick(choice, &group.sums, &group.living) {
            quick += 1;
            continue;
        }
        let (parent_key, parent, _) = group.main;
        let mut figures = figures(model, choice, &group.sums, &group.living);
        figures.is_growing = group.is_growing;
        let is_one = group.parents == 1;
        let name = match choice.grouping {
            Grouping::Pid => parent_name(parent_key, parent, choice.whole_commands),
            Grouping::Command => parent_key
                .1
                .as_ref()
                .map_or_else(|| "?".to_owned(), printable),
            Grouping::Unit => parent
                .cgroup
                .as_deref()
                .map_or_else(|| "?".to_owned(), visible),
            Grouping::Container => match &parent.container {
                Some(container) => visible(container.name()),
                None => "(no container)".to_owned(),
            },
        };
        let row = TopRow {
            key,
            pid: parent_key.0.filter(|_| is_one),
            comm: parent_key
                .1
                .filter(|_| is_one || choice.grouping == Grouping::Command),
            name,
            parent: String::new(),
            depth: 0,
            container: parent.container.clone(),
            found: parent.cause().cloned(),
            content: Content::Group(Box::new(figures)),
        };
        let figures = row.figures().cloned().unwrap_or_default();
        let subject = Subject {
            ppid: parent_key.0,
            parent: parent_key.1.as_ref().map(|comm| comm.to_str()),
            parent_cmdline: parent.cmdline(),
            zombie_ns: figures.oldest.max(longest(&group.sums)),
            cause: parent.cause().map(|found| found.cause),
            container: parent.container.as_ref().map(Container::name),
            cgroup: parent.cgroup.as_deref(),
            ..Subject::default()
        };
        add(row, parent.container.as_ref(), subject, false);
    }
    quick
}

/// What a parent is called: its command line or, for want of that, its command name; escaped.
fn parent_name((pid, comm): ParentKey, parent: &Parent, is_whole: bool) -> String {
    match (parent.cmdline(), comm) {
        (Some(cmdline), _) if is_whole => visible(cmdline),
        (Some(cmdline), _) => command(cmdline, LONGEST_NAME),
        (None, Some(comm)) => printable(&comm),
        (None, None) if pid.is_none() => "(unknown or too many)".to_owned(),
        (None, None) => "?".to_owned(),
    }
}

fn commands(model: &Model, choice: &Choice, add: Add<'_>) {
    let window = window_ns(choice);
    let mut living = HashMap::new();
    for alive in model.living.values() {
        let (one, oldest): &mut (Living, OfOldest<'_>) = living.entry(alive.comm).or_default();
        one.add(model, alive, window);
        oldest.add(model, alive);
    }
    let nothing = Rolling::default();
    let known = model
        .commands
        .iter()
        .map(|(comm, rolling)| (*comm, rolling));
    let new = living
        .keys()
        .filter(|comm| !model.commands.contains_key(*comm));
    let new = new.map(|comm| (*comm, &nothing));
    let settled = model.settled.as_deref();
    for (comm, rolling) in known.chain(new) {
        let (living, oldest) = living.get(&comm).copied().unwrap_or_default();
        let found = oldest.found();
        let summed = settled.and_then(|settled| settled.commands.get(&comm));
        let (sums, living) = sums(model, choice, rolling, living, summed);
        let figures = figures(model, choice, &sums, &living);
        if living.count == 0 && !sums.is_some() {
            continue;
        }
        let is_quick = is_quick(choice, &sums, &living);
        let subject = Subject {
            comm: Some(comm.to_str()),
            zombie_ns: figures.oldest.max(longest(&sums)),
            cause: found.map(|found| found.cause),
            ..Subject::default()
        };
        let row = TopRow {
            key: Key::Command(comm),
            pid: None,
            comm: Some(comm),
            name: printable(&comm),
            parent: String::new(),
            depth: 0,
            container: None,
            found: found.cloned(),
            content: Content::Group(Box::new(figures)),
        };
        add(row, None, subject, is_quick);
    }
}

fn containers(model: &Model, choice: &Choice, add: Add<'_>) {
    let window = window_ns(choice);
    let mut living = HashMap::new();
    for alive in model.living.values() {
        if let Some(container) = &alive.container {
            let new = || (Living::default(), container, OfOldest::default());
            let entry = living.entry(container.key()).or_insert_with(new);
            entry.0.add(model, alive, window);
            entry.2.add(model, alive);
        }
    }
    let nothing = Rolling::default();
    let known = model.containers.iter();
    let known = known.map(|(key, (container, rolling))| (key, container, rolling));
    let new = living
        .iter()
        .filter(|(key, _)| !model.containers.contains_key(*key));
    let new = new.map(|(key, (_, container, _))| (key, *container, &nothing));
    let settled = model.settled.as_deref();
    for (key, container, rolling) in known.chain(new) {
        let alive = living.get(key);
        let found = alive.and_then(|(_, _, oldest)| oldest.found());
        let living = alive.map(|(living, ..)| *living).unwrap_or_default();
        let summed = settled.and_then(|settled| settled.containers.get(key));
        let (sums, living) = sums(model, choice, rolling, living, summed);
        let figures = figures(model, choice, &sums, &living);
        if living.count == 0 && !sums.is_some() {
            continue;
        }
        let is_quick = is_quick(choice, &sums, &living);
        let subject = Subject {
            container: Some(container.name()),
            zombie_ns: figures.oldest.max(longest(&sums)),
            cause: found.map(|found| found.cause),
            ..Subject::default()
        };
        let row = TopRow {
            key: Key::Container(Some(key.clone())),
            pid: None,
            comm: None,
            name: visible(container.name()),
            parent: String::new(),
            depth: 0,
            container: Some(container.clone()),
            found: found.cloned(),
            content: Content::Group(Box::new(figures)),
        };
        add(row, Some(container), subject, is_quick);
    }
}
