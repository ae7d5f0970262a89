//! What is known of a run at a moment: every figure that a screen can show, bounded in memory.

use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use foldhash::{HashMap, HashMapExt as _};
use jiff::Timestamp;

use super::{
    parent::{Explanation, Parent},
    process::Lineage,
    rolling::{RecentReap, Rolling, Sums},
    settled::Settled,
    time::nanos,
    timeline::Timeline,
};
use crate::{
    aggregate::{ContainerSummary, ParentKey, Quantile, RunFacts, Samples, Summary},
    container::Container,
    kernel::Backend,
    lifecycle::TaskId,
    lifecycle::{Pids, Standing},
    model::{Alive, Comm, FilterLine, Lost, Start, Zombie},
};

/// As many parents and as many commands are kept apart at the most.
const MOST: usize = 4096;
/// As many containers.
const MOST_CONTAINERS: usize = 512;
/// As many reaped zombies are listed.
const MOST_RECENT: usize = 2000;
/// For this number of seconds, the number of living zombies is kept.
const SECONDS: usize = 61;

const SECOND: i64 = 1_000_000_000;

/// The run.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) start: Option<Arc<Start>>,
    /// When figures began to be counted, ns since the epoch.
    pub(crate) begin: i64,
    /// The present, ns since the epoch.
    pub(crate) now: i64,
    /// The second up to which what is too old was forgotten.
    expired: i64,
    /// The last second that began.
    ticked: i64,
    facts: RunFacts,
    /// Everything in scope.
    pub(crate) all: Rolling,
    pub(crate) parents: HashMap<ParentKey, Parent>,
    pub(crate) commands: HashMap<Comm, Rolling>,
    /// By what tells a container from every other.
    pub(crate) containers: HashMap<Arc<str>, (Container, Rolling)>,
    pub(crate) living: HashMap<TaskId, Alive>,
    found: HashMap<u32, Explanation>,
    /// The last zombies that were reaped, the newest last.
    pub(crate) recent: VecDeque<Arc<Zombie>>,
    pub(crate) timeline: Timeline,
    /// The second, and how many zombies lived in it.
    alive: VecDeque<(i64, u64)>,
    pub(crate) lost: Lost,
    pub(crate) pids: Option<Pids>,
    /// The exact times, as the summary has them.
    times: Samples,
    /// Autoreaped processes are listed, too.
    pub(crate) lists_autoreaped: bool,
    /// The ancestors of parents, as far as they were looked for.
    pub(crate) lineage: Arc<Lineage>,
    /// The summary of a recorded run, once the moment is its end.
    pub(crate) settled: Option<Arc<Settled>>,
    /// What a recording lacks, in words.
    pub(crate) gap: Option<Arc<str>>,
    /// The places where parents were most of the time that their zombies waited, of a whole recording.
    pub(crate) places: Arc<HashMap<ParentKey, Vec<String>>>,
    /// Counts each change: what has the same number looks the same.
    pub(crate) version: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self::at(0)
    }
}

impl Model {
    /// Nothing is known; time begins then, ns since the epoch.
    pub(crate) fn at(begin: i64) -> Self {
        Self::beginning(RunFacts::default(), begin)
    }

    fn beginning(facts: RunFacts, begin: i64) -> Self {
        Self {
            start: None,
            begin,
            now: begin,
            expired: i64::MIN,
            ticked: begin.div_euclid(SECOND),
            facts,
            all: Rolling::default(),
            parents: HashMap::new(),
            commands: HashMap::new(),
            containers: HashMap::new(),
            living: HashMap::new(),
            found: HashMap::new(),
            recent: VecDeque::new(),
            timeline: Timeline::new(begin),
            alive: VecDeque::new(),
            lost: Lost::default(),
            pids: None,
            times: Samples::default(),
            lists_autoreaped: false,
            lineage: Arc::default(),
            settled: None,
            gap: None,
            places: Arc::default(),
            version: 0,
        }
    }

    /// The run starts.
    pub(crate) fn start(&mut self, start: &Start) {
        let backend = Backend::ALL.into_iter();
        let backend = backend
            .into_iter()
            .find(|backend| backend.name() == start.backend);
        let facts = RunFacts {
            begin: Some(start.ts),
            error_ns: backend.map_or(0, Backend::error_ns),
            tracer_pid: Some(start.tracer_pid),
        };
        *self = Self {
            start: Some(Arc::new(start.clone())),
            version: self.version + 1,
            lists_autoreaped: self.lists_autoreaped,
            gap: self.gap.take(),
            places: Arc::clone(&self.places),
            ..Self::beginning(facts, nanos(start.ts))
        };
    }

    /// Counts from zero, from now on.
    pub(crate) fn reset(&mut self) {
        let begin = Timestamp::from_nanosecond(self.now.into()).ok();
        let facts = RunFacts {
            begin,
            ..self.facts
        };
        let fresh = Self::beginning(facts, self.now);
        let mut old = std::mem::replace(self, fresh);
        self.start = old.start;
        self.found = old.found;
        self.lost = old.lost;
        self.pids = old.pids;
        self.lineage = old.lineage;
        self.places = old.places;
        self.lists_autoreaped = old.lists_autoreaped;
        self.version = old.version + 1;
        // Who has zombies keeps its name and its cause.
        old.parents.retain(|_, parent| parent.alive > 0);
        for (key, parent) in old.parents {
            self.parents.insert(key, parent.without_counts());
        }
        self.living = old.living;
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, now: i64) {
        if now <= self.now {
            return;
        }
        self.pass(now);
        let second = now.div_euclid(SECOND);
        if second > self.ticked {
            self.ticked = second;
            self.version += 1;
            self.count_living();
        }
    }

    /// It is that late, or later.
    fn pass(&mut self, now: i64) {
        self.now = self.now.max(now);
        let second = self.now.div_euclid(SECOND);
        if second > self.expired {
            self.expired = second;
            self.expire();
        }
    }

    fn expire(&mut self) {
        let now = self.now;
        self.all.expire(now);
        for parent in self.parents.values_mut() {
            parent.rolling.expire(now);
        }
        for rolling in self.commands.values_mut() {
            rolling.expire(now);
        }
        for (_, rolling) in self.containers.values_mut() {
            rolling.expire(now);
        }
    }

    /// A process is gone.
    pub(crate) fn zombie(&mut self, id: Option<TaskId>, zombie: &Zombie) {
        self.version += 1;
        let at = nanos(zombie.ts);
        self.pass(at);
        if let Some(id) = id {
            self.living.remove(&id);
        }
        self.found.remove(&zombie.pid);
        let key = self.parent_key(zombie.ppid, zombie.parent_comm);
        let bin = self.timeline.at(at);
        bin.gone += 1;
        if !zombie.autoreaped() || self.lists_autoreaped {
            if self.recent.len() >= MOST_RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(Arc::new(zombie.clone()));
        }
        if zombie.autoreaped() {
            self.all.autoreaped(at);
            if let Some(key) = key {
                parent(&mut self.parents, key).rolling.autoreaped(at);
            }
            command(&mut self.commands, zombie.comm).autoreaped(at);
            if let Some(rolling) = container(&mut self.containers, zombie.container.as_ref()) {
                rolling.autoreaped(at);
            }
            return;
        }
        bin.max = bin.max.max(zombie.zombie_ns);
        let reap = RecentReap {
            at,
            zombie_ns: self
                .facts
                .in_run(zombie.ts, zombie.zombie_ns, &zombie.flags),
            lasted: zombie.zombie_ns,
            is_pre_existing: zombie.pre_existing(),
            is_measured: self.facts.is_measured(zombie),
            phases: zombie.phases.as_ref(),
        };
        if reap.is_measured {
            self.times.record(zombie.zombie_ns);
        }
        self.all.reaped(&reap);
        if let Some(key) = key {
            let parent = parent(&mut self.parents, key);
            parent.rolling.reaped(&reap);
            parent.place(zombie.cgroup.as_ref(), zombie.container.as_ref());
            if let Some(found) = Explanation::of_zombie(zombie) {
                parent.found(found);
            }
        }
        command(&mut self.commands, zombie.comm).reaped(&reap);
        if let Some(rolling) = container(&mut self.containers, zombie.container.as_ref()) {
            rolling.reaped(&reap);
        }
    }

    /// Zombies were reaped that a recording does not list: of each, only its time and its parent are known.
    pub(crate) fn unlisted(&mut self, ts: Timestamp, parent_key: ParentKey, zombie_ns: u64) {
        self.version += 1;
        let at = nanos(ts);
        self.pass(at);
        self.times.record(zombie_ns);
        let bin = self.timeline.at(at);
        bin.gone += 1;
        bin.max = bin.max.max(zombie_ns);
        let reap = RecentReap {
            at,
            zombie_ns,
            lasted: zombie_ns,
            is_pre_existing: false,
            is_measured: true,
            phases: None,
        };
        self.all.reaped(&reap);
        if let Some(key) = self.parent_key(parent_key.0, parent_key.1) {
            parent(&mut self.parents, key).rolling.reaped(&reap);
        }
    }

    /// The tracer's own children are in no row.
    fn parent_key(&self, ppid: Option<u32>, comm: Option<Comm>) -> Option<ParentKey> {
        let is_own = ppid.is_some() && ppid == self.facts.tracer_pid;
        (!is_own).then_some((ppid, comm))
    }

    /// All living zombies at a moment.
    pub(crate) fn census(&mut self, standing: &Standing) {
        self.lost = standing.lost;
        self.pids = standing.pids;
        let living = standing.living.iter();
        let living =
            living.filter(|(_, alive)| alive.ppid.is_none() || alive.ppid != self.facts.tracer_pid);
        self.live(standing.ts, living.cloned().collect());
    }

    /// These live, and no others.
    pub(crate) fn live(&mut self, ts: Timestamp, living: HashMap<TaskId, Alive>) {
        self.version += 1;
        self.pass(nanos(ts));
        self.living = living;
        let pids: HashSet<u32> = self.living.values().map(|alive| alive.pid).collect();
        self.found.retain(|pid, _| pids.contains(pid));
        self.count_living();
        // A recording knows what was found later.
        for alive in self.living.values() {
            let Some(found) = Explanation::of_alive(alive) else {
                continue;
            };
            if let Some(parent) = self.parents.get_mut(&(alive.ppid, alive.parent_comm))
                && parent.cause().is_none()
            {
                parent.found(found.clone());
            }
            self.found.entry(alive.pid).or_insert(found);
        }
    }

    fn count_living(&mut self) {
        let mut counts: HashMap<ParentKey, u64> = HashMap::new();
        for alive in self.living.values() {
            *counts.entry((alive.ppid, alive.parent_comm)).or_default() += 1;
        }
        for key in counts.keys() {
            parent(&mut self.parents, *key);
        }
        let second = self.now.div_euclid(SECOND);
        for (key, parent) in &mut self.parents {
            parent.lives(second, counts.get(key).copied().unwrap_or(0));
        }
        for alive in self.living.values() {
            let parent = self.parents.get_mut(&(alive.ppid, alive.parent_comm));
            if let Some(parent) = parent {
                parent.place(alive.cgroup.as_ref(), alive.container.as_ref());
            }
        }
        let count = self.living.len() as u64;
        match self.alive.back_mut() {
            Some((last, alive)) if *last == second => *alive = count,
            _ => self.alive.push_back((second, count)),
        }
        while self.alive.len() > SECONDS {
            self.alive.pop_front();
        }
        let bin = self.timeline.at(self.now);
        bin.alive = bin.alive.max(count);
    }

    /// A living zombie has been looked at.
    pub(crate) fn diagnosed(&mut self, alive: &Alive) {
        let Some(found) = Explanation::of_alive(alive) else {
            return;
        };
        self.version += 1;
        if let Some(parent) = self.parents.get_mut(&(alive.ppid, alive.parent_comm)) {
            parent.found(found.clone());
        }
        self.found.insert(alive.pid, found);
    }

    /// The run has ended with this summary.
    pub(crate) fn settle(&mut self, summary: &Summary) {
        self.version += 1;
        for row in &summary.by_parent {
            parent(&mut self.parents, (row.ppid, row.comm)).named(row.cmdline.as_deref());
        }
        for row in &summary.by_comm {
            if let Some(comm) = row.comm {
                command(&mut self.commands, comm);
            }
        }
        let known = |row: &&ContainerSummary| !row.container.key().is_empty();
        for row in summary.by_container.iter().filter(known) {
            container(&mut self.containers, Some(&row.container));
        }
        self.settled = Some(Arc::new(summary.into()));
    }

    /// What everything in scope comes to in the last seconds, or in the whole run.
    pub(crate) fn sums(&self, seconds: Option<i64>) -> Cow<'_, Sums> {
        match (seconds, &self.settled) {
            (Some(seconds), _) => self.all.last(self.now, seconds),
            (None, None) => Cow::Borrowed(&self.all.total),
            (None, Some(settled)) => Cow::Owned(Sums {
                reaped: settled.counts.reaped,
                autoreaped: settled.counts.autoreaped,
                ..self.all.total.clone()
            }),
        }
    }

    /// How many zombies live.
    pub(crate) fn alive(&self) -> u64 {
        let settled = self.settled.as_ref().and_then(|settled| settled.alive);
        settled.unwrap_or(self.living.len() as u64)
    }

    /// The age of the oldest living zombie.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let settled = self.settled.as_ref().and_then(|settled| settled.oldest);
        settled.or_else(|| self.living.values().map(|alive| self.age(alive)).max())
    }

    /// Which zombies a recording lists, if that is not all of them.
    pub(crate) fn listed(&self) -> Option<&FilterLine> {
        let filter = self.start.as_ref()?.filter.as_ref();
        filter.filter(|filter| filter.leaves_out_zombies())
    }

    /// Something was lost.
    pub(crate) fn loss(&mut self, lost: Lost) {
        self.version += 1;
        self.lost += lost;
    }

    /// The command line of a parent.
    pub(crate) fn named(&mut self, key: ParentKey, cmdline: Option<&str>) {
        parent(&mut self.parents, key).named(cmdline);
        self.version += 1;
    }

    /// The ancestors of parents.
    pub(crate) fn descend(&mut self, lineage: Lineage) {
        if *self.lineage != lineage {
            self.lineage = Arc::new(lineage);
            self.version += 1;
        }
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        const ZOMBIE: usize = size_of::<Zombie>() + 128;
        const ALIVE: usize = size_of::<Alive>() + 128;
        let parents = self.parents.values().map(|parent| &parent.rolling);
        let containers = self.containers.values().map(|(_, rolling)| rolling);
        let rolling = parents.chain(self.commands.values()).chain(containers);
        rolling
            .map(|rolling| rolling.bytes() + size_of::<Parent>())
            .sum::<usize>()
            + self.recent.len() * ZOMBIE
            + self.living.len() * ALIVE
    }

    /// Why a living zombie is there: by a look at it or, for want of that, at another one of its parent.
    pub(crate) fn found(&self, alive: &Alive) -> Option<&Explanation> {
        let of_parent = || self.parents.get(&(alive.ppid, alive.parent_comm))?.cause();
        self.found.get(&alive.pid).or_else(of_parent)
    }

    /// How long a living zombie has been one, ns.
    pub(crate) fn age(&self, alive: &Alive) -> u64 {
        let since = self.now.saturating_sub(nanos(alive.ts));
        alive
            .age_ns
            .saturating_add(u64::try_from(since).unwrap_or(0))
    }

    /// The part of that inside the last `window` ns and inside the run.
    pub(crate) fn age_within(&self, alive: &Alive, window: u64) -> u64 {
        let in_run = u64::try_from(self.now.saturating_sub(self.begin)).unwrap_or(0);
        self.age(alive).min(window).min(in_run)
    }

    /// What the backend's exact times are exact to, ns.
    pub(crate) fn error_ns(&self) -> u64 {
        self.facts.error_ns
    }

    /// 99 % of the exact zombie times of the run do not exceed it; as in the summary.
    pub(crate) fn p99(&self) -> Option<u64> {
        match &self.settled {
            Some(settled) => settled.times.p99,
            None => self.times.quantile(Quantile::P99),
        }
    }

    /// The longest exact zombie time of the run.
    pub(crate) fn longest(&self) -> Option<u64> {
        match &self.settled {
            Some(settled) => settled.times.max,
            None => self.times.max(),
        }
    }

    /// How long the run has taken, ns.
    pub(crate) fn elapsed(&self) -> u64 {
        u64::try_from(self.now.saturating_sub(self.begin)).unwrap_or(0)
    }

    /// How many zombies lived that many seconds ago, at most [`SECONDS`].
    pub(crate) fn alive_before(&self, seconds: i64) -> u64 {
        let then = self.now.div_euclid(SECOND) - seconds;
        let first = self.alive.front();
        let known = self.alive.iter().take_while(|(second, _)| *second <= then);
        known.last().or(first).map_or(0, |(_, count)| *count)
    }

    /// How many of the living zombies became one during the run.
    pub(crate) fn alive_of_run(&self) -> u64 {
        let elapsed = self.elapsed();
        let living = self.living.values();
        living.filter(|alive| self.age(alive) <= elapsed).count() as u64
    }

    /// Living zombies in each of the last seconds, the present one last.
    pub(crate) fn alive_seconds(&self, seconds: usize) -> Vec<u64> {
        let end = self.now.div_euclid(SECOND);
        let first = end - seconds as i64 + 1;
        let mut counts = Vec::with_capacity(seconds);
        let mut known = self.alive.iter().peekable();
        // Before the first look there were as many, as far as anybody knows.
        let mut last = self.alive.front().map_or(0, |(_, count)| *count);
        while let Some((second, count)) = known.peek() {
            if *second >= first {
                break;
            }
            last = *count;
            known.next();
        }
        for second in first..=end {
            while let Some((_, count)) = known.next_if(|(known, _)| *known <= second) {
                last = *count;
            }
            counts.push(last);
        }
        counts
    }
}

/// The parent of that key; the least of all make room for it.
fn parent(parents: &mut HashMap<ParentKey, Parent>, key: ParentKey) -> &mut Parent {
    if parents.len() >= MOST && !parents.contains_key(&key) {
        make_room(parents, MOST / 2, |parent| {
            (parent.alive, parent.rolling.total.zombie_ns)
        });
    }
    parents.entry(key).or_default()
}

fn command(commands: &mut HashMap<Comm, Rolling>, comm: Comm) -> &mut Rolling {
    if commands.len() >= MOST && !commands.contains_key(&comm) {
        make_room(commands, MOST / 2, |rolling| rolling.total.zombie_ns);
    }
    commands.entry(comm).or_default()
}

fn container<'a>(
    containers: &'a mut HashMap<Arc<str>, (Container, Rolling)>,
    container: Option<&Container>,
) -> Option<&'a mut Rolling> {
    let container = container?;
    let key = container.key();
    if containers.len() >= MOST_CONTAINERS && !containers.contains_key(&key) {
        make_room(containers, MOST_CONTAINERS / 2, |(_, rolling)| {
            rolling.total.zombie_ns
        });
    }
    let entry = containers.entry(key);
    let (_, rolling) = entry.or_insert_with(|| (container.clone(), Rolling::default()));
    Some(rolling)
}

/// Keeps the `kept` entries of the highest rank.
fn make_room<K: Clone + Eq + std::hash::Hash, V, R: Ord>(
    map: &mut HashMap<K, V>,
    kept: usize,
    rank: impl Fn(&V) -> R,
) {
    let mut entries: Vec<_> = map.drain().collect();
    entries.sort_by_key(|(_, value)| std::cmp::Reverse(rank(value)));
    entries.truncate(kept);
    map.extend(entries);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::Aggregate,
        model::{Cause, How, fixtures},
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn started() -> Model {
        let mut model = Model::default();
        model.start(&Start {
            ts: at(100),
            ..fixtures::start()
        });
        model
    }

    fn reaped(pid: u32, ppid: u32, ts: i64, zombie_ns: u64) -> Zombie {
        Zombie {
            pid,
            ppid: Some(ppid),
            ts: at(ts),
            zombie_ns,
            ..fixtures::zombie()
        }
    }

    fn standing(ts: i64, living: &[(u64, u32, u64)]) -> Standing {
        let living = living.iter().map(|&(id, ppid, age_ns)| {
            let alive = Alive {
                ts: at(ts),
                pid: id as u32,
                ppid: Some(ppid),
                age_ns,
                ..fixtures::alive()
            };
            ((id, 0), alive)
        });
        Standing {
            ts: at(ts),
            living: living.collect(),
            autoreaped: 0,
            lost: Lost::default(),
            dying: None,
            pids: None,
        }
    }

    const BASH: Option<&str> = Some("bash");

    fn key(ppid: u32) -> ParentKey {
        (Some(ppid), BASH.map(Into::into))
    }

    #[test]
    fn a_parents_zombies_come_and_go() {
        let mut model = started();
        model.census(&standing(
            101,
            &[(1, 7, 900_000_000), (2, 7, 100), (3, 8, 5)],
        ));
        assert_eq!(model.parents[&key(7)].alive, 2);
        model.zombie(Some((1, 0)), &reaped(1, 7, 102, 1_900_000_000));
        assert_eq!(model.living.len(), 2);
        model.census(&standing(102, &[(3, 8, 1_000_000_005)]));
        assert_eq!(model.parents[&key(7)].alive, 0);
        assert_eq!(model.parents[&key(7)].rolling.total.reaped, 1);
        assert_eq!(model.alive_seconds(3), [3, 3, 1]);
    }

    #[test]
    fn ages_go_on_between_two_looks() {
        let mut model = started();
        model.census(&standing(110, &[(1, 7, 20_000_000_000)]));
        model.tick(nanos(at(111)) + 5);
        let alive = model.living.values().next().unwrap();
        assert_eq!(model.age(alive), 21_000_000_005);
        assert_eq!(model.age_within(alive, 10_000_000_000), 10_000_000_000);
        // It is older than the run.
        assert_eq!(model.age_within(alive, u64::MAX), 11_000_000_005);
    }

    #[test]
    fn the_cause_of_a_zombie_is_that_of_its_parent() {
        let mut model = started();
        model.census(&standing(101, &[(1, 7, 5)]));
        let alive = Alive {
            pid: 1,
            ppid: Some(7),
            cause: Some(Cause::NeverWaits),
            cause_text: Some("it sleeps".into()),
            ..fixtures::alive()
        };
        model.diagnosed(&alive);
        assert_eq!(model.found(&alive).unwrap().cause, Cause::NeverWaits);
        assert_eq!(
            model.parents[&key(7)].cause().unwrap().cause,
            Cause::NeverWaits
        );
        model.census(&standing(102, &[]));
        assert!(model.parents[&key(7)].cause().is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let mut model = started();
        for number in 0..3 * MOST as u32 {
            let mut zombie = reaped(number, number + 1000, 101, u64::from(number));
            zombie.comm = format!("c{number}").as_str().into();
            zombie.container = Some(Container {
                id: Some(number.to_string().into()),
                ..Container::default()
            });
            model.zombie(None, &zombie);
        }
        assert!(model.parents.len() <= MOST);
        assert!(model.commands.len() <= MOST);
        assert!(model.containers.len() <= MOST_CONTAINERS);
        assert!(model.recent.len() <= MOST_RECENT);
        // What is over all of them loses nothing.
        assert_eq!(model.all.total.reaped, 3 * MOST as u64);
        for second in 0..10_000 {
            model.tick(nanos(at(200 + second)));
        }
        assert!(model.alive.len() <= SECONDS);
    }

    #[test]
    fn a_reset_keeps_who_lives() {
        let mut model = started();
        model.zombie(None, &reaped(5, 7, 101, 1000));
        model.census(&standing(110, &[(1, 7, 5_000_000_000)]));
        model.named(key(7), Some("bash -c x"));
        model.reset();
        assert_eq!(model.all.total.reaped, 0);
        assert_eq!(model.living.len(), 1);
        assert_eq!(model.parents[&key(7)].cmdline(), Some("bash -c x"));
        assert_eq!(model.parents[&key(7)].rolling.total.reaped, 0);
        let alive = model.living.values().next().unwrap().clone();
        assert_eq!(model.age_within(&alive, u64::MAX), 0);
    }

    #[test]
    fn figures_are_those_of_the_summary() {
        let mut model = started();
        let mut aggregate = Aggregate::new(model.facts);
        let mut zombie = |zombie: &Zombie| {
            model.zombie(None, zombie);
            aggregate.zombie(zombie, true);
        };
        for number in 1..=100 {
            zombie(&reaped(number, 7, 101, u64::from(number) * 1_000_000));
        }
        let autoreaped = Zombie {
            how: How::Autoreap,
            zombie_ns: 0,
            ..reaped(1, 7, 101, 0)
        };
        zombie(&autoreaped);
        // Its own children are in no row.
        zombie(&reaped(500, 17, 101, 5));
        let summary = aggregate.summary(
            crate::model::Counts::default(),
            at(102),
            std::time::Duration::from_secs(2),
        );
        let total = &model.all.total;
        assert_eq!(total.reaped, summary.zombie_ns.count);
        assert_eq!(total.zombie_ns, summary.zombie_time_ns);
        assert_eq!(Some(total.max), summary.zombie_ns.max);
        assert_eq!(
            (model.p99(), model.longest()),
            (summary.zombie_ns.p99, summary.zombie_ns.max)
        );
        assert_eq!(summary.by_parent.len(), model.parents.len());
        let row = &summary.by_parent[0];
        let parent = &model.parents[&key(7)].rolling.total;
        assert_eq!(parent.zombie_ns, row.group.zombie_time_ns);
        assert_eq!(
            (parent.reaped, parent.autoreaped),
            (row.group.reaped, row.group.autoreaped)
        );
    }
}
