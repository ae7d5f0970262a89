//! From a kernel record to a line of output.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    time::Duration,
};

use zombie_trace_common::{Counters, Record, SnapshotEntry, flags};

use crate::{
    aggregate::{
        Aggregate, ParentKey, Quantile, RunFacts, Samples, Summary, WhatParentsDid,
        doing::name_places,
    },
    cause::{History, ReapHistory},
    filter::Filter,
    kernel::{KernelScope, decode::KernelEvent},
    lifecycle::{
        Lifecycle, Lingering, LingeringParent, Overdue, Pids, Reap, Reaping, RunQueueClocks,
        Standing, TaskId, Unended, WallClock, foreign,
    },
    model::{
        Alive, Cause, Comm, Counts, Diagnosis, Doing, Dying, Flag, Loss, Lost, Running, Stack,
        StackTotals, Start, Zombie,
    },
    run::{
        accounts::{self, Accounts, Remains},
        census::{Census, Counted},
        found::{Finding, KeptFindings},
        host::Host,
        unended::{DYING_AFTER, without_leader},
        unlisted::Unlistings,
    },
    sink::Sink,
    system::proc::{self, Limit, Proc, Rest},
};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// What was lost and not reported before.
    pub lost: Option<NewLoss>,
    /// Nothing at all was lost.
    pub complete: bool,
    /// How many forged notifications and reaps were ignored.
    pub suspicious: u64,
    /// What a zombie time is exact to, in ns.
    pub error_ns: u64,
    /// The exact zombie times.
    pub times: Samples,
    /// What was written at the end.
    pub summary: Summary,
    /// Descendants of the traced process that run on.
    pub running: Vec<Running>,
    /// Processes that do not come to their end.
    pub dying: Vec<Dying>,
    /// Processes whose main thread alone has ended.
    pub leader_ended: Vec<Alive>,
    /// What samples of parents come to, if any were asked for.
    pub sampled: Option<StackSamples>,
}

/// What samples of parents come to.
#[derive(Clone, Debug, Default)]
pub struct StackSamples {
    /// Distinct stacks.
    pub stacks: Vec<Stack>,
    /// What threads did, the most zombie time first.
    pub doing: Vec<Doing>,
    /// How well the samples cover the run.
    pub totals: StackTotals,
}

impl StackSamples {
    /// Of a run with this much zombie time to stand for. A sample stands for all the time since the one before, so
    /// the samples of short zombies can add up to more than there was. Their shares stay the same.
    fn within(mut self, due_ns: u64) -> Self {
        let covered = u128::from(self.totals.covered_ns);
        if covered > u128::from(due_ns) {
            for one in &mut self.doing {
                let part = u128::from(one.zombie_ns) * u128::from(due_ns) / covered;
                one.zombie_ns = u64::try_from(part).unwrap_or(due_ns);
            }
            let parts = self.doing.iter().map(|one| one.zombie_ns);
            self.totals.covered_ns = parts.fold(0, u64::saturating_add);
        }
        self.totals.due_ns = due_ns;
        self
    }
}

/// How a run is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoFar {
    /// The time since it began.
    pub elapsed: Duration,
    /// Processes that have ended.
    pub exits: u64,
    /// The zombies that exist now, pre-existing ones included.
    pub living: u64,
    /// The 99th percentile of the zombie times.
    pub p99_ns: Option<u64>,
    /// What a zombie time is exact to, in ns.
    pub error_ns: u64,
}

/// Processes, and how long each has been something, in ns.
type Ages = Vec<(TaskId, u64)>;

/// Zombies to be looked at, by their indices in a census.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// Those that are reported.
    pub zombies: Vec<usize>,
    /// The oldest zombies of their parents as well: a line about a parent names its oldest.
    pub also: Vec<usize>,
}

/// What was lost since the last warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLoss {
    /// All of it.
    pub lost: Lost,
    /// How many of `lost.ring_full` the output had no room for.
    pub unwritten: u64,
}

/// The parents whose children are all in scope, so that every reap of theirs is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// All parents of zombies in scope.
    All,
    /// Those that made the zombie themselves: it is about a tree.
    Own,
    /// None.
    Some,
}

impl Sees {
    /// What a run about this scope sees.
    pub fn of(scope: &KernelScope) -> Self {
        if !scope.pids.is_empty() || scope.cgroup.is_some() || !scope.containers.is_empty() {
            Self::Some
        } else if scope.tree.is_some() {
            Self::Own
        } else {
            Self::All
        }
    }
}

/// The zombies of one parent.
#[derive(Clone, Debug, Default)]
pub struct ZombiesOf {
    /// How many there are.
    pub count: u64,
    /// When the youngest of them were started (`CLOCK_BOOTTIME`, ns).
    pub starts: Vec<u64>,
}

impl ZombiesOf {
    /// As many as a parent's reaps are remembered.
    const YOUNGEST: usize = 16;

    /// There is another one.
    pub fn add(&mut self, start: u64) {
        self.count += 1;
        let at = self.starts.partition_point(|&other| other > start);
        self.starts.insert(at, start);
        self.starts.truncate(Self::YOUNGEST);
    }
}

/// When it became a zombie, or the latest time that it can have been.
fn zombie_time(record: &Record) -> u64 {
    match record.zombie_time {
        0 => record.zombie_time_max,
        time => time,
    }
}

/// Lifecycle, filter, aggregate and sink in a row.
pub struct Pipeline {
    lifecycle: Lifecycle,
    overdue: Overdue,
    filter: Filter,
    aggregate: Aggregate,
    sink: Box<dyn Sink + Send>,
    host: Box<dyn Host>,
    begun: u64,
    wall: WallClock,
    /// Records that came through the ring buffer and were not listed.
    filtered: u64,
    /// Those of them that the output has no line about yet.
    unlisted: Unlistings,
    pre_existing: u64,
    /// Why zombies lingered, for the records of their ends.
    found: KeptFindings,
    /// A zombie is reported at this age.
    alive_after_ns: u64,
    /// As many of a parent's zombies at the most are reported at a time.
    most_of_a_parent: usize,
    lingering: Lingering,
    command_lines: CommandLines,
    /// Pid, name and command line of COMMAND.
    command: Option<(u32, Comm, String)>,
    reaping: Reaping,
    /// Those that are dying.
    dying: Unended,
    /// How many that were at the last look.
    dying_now: Option<u64>,
    /// Those whose main thread alone has ended.
    leaderless: Unended,
    sees_reaps: Sees,
    /// Lines that the output had no room for.
    unwritten: u64,
    /// What parents did, if that was sampled.
    sampled: Option<StackSamples>,
    /// The zombie time of zombies since they were old enough for samples of their parents, in ns.
    due_for_samples: u64,
    /// What the `loss` lines have reported.
    reported: Lost,
    /// What [`NewLoss`] has reported.
    warned: NewLoss,
}

impl Pipeline {
    /// A run begins. `error_ns` is the backend's error for exact lifetimes.
    ///
    /// A zombie is reported when it has been one for `alive_after_ns`.
    pub(crate) fn new(
        error_ns: u64,
        alive_after_ns: u64,
        filter: Filter,
        sink: Box<dyn Sink + Send>,
        host: Box<dyn Host>,
    ) -> Self {
        let begun = host.now();
        let wall = host.wall_clock();
        let run = RunFacts {
            begin: Some(wall.timestamp(begun)),
            error_ns,
            tracer_pid: host.own_pid(),
        };
        Self {
            found: KeptFindings::default(),
            alive_after_ns,
            most_of_a_parent: usize::MAX,
            lingering: Lingering::default(),
            command_lines: CommandLines::default(),
            command: None,
            reaping: Reaping::default(),
            dying: Unended::new(DYING_AFTER.as_nanos() as u64),
            dying_now: None,
            leaderless: Unended::new(alive_after_ns),
            sees_reaps: Sees::All,
            overdue: Overdue::new(alive_after_ns),
            lifecycle: Lifecycle::new(error_ns),
            filter,
            aggregate: Aggregate::new(run),
            sink,
            host,
            begun,
            wall,
            filtered: 0,
            unlisted: Unlistings::default(),
            pre_existing: 0,
            unwritten: 0,
            sampled: None,
            due_for_samples: 0,
            reported: Lost::default(),
            warned: NewLoss {
                lost: Lost::default(),
                unwritten: 0,
            },
        }
    }

    /// Intervals are asked for.
    pub fn with_intervals(mut self) -> Self {
        self.aggregate.begin_intervals();
        self
    }

    /// Of the zombies that come to the age for it at a time, only that many of each parent are looked at
    /// and reported.
    pub(crate) fn reporting_few(self, most_of_a_parent: usize) -> Self {
        Self {
            most_of_a_parent,
            ..self
        }
    }

    /// What parents do is sampled, as these totals say.
    #[cfg(feature = "stacks")]
    pub(crate) fn sampling(self, totals: StackTotals) -> Self {
        Self {
            sampled: Some(StackSamples {
                totals,
                ..StackSamples::default()
            }),
            ..self
        }
    }

    /// What the samples come to; their zombie time is known here.
    #[cfg(feature = "stacks")]
    pub(crate) fn sampled(&mut self, sampled: StackSamples) {
        self.sampled = Some(sampled);
    }

    /// The end of a run as a time of the day.
    #[cfg(feature = "stacks")]
    pub(crate) fn timestamp(&self) -> jiff::Timestamp {
        self.wall.timestamp(self.host.now())
    }

    /// A zombie of this age was one until `ts`: samples of its parent should stand for its time.
    fn count_due(&mut self, ts: jiff::Timestamp, age_ns: u64, flags: &[Flag]) {
        if let Some(sampled) = &self.sampled {
            let old = age_ns.saturating_sub(sampled.totals.after_ns);
            let due = old.min(self.aggregate.in_run(ts, age_ns, flags));
            self.due_for_samples = self.due_for_samples.saturating_add(due);
        }
    }

    /// The parents whose children are all in scope.
    pub fn seeing(mut self, sees: Sees) -> Self {
        self.sees_reaps = sees;
        self
    }

    /// Writes the first line.
    pub fn start(&mut self, start: &Start) -> io::Result<()> {
        self.sink.start(start)?;
        self.sink.flush()
    }

    /// Takes in what there was before the tracer.
    pub fn adopt(&mut self, entries: &[SnapshotEntry], clocks: &RunQueueClocks) {
        for entry in entries
            .iter()
            .filter(|entry| accounts::is_pre_existing(&entry.record))
        {
            self.lifecycle.adopt(entry, clocks, &self.wall);
            self.pre_existing += u64::from(accounts::is_zombie(entry));
        }
    }

    /// A batch of records comes.
    pub fn begin_batch(&mut self) {
        self.wall = self.host.wall_clock();
    }

    /// Takes in what the ring buffer brought.
    pub fn event(&mut self, event: &KernelEvent) -> io::Result<()> {
        match event {
            KernelEvent::Record(record) => return self.record(record),
            KernelEvent::HostName(name) => self.host.name_host(name),
            KernelEvent::NewCgroup(cgroup) => self.host.add_cgroup(cgroup),
        }
        Ok(())
    }

    /// Lists a process that is gone, if it is to be listed.
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let place = self.host.place(record);
        let found = self.found.remove(&identity(record));
        if record.reaper_pid != 0 && record.reaper_pid == record.ppid {
            let reap = Reap {
                start: self.start_of(record),
                zombie: zombie_time(record),
                reap: record.reap_time,
            };
            self.reaping.reaped((record.ppid, record.parent_task), reap);
        }
        let zombie = self
            .lifecycle
            .zombie(record, &self.wall, place)
            .because(found.as_ref().map(|found| &found.diagnosis));
        if !zombie.autoreaped() {
            self.count_due(zombie.ts, zombie.zombie_ns, &zombie.flags);
        }
        let listing = self.filter.listing(&zombie);
        if self.aggregate.zombie(&zombie, !listing.is_filtered()) {
            self.name_parent((zombie.ppid, zombie.parent_comm));
        }
        if listing.is_filtered() {
            self.filtered += u64::from(record.flags & flags::PRE_EXISTING == 0);
            return self.leave_out(&zombie);
        }
        // Whoever reads it finds them in the order in which they were reaped.
        self.write_unlisted()?;
        if self.lacks_room() {
            return Ok(());
        }
        self.sink.identified(identity(record), &zombie)
    }

    /// A recording must hold the times of what it does not list: percentiles are about all of them.
    fn leave_out(&mut self, zombie: &Zombie) -> io::Result<()> {
        if !self.sink.wants_unlisted() || !self.aggregate.is_measured(zombie) {
            return Ok(());
        }
        self.unlisted.add(zombie);
        match self.unlisted.is_full() {
            true => self.write_unlisted(),
            false => Ok(()),
        }
    }

    fn write_unlisted(&mut self) -> io::Result<()> {
        let Some(unlisted) = self.unlisted.take() else {
            return Ok(());
        };
        if !self.sink.has_room() {
            self.unwritten += unlisted.zombies.len() as u64;
            return Ok(());
        }
        self.sink.unlisted(&unlisted)
    }

    /// Counts a line that the output has no room for.
    fn lacks_room(&mut self) -> bool {
        let lacks_room = !self.sink.has_room();
        self.unwritten += u64::from(lacks_room);
        lacks_room
    }

    /// A batch of records is through.
    pub fn end_batch(&mut self) -> io::Result<()> {
        if self.unlisted.is_due(self.wall.timestamp(self.host.now())) {
            self.write_unlisted()?;
        }
        self.sink.flush()
    }

    /// Reports what was lost since the last time.
    pub fn loss(&mut self, counters: &Counters, missed_exits: u64) -> io::Result<Option<NewLoss>> {
        let mut lost = accounts::lost(counters, missed_exits);
        lost.ring_full += self.unwritten;
        // A full output gets it later.
        if lost != self.reported && self.sink.has_room() {
            self.write_loss(lost)?;
            self.sink.flush()?;
        }
        Ok(self.new_loss(lost))
    }

    fn write_loss(&mut self, total: Lost) -> io::Result<()> {
        let lost = total.since(&self.reported);
        if lost.is_none() {
            return Ok(());
        }
        self.reported = total;
        let ts = self.wall.timestamp(self.host.now());
        self.sink.loss(&Loss { ts, lost })
    }

    fn new_loss(&mut self, total: Lost) -> Option<NewLoss> {
        let new = NewLoss {
            lost: total.since(&self.warned.lost),
            unwritten: self.unwritten - self.warned.unwritten,
        };
        if new.lost.is_none() {
            return None;
        }
        self.warned = NewLoss {
            lost: total,
            unwritten: self.unwritten,
        };
        Some(new)
    }

    /// An interval ends, or goes on while the output is full. The counters were read before what
    /// exists was listed.
    pub fn interval(&mut self, counters: &Counters, existing: &[SnapshotEntry]) -> io::Result<()> {
        if !self.sink.has_room() {
            return Ok(());
        }
        let mut counts = Accounts::so_far(counters, existing).counts();
        counts.filtered += self.filtered;
        counts.lost.ring_full += self.unwritten;
        self.end_interval(counts, self.host.now())?;
        self.sink.flush()
    }

    fn end_interval(&mut self, counts: Counts, now: u64) -> io::Result<()> {
        let ts = self.wall.timestamp(now);
        match self.aggregate.end_interval(counts, ts, self.elapsed(now)) {
            Some(interval) => self.sink.interval(&interval),
            None => Ok(()),
        }
    }

    fn elapsed(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.begun))
    }

    /// Whether somebody wants to know what is now.
    pub fn wants_standing(&self) -> bool {
        self.sink.wants_standing()
    }

    /// Looks at everything that exists: those that are zombies.
    pub fn census<'a>(&mut self, existing: &'a [SnapshotEntry]) -> Census<'a> {
        self.begin_batch();
        let now = self.host.now();
        let zombies = existing.iter().filter(|entry| accounts::is_zombie(entry));
        let zombies = zombies
            .map(|entry| {
                let record = &entry.record_now();
                let place = self.host.place(record);
                let alive = self.lifecycle.alive(record, now, &self.wall, place);
                Counted {
                    id: identity(&entry.record),
                    entry,
                    alive: Alive {
                        watched_ns: Some(now.saturating_sub(self.begun)),
                        ..alive
                    },
                }
            })
            .collect();
        Census {
            ts: self.wall.timestamp(now),
            now,
            zombies,
        }
    }

    /// How full the machine's table of pids is.
    pub(crate) fn pids(&self) -> Option<Limit> {
        self.host.pids()
    }

    /// The CPU time of this thread.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.host.cpu_time()
    }

    /// Reports what exists now.
    pub fn standing(
        &mut self,
        census: &Census<'_>,
        counters: &Counters,
        missed_exits: u64,
    ) -> io::Result<()> {
        let living = census.zombies.iter();
        let living = living.map(|zombie| {
            let found = self.found.get(&zombie.id);
            let cause = found.map(|found| found.diagnosis.cause);
            let is_old = zombie.alive.age_ns >= self.alive_after_ns;
            let alive = Alive {
                cause: cause.or(is_old.then_some(Cause::Unknown)),
                ..zombie.alive.clone()
            };
            (zombie.id, alive)
        });
        self.sink.standing(&Standing {
            ts: census.ts,
            living: living.collect(),
            autoreaped: counters.autoreaped,
            lost: accounts::lost(counters, missed_exits),
            dying: self.dying_now,
            pids: self.host.pids().map(|pids| Pids {
                used: pids.used,
                max: pids.limit,
            }),
        })
    }

    /// How the run is going. The counters were read before the census was taken.
    pub fn so_far(
        &self,
        census: &Census<'_>,
        existing: &[SnapshotEntry],
        counters: &Counters,
    ) -> SoFar {
        SoFar {
            elapsed: self.elapsed(census.now),
            exits: Accounts::so_far(counters, existing).counts().exits,
            living: census.zombies.len() as u64,
            p99_ns: self.aggregate.exact_times().quantile(Quantile::P99),
            error_ns: self.aggregate.error_ns(),
        }
    }

    /// Which of the zombies that exist have come to an age at which they are reported.
    pub fn due(&mut self, census: &Census<'_>) -> Due {
        let ages = census.zombies.iter().map(|one| (one.id, one.alive.age_ns));
        let due: HashSet<TaskId> = self.overdue.due(ages).into_iter().collect();
        self.found
            .forget_all_but(census.zombies.iter().map(|one| one.id));
        let is_due = |(_, one): &(usize, &Counted<'_>)| due.contains(&one.id);
        let zombies = census.zombies.iter().enumerate().filter(is_due);
        let mut of_parent: HashMap<ParentKey, usize> = HashMap::new();
        let zombies = zombies.filter(|(_, one)| {
            let parent = (one.alive.ppid, one.alive.parent_comm);
            let count = of_parent.entry(parent).or_default();
            *count += 1;
            *count <= self.most_of_a_parent
        });
        let zombies: Vec<usize> = zombies.map(|(index, _)| index).collect();
        let also = match self.sink.wants_lingering() {
            true => census.oldest_beside(&zombies),
            false => Vec::new(),
        };
        Due { zombies, also }
    }

    /// Reports those of the zombies that are due, with what was found.
    pub fn alive(
        &mut self,
        census: &Census<'_>,
        due: &Due,
        diagnoses: &HashMap<u32, Diagnosis>,
    ) -> io::Result<()> {
        for counted in due.also.iter().map(|&index| &census.zombies[index]) {
            self.explained(counted, diagnoses);
        }
        let mut parents = HashSet::new();
        for counted in due.zombies.iter().map(|&index| &census.zombies[index]) {
            let alive = self.explained(counted, diagnoses);
            let parent = (alive.ppid, alive.parent_comm);
            if parents.insert(parent) {
                self.name_parent(parent);
            }
            if self.filter.passes_alive(&alive) && !self.lacks_room() {
                self.sink.alive(&alive)?;
            }
        }
        if self.sink.wants_lingering() {
            self.report_lingering(census)?;
        }
        self.end_batch()
    }

    /// A look at the processes that have begun to end and have not: reports those that are due. `exits`:
    /// since when those exit that the kernel side has seen exit, by pid.
    pub fn unended(
        &mut self,
        proc: &Proc,
        seen: &[proc::UnendedProcess],
        exits: &HashMap<u32, u64>,
    ) -> io::Result<()> {
        self.begin_batch();
        let now = self.host.now();
        let (dying, leaderless) = self.look_at_unended(now, seen, exits);
        let due: HashSet<TaskId> = self.dying.due(&dying).into_iter().collect();
        let leaderless: HashSet<TaskId> = self.leaderless.due(&leaderless).into_iter().collect();
        if self.sink.wants_dying() {
            let due: Vec<_> = dying
                .into_iter()
                .filter(|(id, _)| due.contains(id))
                .collect();
            self.write_unended(now, proc, seen, &due, &leaderless)?;
        }
        self.end_batch()
    }

    /// How long those have been dying, and those without a main thread.
    fn look_at_unended(
        &mut self,
        now: u64,
        seen: &[proc::UnendedProcess],
        exits: &HashMap<u32, u64>,
    ) -> (Ages, Ages) {
        let (dying, leaderless): (Vec<_>, Vec<_>) = seen
            .iter()
            .partition(|one| matches!(one.rest, Rest::Dying { .. }));
        let dying = dying
            .iter()
            .map(|one| (one.id(), exits.get(&one.pid).copied()));
        let dying = self.dying.look(now, dying);
        let leaderless = leaderless.iter().map(|one| (one.id(), None));
        let leaderless = self.leaderless.look(now, leaderless);
        let is_dying = |(_, age): &&(TaskId, u64)| *age >= DYING_AFTER.as_nanos() as u64;
        self.dying_now = Some(dying.iter().filter(is_dying).count() as u64);
        (dying, leaderless)
    }

    /// Writes those of the dying, each with how long it has been, and of those without a main thread. Gives
    /// what it has written.
    fn write_unended(
        &mut self,
        now: u64,
        proc: &Proc,
        seen: &[proc::UnendedProcess],
        dying: &[(TaskId, u64)],
        leaderless: &HashSet<TaskId>,
    ) -> io::Result<(Vec<Dying>, Vec<Alive>)> {
        let mut written = (Vec::new(), Vec::new());
        let dying: HashMap<TaskId, u64> = dying.iter().copied().collect();
        for one in seen {
            if let Some(&age) = dying.get(&one.id()) {
                let age = age.max(proc::since_last_run(one, now));
                let line = one.dying(self.wall.timestamp(now), Some(age));
                if let Some(line) = line
                    && self.filter.passes_dying(&line, one.parent_comm().as_ref())
                    && !self.lacks_room()
                {
                    self.sink.dying(&line)?;
                    written.0.push(line);
                }
            } else if leaderless.contains(&one.id())
                && let Some(alive) = without_leader(proc, one, now, &self.wall)
                && self.filter.passes_alive(&alive)
                && !self.lacks_room()
            {
                let alive = Alive {
                    watched_ns: Some(now.saturating_sub(self.begun)),
                    ..alive
                };
                self.sink.alive(&alive)?;
                written.1.push(alive);
            }
        }
        Ok(written)
    }

    /// Reports the parents of all zombies that have come to the age for it, where that says something new.
    fn report_lingering(&mut self, census: &Census<'_>) -> io::Result<()> {
        let own = self.host.own_pid();
        let old = census.zombies.iter().filter(|one| {
            one.alive.age_ns >= self.alive_after_ns && (own.is_none() || one.alive.ppid != own)
        });
        let old = old.map(|one| {
            one.alive
                .clone()
                .because(self.found.get(&one.id).map(|found| &found.diagnosis))
        });
        let old = old.filter(|alive| self.filter.passes_alive(alive));
        let mut due = self.lingering.due(LingeringParent::of(old));
        if due.is_empty() || !self.sink.has_room() {
            return Ok(());
        }
        // The young ones decide nothing, but live too.
        let mut living: HashMap<_, usize> = HashMap::new();
        let passing = census.zombies.iter().map(|one| &one.alive);
        for alive in passing.filter(|alive| self.filter.passes_alive(alive)) {
            *living.entry((alive.ppid, alive.parent_comm)).or_default() += 1;
        }
        for parent in &mut due {
            let all = living.get(&(parent.ppid, parent.comm)).copied();
            parent.zombies = parent.zombies.max(all.unwrap_or(0));
            if let (Some(ppid), Some(comm)) = (parent.ppid, parent.comm) {
                let line = self.command_lines.read(&*self.host, ppid, comm);
                parent.cmdline = line.map(Into::into);
            }
        }
        self.sink.lingering(&due)
    }

    /// A zombie with why it is there, by this look or, if that found no cause, by an earlier one: once the
    /// parent has ended, its heir says nothing about why the zombie lingered.
    fn explained(&mut self, counted: &Counted<'_>, diagnoses: &HashMap<u32, Diagnosis>) -> Alive {
        let alive = &counted.alive;
        if let Some(diagnosis) = diagnoses.get(&alive.pid)
            && (diagnosis.cause != Cause::Unknown || self.found.get(&counted.id).is_none())
        {
            let found = Finding {
                diagnosis: Diagnosis {
                    looked_at: Some(alive.ts),
                    ..diagnosis.clone()
                },
                foreign: alive.foreign,
                watched_ns: diagnosis.watched_ns.or(alive.watched_ns),
            };
            self.found.insert(counted.id, found);
        }
        let Some(known) = self.found.get(&counted.id) else {
            return alive.clone();
        };
        Alive {
            foreign: known.foreign,
            watched_ns: known.watched_ns,
            ..alive.clone().because(Some(&known.diagnosis))
        }
    }

    /// The monotonic clock, in ns.
    pub fn now(&self) -> u64 {
        self.host.now()
    }

    /// What had been seen of a zombie's parent at a moment, `now`. `zombies`: those of each parent.
    pub fn history(
        &self,
        entry: &SnapshotEntry,
        zombies: &HashMap<u32, ZombiesOf>,
        now: u64,
    ) -> History {
        let record = &entry.record;
        let zombies = zombies.get(&record.ppid);
        let starts = || -> Vec<u64> {
            let starts = zombies.map_or(&[][..], |zombies| &zombies.starts);
            let monotonic = |&start: &u64| start.saturating_sub(self.wall.suspended_ns);
            starts.iter().map(monotonic).collect()
        };
        // A parent that has adopted it may be outside of the tree.
        let is_in_scope = match self.sees_reaps {
            Sees::All => true,
            Sees::Own => foreign(entry.record_now().flags) == Some(false),
            Sees::Some => false,
        };
        let sees_all = is_in_scope && record.parent_task != 0 && self.warned.lost.is_none();
        let parent = (record.ppid, record.parent_task);
        let reaps = sees_all.then(|| match self.reaping.of(parent) {
            Some(reaps) => ReapHistory {
                count: reaps.count,
                since_last_ns: now.saturating_sub(reaps.last()),
                passed_over: reaps.passed_over(zombie_time(record), now),
                passed_over_more: reaps.may_have_passed_over_more(zombie_time(record)),
                pace: reaps.pace(&starts()),
            },
            None => ReapHistory::default(),
        });
        History {
            watched_ns: now.saturating_sub(self.begun),
            age_ns: self.lifecycle.age(record, now).0,
            zombies: zombies.map_or(0, |zombies| zombies.count),
            reaps,
            handler: None,
        }
    }

    /// When it was started, on the monotonic clock.
    fn start_of(&self, record: &Record) -> u64 {
        let suspended = self.wall.suspended_ns;
        record.start_boottime.saturating_sub(suspended)
    }

    /// COMMAND runs with this pid and these arguments, the first of which names it. It can be gone before
    /// anybody asks /proc.
    pub fn command_runs(&mut self, pid: u32, args: &[OsString]) {
        let Some(name) = args.first().and_then(|name| Path::new(name).file_name()) else {
            return;
        };
        let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        let comm = Comm::from_bytes(name.as_bytes());
        self.command = Some((pid, comm, words.join(" ")));
    }

    /// Reads a parent's command line, while it is there.
    fn name_parent(&mut self, parent: ParentKey) {
        let (Some(pid), Some(comm)) = parent else {
            return;
        };
        let read = self.command_lines.read(&*self.host, pid, comm);
        let of_command = self.command.as_ref();
        let of_command =
            of_command.filter(|(its_pid, its_comm, _)| (pid, comm) == (*its_pid, *its_comm));
        if let Some(cmdline) = read.as_ref().or(of_command.map(|(.., cmdline)| cmdline)) {
            self.aggregate.named(parent, cmdline);
            self.sink.named(parent, cmdline);
        }
    }

    /// The end of the run: lists what is still there and writes the summary. `unended`: what a look at those
    /// that have begun to end has seen, as for [`unended`](Self::unended).
    pub fn finish(
        &mut self,
        remains: &Remains,
        unended: Option<(&Proc, &[proc::UnendedProcess], &HashMap<u32, u64>)>,
    ) -> io::Result<Ending> {
        self.begin_batch();
        let now = self.host.now();
        for record in &remains.released {
            self.record(&accounts::close(record, now, remains.infers_autoreap))?;
        }
        self.write_unlisted()?;
        let census = self.census(&remains.existing);
        let mut zombies: Vec<_> = census.zombies.iter().collect();
        zombies.sort_by_key(|one| one.entry.record.zombie_time);
        let none = HashMap::new();
        for counted in zombies {
            // Whoever has inherited it since the last look is not to blame.
            let inherited = counted.entry.now.ppid != counted.entry.record.ppid;
            let diagnoses = if inherited { &none } else { &remains.diagnoses };
            let alive = self.explained(counted, diagnoses);
            self.aggregate.alive(&alive);
            self.count_due(alive.ts, alive.age_ns, &alive.flags);
            self.name_parent((alive.ppid, alive.parent_comm));
            if self.filter.passes_alive(&alive) && !self.lacks_room() {
                self.sink.alive(&alive)?;
            }
        }
        let (mut dying_left, mut leader_ended) = (Vec::new(), Vec::new());
        if let Some((proc, seen, exits)) = unended
            && self.sink.wants_dying()
        {
            let (mut dying, leaderless) = self.look_at_unended(now, seen, exits);
            dying.retain(|(_, age)| *age >= DYING_AFTER.as_nanos() as u64);
            let leaderless = leaderless.into_iter().map(|(id, _)| id).collect();
            (dying_left, leader_ended) =
                self.write_unended(now, proc, seen, &dying, &leaderless)?;
        }
        let mut counts = Accounts::of(remains).counts();
        counts.filtered += self.filtered;
        counts.pre_existing = self.pre_existing;
        counts.lost.ring_full += self.unwritten;
        self.write_loss(counts.lost)?;
        let lost = self.new_loss(counts.lost);
        self.end_interval(counts, now)?;
        let ts = self.wall.timestamp(now);
        let mut summary = self.aggregate.summary(counts, ts, self.elapsed(now));
        let due_ns = self.due_for_samples;
        let sampled = self.sampled.take().map(|sampled| sampled.within(due_ns));
        if let Some(sampled) = &sampled {
            self.sink.doing(&sampled.stacks, &sampled.doing)?;
            let did = WhatParentsDid::of(&sampled.stacks, &sampled.doing);
            name_places(&did, &mut summary);
            summary.stacks = Some(sampled.totals);
        }
        self.sink.summary(&summary)?;
        let running = remains.running.iter().map(|process| Running {
            pid: process.pid,
            comm: Comm::new(process.comm),
        });
        let running: Vec<_> = running.collect();
        self.sink.running(&running)?;
        self.sink.end()?;
        Ok(Ending {
            lost,
            complete: summary.complete,
            suspicious: counts.suspicious,
            error_ns: self.aggregate.error_ns(),
            times: self.aggregate.exact_times().clone(),
            summary,
            running,
            dying: dying_left,
            leader_ended,
            sampled,
        })
    }
}

/// Reads command lines, but no more than [`MOST_A_SECOND`](Self::MOST_A_SECOND): where thousands of
/// short-lived parents come by, none of them matters by itself.
#[derive(Debug, Default)]
struct CommandLines {
    second: u64,
    in_second: u32,
}

impl CommandLines {
    const MOST_A_SECOND: u32 = 200;

    fn read(&mut self, host: &dyn Host, pid: u32, comm: Comm) -> Option<String> {
        let second = host.now() / 1_000_000_000;
        if second != self.second {
            (self.second, self.in_second) = (second, 0);
        }
        if self.in_second >= Self::MOST_A_SECOND {
            return None;
        }
        self.in_second += 1;
        host.command_line(pid, comm)
    }
}

fn identity(record: &Record) -> TaskId {
    (record.task, record.start_boottime)
}

#[cfg(test)]
mod tests;
