//! The loop of a run, and its end.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    future::pending,
    io::{self, Stdout},
    os::fd::AsFd as _,
    process::ExitStatus,
    time::Duration,
};

use anyhow::Context as _;
use caps::Capability;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::time::{self, Instant, MissedTickBehavior};

use zombie_trace_common::{Counters, SnapshotEntry};

use crate::{
    cause::{HandlerHistory, History},
    kernel::{Adopted, KernelError, KernelScope, RecordSource, Tracer, decode::KernelEvent},
    lifecycle::{Growth, RunQueueClocks, TaskId, Trend, ZombieCount},
    model::{Diagnosis, Start},
    run::{
        accounts::{self, Remains},
        census::Census,
        control::{Request, RunControl},
        kernel_side::{KernelSide, Records},
        pipeline::{Ending, NewLoss, Pipeline, Sees, SoFar, ZombiesOf},
        unended::{self, Members},
        warning::{self, Warning},
    },
    system::{
        deadline::{Deadline, END},
        privilege::raised,
        proc::{Findings, Proc, UnendedProcess},
        scheduling, thread_cpu_time,
    },
};
#[cfg(feature = "stacks")]
use crate::{model::StackTotals, run::sampling::StackSource};

/// Waits for a moment, but not beyond the deadline. Gives the deadline, which is now once it is urgent.
async fn wait(deadline: Deadline, is_urgent: &impl Fn() -> bool) -> Deadline {
    const MOMENT: Duration = Duration::from_millis(5);
    deadline.or_after(MOMENT).passed().await;
    if is_urgent() {
        deadline.or_after(Duration::ZERO)
    } else {
        deadline
    }
}

/// How often the ring buffer is looked at when the kernel side does not say that it fills up.
const TICK: Duration = Duration::from_millis(100);

/// That many ticks are a second.
const A_SECOND: u32 = (1_000 / TICK.as_millis()) as u32;

/// A look at what lives on takes at most one part in so many of the time: with tens of thousands of
/// zombies it comes less often.
const LOOK_SHARE: u32 = 50;

/// How many ticks apart losses are looked for.
const LOSS_TICKS: u32 = 5;

/// So many records at a time, so that signals are seen under any load.
const BATCH: usize = 8192;

/// How long to wait for the kernel to free what it has released, which shows the last ends. An RCU
/// grace period is some tens of ms.
const SETTLE: Duration = Duration::from_secs(1);

/// How long to wait for programs that were under way when the table was frozen.
const DELIVERY: Duration = Duration::from_millis(500);

/// What is left of the time for the end once the names of functions have been looked up.
#[cfg(feature = "stacks")]
const AFTER_NAMES: Duration = Duration::from_millis(500);

/// How long /proc may take to say why zombies linger.
const DIAGNOSIS: Duration = Duration::from_secs(2);

/// Why a run ends before its time.
pub(crate) enum Trouble {
    /// The output can't be written.
    Output(io::Error),
    Other(anyhow::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<KernelError> for Trouble {
    fn from(error: KernelError) -> Self {
        Self::Other(error.into())
    }
}

/// Takes what the user should know.
pub(crate) type Warn = Box<dyn Fn(&Warning)>;

/// Takes how the run is going.
pub(crate) type Observer = Box<dyn Fn(&SoFar)>;

/// What lives as long as a run.
pub(crate) struct Session<K = Tracer, R = RecordSource> {
    tracer: K,
    source: R,
    pipeline: Pipeline,
    warn: Warn,
    /// `None` where /proc shows the processes of others, or none: no causes then.
    proc: Option<Proc>,
    growth: Growth,
    /// Which processes it is about, as far as /proc can say.
    members: Members,
    /// Those that the last look has seen begin to end.
    unended_before: HashSet<TaskId>,
    /// How many ticks apart long-lived zombies are looked for.
    alive_ticks: u32,
    interval: Option<time::Interval>,
    observer: Option<Observer>,
    /// Our standard output, if what we write goes there.
    stdout: Option<Stdout>,
    /// How many records the ring buffer has brought.
    received: u64,
    /// What happened until then (monotonic, ns) has been taken in.
    seen_until: u64,
    /// Descendants that may have been overlooked at the start.
    overlooked: u64,
    /// What parents do is sampled.
    #[cfg(feature = "stacks")]
    sampling: Option<Box<dyn StackSource>>,
    /// When all of it has to be over, once somebody has said stop.
    end: Option<Deadline>,
}

impl Session {
    /// Takes in what there was before the hooks.
    pub(crate) fn new(pipeline: Pipeline, mut tracer: Tracer, warn: Warn) -> anyhow::Result<Self> {
        scheduling::preempt_nobody();
        let source = RecordSource::new(tracer.take_ring_buffer()?)
            .context("cannot wait for the ring buffer")?;
        // What /proc can't show is said once.
        let proc = Proc::open()
            .inspect_err(|error| warn(&warning::no_causes(error)))
            .ok();
        Self::of(pipeline, tracer, source, proc, warn)
    }

    /// For a run without a summary: [`finish`](Self::finish) must not be called after this.
    #[cfg(feature = "serve")]
    pub(crate) fn close_maps(&mut self) {
        self.tracer.close_maps();
    }
}

impl<K: KernelSide, R: Records> Session<K, R> {
    /// Takes in what there was before the hooks of this kernel side.
    pub(crate) fn of(
        mut pipeline: Pipeline,
        mut tracer: K,
        source: R,
        proc: Option<Proc>,
        warn: Warn,
    ) -> anyhow::Result<Self> {
        let Adopted { entries, unsettled } = tracer.adopt()?;
        if unsettled > 0 {
            warn(&warning::overlooked(unsettled));
        }
        let mut cpus: Vec<_> = entries.iter().map(|entry| entry.now.cpu).collect();
        cpus.sort_unstable();
        cpus.dedup();
        let clocks = RunQueueClocks::new(&tracer.sample_clocks(cpus)?);
        pipeline.adopt(&entries, &clocks);
        let seen_until = pipeline.now();
        Ok(Self {
            tracer,
            source,
            pipeline,
            proc,
            warn,
            growth: Growth::default(),
            members: Members::default(),
            unended_before: HashSet::new(),
            alive_ticks: A_SECOND,
            interval: None,
            observer: None,
            stdout: None,
            received: 0,
            seen_until,
            overlooked: unsettled,
            #[cfg(feature = "stacks")]
            sampling: None,
            end: None,
        })
    }

    /// It is about the processes in this scope.
    pub(crate) fn about(self, scope: &KernelScope) -> anyhow::Result<Self> {
        let members = Members::of(scope.clone()).context("--cgroup")?;
        let pipeline = self.pipeline.seeing(Sees::of(scope));
        Ok(Self {
            members,
            pipeline,
            ..self
        })
    }

    /// Looks for zombies of this age.
    pub(crate) fn looking_after(self, age: Duration) -> Self {
        Self {
            alive_ticks: alive_ticks(age),
            ..self
        }
    }

    /// Reports intervals of this length.
    pub(crate) fn with_intervals(self, length: Duration) -> Self {
        Self {
            interval: Some(every(length)),
            ..self
        }
    }

    /// Says about once a second how the run is going.
    pub(crate) fn observed_by(self, observer: Observer) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// Samples what parents do, as the totals say, or says why it can't.
    #[cfg(feature = "stacks")]
    pub(crate) fn sampling(
        self,
        totals: StackTotals,
        source: anyhow::Result<Box<dyn StackSource>>,
    ) -> Self {
        let source = source.inspect_err(|error| (self.warn)(&warning::no_stacks(error)));
        Self {
            sampling: source.ok(),
            pipeline: self.pipeline.sampling(totals),
            ..self
        }
    }

    /// Drops the observer.
    pub(crate) fn end_observation(&mut self) {
        self.observer = None;
    }

    /// Ends the run when nobody reads standard output any more, which the sink writes to.
    pub(crate) fn writing_to(self, stdout: Stdout) -> Self {
        Self {
            stdout: Some(stdout),
            ..self
        }
    }

    /// Warns if /proc hides the processes of others, whose zombies then get no cause.
    pub(crate) fn warn_of_hidden(&self) {
        if let Some(gap) = self.proc.as_ref().and_then(Proc::gap) {
            (self.warn)(&warning::hidden(gap));
        }
    }

    /// Writes the first line.
    pub(crate) fn start(&mut self, start: &Start) -> Result<(), Trouble> {
        Ok(self.pipeline.start(start)?)
    }

    /// COMMAND runs with this pid and these arguments, the first of which names it.
    pub(crate) fn command_runs(&mut self, pid: u32, args: &[OsString]) {
        self.pipeline.command_runs(pid, args);
    }

    /// Lists what ends, until the run is told to end. Gives the status of COMMAND, if there is one.
    pub(crate) async fn follow(
        &mut self,
        control: &mut impl RunControl,
        deadline: Option<Instant>,
    ) -> Result<Option<ExitStatus>, Trouble> {
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks: u32 = 0;
        let mut deadline = deadline;
        let mut next_look = Instant::now();
        let mut next_for_unended = next_look;
        loop {
            tokio::select! {
                filled = self.source.filled() => {
                    filled.context("cannot wait for the ring buffer")?;
                    self.drain(BATCH)?;
                }
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    self.drain(BATCH)?;
                    self.tracer.flush_log();
                    if ticks.is_multiple_of(LOSS_TICKS) {
                        self.report_loss()?;
                    }
                    let now = Instant::now();
                    if now >= next_for_unended {
                        let pause = self.report_unended()? * unended::LOOK_SHARE;
                        next_for_unended = now + pause.max(unended::BETWEEN_LOOKS);
                    }
                    if ticks.is_multiple_of(self.alive_ticks) && now >= next_look {
                        next_look = now + self.report_alive()? * LOOK_SHARE;
                    }
                    self.check_reader()?;
                }
                () = passed(&mut self.interval) => {
                    // The last one is reported at the end.
                    let ends_soon = |end: Instant| end.saturating_duration_since(Instant::now()) < TICK;
                    if !deadline.is_some_and(ends_soon) {
                        self.report_interval()?;
                    }
                }
                request = control.next() => {
                    match request.context("cannot wait for the command")? {
                        Request::End(Some(status)) => return Ok(Some(status)),
                        Request::End(None) => {
                            self.must_end();
                            return Ok(None);
                        }
                        Request::Hurry => {
                            self.must_end();
                        }
                    }
                }
                () = until(deadline) => {
                    self.must_end();
                    deadline = None;
                    if control.time_is_up() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Takes in what the ring buffer holds, or so many records of it.
    fn drain(&mut self, limit: usize) -> Result<(), Trouble> {
        let now = self.pipeline.now();
        self.pipeline.begin_batch();
        for _ in 0..limit {
            match self.source.take() {
                Some(event) => {
                    let event = event.context("the kernel side is not the one we started")?;
                    self.received += u64::from(matches!(event, KernelEvent::Record(_)));
                    self.pipeline.event(&event)?;
                }
                None => {
                    self.seen_until = now;
                    break;
                }
            }
        }
        Ok(self.pipeline.end_batch()?)
    }

    /// Waits for what the samples come to, and hands it on.
    #[cfg(feature = "stacks")]
    async fn finish_sampling(&mut self, mut deadline: Deadline, is_urgent: &impl Fn() -> bool) {
        let Some(mut sampling) = self.sampling.take() else {
            return;
        };
        // The rest of the end needs some time, too.
        let names_by = deadline.sooner(AFTER_NAMES);
        let ts = self.pipeline.timestamp();
        loop {
            match sampling.finish(ts, names_by) {
                Ok(Some(sampled)) => return self.pipeline.sampled(sampled),
                Ok(None) if deadline.has_passed() => {
                    return (self.warn)(&warning::samples_late());
                }
                Ok(None) => deadline = wait(deadline, is_urgent).await,
                Err(_) => return (self.warn)(&warning::samples_late()),
            }
        }
    }

    #[cfg(not(feature = "stacks"))]
    async fn finish_sampling(&mut self, _: Deadline, _: &impl Fn() -> bool) {}

    fn report_interval(&mut self) -> Result<(), Trouble> {
        self.drain(BATCH)?;
        let (counters, existing) = self.existing()?;
        Ok(self.pipeline.interval(&counters, &existing)?)
    }

    /// Reports the zombies that have come to the age for it. Gives the CPU time that the look at all of
    /// them took; a diagnosis is seldom, as it comes with each doubling of an age.
    fn report_alive(&mut self) -> Result<Duration, Trouble> {
        let begin = self.pipeline.cpu_time();
        let (counters, existing) = self.existing()?;
        let census = self.pipeline.census(&existing);
        if self.pipeline.wants_standing() {
            let missed = self.missed();
            self.pipeline.standing(&census, &counters, missed)?;
        }
        if let Some(observer) = &self.observer {
            observer(&self.pipeline.so_far(&census, &existing, &counters));
        }
        self.warn_of_growth(&census);
        let due = self.pipeline.due(&census);
        let took = self.pipeline.cpu_time().saturating_sub(begin);
        if !due.zombies.is_empty() {
            let patience = Deadline::after(DIAGNOSIS);
            let looked_at = due.zombies.iter().chain(&due.also);
            let zombies: Vec<_> = looked_at.map(|&at| census.zombies[at].entry).collect();
            let zombies_of = zombies_by_parent(&existing);
            // We may be late by now: of what happened since, nothing is known.
            let seen_until = self.seen_until;
            let diagnoses = diagnose(
                &mut self.tracer,
                self.proc.as_ref(),
                &zombies,
                |entry| self.pipeline.history(entry, &zombies_of, seen_until),
                patience,
                &self.warn,
            )?;
            self.pipeline.alive(&census, &due, &diagnoses)?;
        }
        Ok(took)
    }

    /// Reports the processes that began to end and did not come to their end. Gives the CPU time that this
    /// took.
    fn report_unended(&mut self) -> Result<Duration, Trouble> {
        let begin = thread_cpu_time();
        let looked = self.look_for_unended(false)?;
        if let (Some((seen, exits)), Some(proc)) = (looked, &self.proc) {
            self.pipeline.unended(proc, &seen, &exits)?;
        }
        Ok(thread_cpu_time().saturating_sub(begin))
    }

    /// Those in scope, and since when those exit that the kernel side has seen exit. `None` if /proc does
    /// not show them. Before the run `is_over`, the kernel side is asked only about those that the look
    /// before has seen as well: most are on their way, and to walk its lists in a storm makes programs miss.
    #[expect(clippy::type_complexity, reason = "two values, used at once")]
    fn look_for_unended(
        &mut self,
        is_over: bool,
    ) -> Result<Option<(Vec<UnendedProcess>, HashMap<u32, u64>)>, Trouble> {
        let Some(proc) = &self.proc else {
            return Ok(None);
        };
        let look = || proc.unended(None);
        let Ok(mut seen) = raised(Capability::CAP_SYS_PTRACE, look) else {
            return Ok(None);
        };
        seen.retain(|process| self.members.has(process));
        let ids: HashSet<_> = seen.iter().map(UnendedProcess::id).collect();
        let before = std::mem::replace(&mut self.unended_before, ids);
        if seen.is_empty() || !(is_over || seen.iter().any(|one| before.contains(&one.id()))) {
            return Ok(Some((seen, HashMap::new())));
        }
        let existing = self.tracer.list()?;
        if self.members.is_tree() {
            let running = self.tracer.descendants()?;
            let pids = running.iter().map(|process| process.pid);
            let pids = pids.chain(existing.iter().map(|entry| entry.record.pid));
            let members: HashSet<_> = pids.collect();
            seen.retain(|process| members.contains(&process.pid));
        }
        Ok(Some((seen, unended::exits(&existing))))
    }

    /// What is dying or a zombie, and the counters before it was listed.
    fn existing(&mut self) -> Result<(Counters, Vec<SnapshotEntry>), Trouble> {
        let counters = self.tracer.counters();
        let existing = match accounts::known(&counters) {
            0 => Vec::new(),
            _ => self.tracer.list()?,
        };
        Ok((counters, existing))
    }

    fn warn_of_growth(&mut self, census: &Census<'_>) {
        let mut counts: HashMap<_, ZombieCount> = HashMap::new();
        for alive in census.zombies.iter().map(|zombie| &zombie.alive) {
            if let (Some(ppid), Some(comm)) = (alive.ppid, alive.parent_comm) {
                let count = counts.entry((ppid, comm)).or_default();
                count.all += 1;
                count.lingering += usize::from(alive.age_ns >= Growth::LINGERING);
            }
        }
        let mut limits = self.proc.as_ref().map(Proc::limits);
        for trend in self.growth.report(census.now, &counts) {
            let growing = match trend {
                Trend::Growing(growing) => growing,
                Trend::Shrunk(shrunk) => {
                    (self.warn)(&warning::shrunk(&shrunk));
                    continue;
                }
            };
            let limits = match &mut limits {
                Some(limits) => limits.of(growing.ppid),
                None => self.pipeline.pids().into_iter().collect(),
            };
            (self.warn)(&warning::growing(&growing, &limits));
        }
    }

    fn report_loss(&mut self) -> Result<(), Trouble> {
        let counters = self.tracer.counters();
        let missed = self.missed();
        if let Some(lost) = self.pipeline.loss(&counters, missed)? {
            self.warn_of_loss(&lost);
        }
        Ok(())
    }

    fn warn_of_loss(&self, lost: &NewLoss) {
        (self.warn)(&warning::lost(lost));
    }

    /// Somebody who reads the first lines only must not have to wait for the next zombie.
    fn check_reader(&self) -> Result<(), Trouble> {
        let Some(stdout) = &self.stdout else {
            return Ok(());
        };
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        let hung_up = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
            && fds[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLERR));
        if hung_up {
            Err(io::Error::from(io::ErrorKind::BrokenPipe).into())
        } else {
            Ok(())
        }
    }

    fn missed(&self) -> u64 {
        self.tracer.missed_exits() + self.overlooked
    }

    /// The end of a run without a summary: takes in what there is to be known now.
    pub(crate) fn catch_up(&mut self) -> Result<(), Trouble> {
        // Or else there could be more and more.
        self.tracer.close();
        self.drain(usize::MAX)?;
        if self.pipeline.wants_standing() {
            let (counters, existing) = self.existing()?;
            let census = self.pipeline.census(&existing);
            let missed = self.missed();
            self.pipeline.standing(&census, &counters, missed)?;
        }
        Ok(())
    }

    /// The end: waits for what has happened until now, lists it and sums it up. Stops waiting once it
    /// `is_urgent`, and at the deadline.
    ///
    /// Gives what it comes to.
    pub(crate) async fn finish(&mut self, is_urgent: impl Fn() -> bool) -> Result<Ending, Trouble> {
        // If nobody has said stop, this end has a limit of its own.
        let deadline = self.end.unwrap_or_else(|| Deadline::after(END));
        let remains = self.settle(deadline, &is_urgent).await?;
        self.tracer.flush_log();
        // Not before nothing is counted any more: it starts processes.
        self.finish_sampling(deadline, &is_urgent).await;
        let looked = self.look_for_unended(true)?;
        let unended = looked.as_ref().zip(self.proc.as_ref());
        let unended = unended.map(|((seen, exits), proc)| (proc, &**seen, exits));
        let ending = self.pipeline.finish(&remains, unended)?;
        if let Some(lost) = ending.lost {
            self.warn_of_loss(&lost);
        }
        if ending.suspicious > 0 {
            (self.warn)(&warning::forged(ending.suspicious));
        }
        Ok(ending)
    }

    /// Waits until every process that was released has been reported, then takes stock.
    async fn settle(
        &mut self,
        mut deadline: Deadline,
        is_urgent: &impl Fn() -> bool,
    ) -> Result<Remains, Trouble> {
        self.tracer.close();
        let patience = deadline.or_after(SETTLE);
        loop {
            self.drain(usize::MAX)?;
            // The counters first: who is released meanwhile was known.
            let counters = self.tracer.counters();
            let settled = accounts::known(&counters) <= self.ended()?.len() as u64;
            if settled || patience.min(deadline).has_passed() {
                break;
            }
            deadline = wait(deadline, is_urgent).await;
        }
        self.tracer.freeze();
        let patience = deadline.or_after(DELIVERY);
        let mut remains = loop {
            // The programs that were under way are through soon.
            deadline = wait(deadline, is_urgent).await;
            let (remains, balanced) = self.take_stock()?;
            if balanced || patience.min(deadline).has_passed() {
                break remains;
            }
        };
        if remains.undelivered > 0 {
            (self.warn)(&warning::undelivered(remains.undelivered));
        }
        let zombies: Vec<_> = remains
            .existing
            .iter()
            .filter(|entry| accounts::is_zombie(entry))
            .collect();
        let patience = deadline.or_after(DIAGNOSIS);
        let zombies_of = zombies_by_parent(&remains.existing);
        let seen_until = self.seen_until;
        remains.diagnoses = diagnose(
            &mut self.tracer,
            self.proc.as_ref(),
            &zombies,
            |entry| self.pipeline.history(entry, &zombies_of, seen_until),
            patience,
            &self.warn,
        )?;
        remains.running = self.tracer.descendants()?;
        Ok(remains)
    }

    /// When it must be over, if somebody has said stop.
    pub(crate) fn end(&self) -> Option<Deadline> {
        self.end
    }

    /// From now on the run must come to its end; gives the time by which. The first call counts.
    pub(crate) fn must_end(&mut self) -> Deadline {
        *self.end.get_or_insert_with(|| Deadline::after(END))
    }

    /// The dying processes and zombies that still exist.
    fn ended(&mut self) -> Result<Vec<SnapshotEntry>, Trouble> {
        let mut existing = self.tracer.list()?;
        existing
            .retain(|entry| accounts::has_ended(&entry.record) && !accounts::is_released(entry));
        Ok(existing)
    }

    /// What there is now, and whether every process and record is accounted for.
    fn take_stock(&mut self) -> Result<(Remains, bool), Trouble> {
        let counters = self.tracer.counters();
        self.drain(usize::MAX)?;
        let undelivered = accounts::submitted(&counters).saturating_sub(self.received);
        let existing = self.ended()?;
        let known = accounts::known(&counters);
        let mut released = Vec::new();
        if known > existing.len() as u64 {
            released = accounts::released_among(self.tracer.records()?, &existing);
        }
        let balanced = undelivered == 0 && known <= (existing.len() + released.len()) as u64;
        let remains = Remains {
            existing,
            released,
            counters,
            undelivered,
            missed_exits: self.missed(),
            infers_autoreap: self.tracer.infers_autoreap(),
            ..Remains::default()
        };
        Ok((remains, balanced))
    }
}

/// A tenth of the age that is waited for, but no more often than every tick and no more seldom than
/// every second: each look is a walk over the kernel's tasks.
fn alive_ticks(after: Duration) -> u32 {
    let ticks = (after.as_millis() / 10 / TICK.as_millis()).clamp(1, A_SECOND.into());
    ticks as u32
}

/// The number of zombies of each parent.
fn zombies_by_parent(existing: &[SnapshotEntry]) -> HashMap<u32, ZombiesOf> {
    let mut parents: HashMap<u32, ZombiesOf> = HashMap::new();
    for entry in existing.iter().filter(|entry| accounts::is_zombie(entry)) {
        let record = &entry.record;
        parents
            .entry(record.ppid)
            .or_default()
            .add(record.start_boottime);
    }
    parents
}

/// Why they are still there, by pid, as far as that is known by the deadline.
fn diagnose(
    tracer: &mut impl KernelSide,
    proc: Option<&Proc>,
    zombies: &[&SnapshotEntry],
    history: impl Fn(&SnapshotEntry) -> History,
    deadline: Deadline,
    warn: &Warn,
) -> Result<HashMap<u32, Diagnosis>, KernelError> {
    let Some(proc) = proc.filter(|_| !zombies.is_empty()) else {
        return Ok(HashMap::new());
    };
    let copies = zombies.iter().copied().copied().collect();
    let Some(findings) = Findings::read_by(proc, copies, deadline) else {
        warn(&warning::undiagnosed(zombies.len()));
        return Ok(HashMap::new());
    };
    let skipped = findings.skipped();
    if skipped > 0 {
        warn(&warning::undiagnosed(skipped));
    }
    // Many zombies have few parents.
    let mut handlers = HashMap::new();
    for record in zombies.iter().map(|entry| entry.record) {
        handlers
            .entry(record.parent_task)
            .or_insert_with(|| tracer.handler_runs(record.parent_task, record.ppid));
    }
    let history = |entry: &SnapshotEntry| {
        let handler = handlers.get(&entry.record.parent_task).copied().flatten();
        Some(History {
            handler: handler.map(|handler| HandlerHistory {
                runs: handler.runs,
                deaths: handler.deaths,
            }),
            ..history(entry)
        })
    };
    findings.diagnoses(|| tracer.list(), history)
}

/// The first end of an interval is that long from now; one that was missed makes the next longer.
fn every(length: Duration) -> time::Interval {
    let mut interval = time::interval_at(Instant::now() + length, length);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

async fn passed(interval: &mut Option<time::Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => pending().await,
    }
}

pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
