//! The thread that samples. It may have to wait: for the memory of a process, or for a file. Nobody waits
//! for it, but for a while at the end.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use zombie_trace_common::{StackSample, verdict};

use super::{
    account::{Account, Times},
    module::Module,
    process::{Modules, Processes},
    symbol::Symbol,
    symbolize::{self, Symbols},
    tally::{Activity, Place, Sum, Tally, Thread, Walked},
    walk::walk,
};
use crate::{
    kernel::StackPrograms,
    model::{Comm, Doing, Frame, Stack, ThreadState},
    system::{deadline::Deadline, thread_cpu_time},
};

/// As many threads are sampled at a time; those that stand for the most zombie time come first.
const MOST_AT_A_TIME: usize = 64;

/// A thread that moves while it is copied gets as many chances.
const ATTEMPTS: u32 = 3;

/// Threads that have run are no longer watched when nothing was asked for this long.
const WATCH: Duration = Duration::from_secs(1);

/// As many samples of a running thread are used between two looks.
const MOST_RUNNING: usize = 8;

/// Threads that could have been sampled and were not yet.
const MOST_PENDING: usize = 4096;

/// A sample to be taken of a thread whose zombies wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Its process.
    pub(crate) ppid: u32,
    /// The name of that.
    pub(crate) comm: Option<Comm>,
    /// The thread.
    pub(crate) tid: u32,
    /// The zombie time that the sample will stand for, in ns.
    pub(crate) zombie_ns: u64,
}

/// What the samples of a run come to.
#[derive(Debug, Default)]
pub(crate) struct Sampled {
    /// Distinct stacks.
    pub(crate) stacks: Vec<Stack>,
    /// What threads did, the most zombie time first.
    pub(crate) doing: Vec<Doing>,
    /// Samples that gave a stack.
    pub(crate) samples: u64,
    /// Samples of threads that moved.
    pub(crate) moved: u64,
    /// Samples that could not be read.
    pub(crate) failed: u64,
    /// Samples whose stack is truncated.
    pub(crate) truncated: u64,
    /// The zombie time that the samples stand for.
    pub(crate) covered_ns: u64,
}

enum Message {
    /// It is time for a sample of these.
    Sample(Vec<Sample>),
    /// The run is over.
    Finish { ts: Timestamp, deadline: Deadline },
}

/// The thread's handle.
#[derive(Debug)]
pub(crate) struct Sampler {
    messages: SyncSender<Message>,
    outcome: Receiver<Sampled>,
    /// The CPU time of the last sampling, in ns.
    cost: Arc<AtomicU64>,
    /// What the thread had no time for.
    waiting: Vec<Sample>,
    has_asked: bool,
    is_idle: bool,
}

impl Sampler {
    /// Starts the thread.
    ///
    /// # Errors
    /// There can be no other thread.
    pub(crate) fn start(programs: StackPrograms) -> io::Result<Self> {
        let (messages, inbox) = mpsc::sync_channel(1);
        let (sender, outcome) = mpsc::sync_channel(1);
        let cost = Arc::new(AtomicU64::new(0));
        let work = Work {
            programs,
            cost: Arc::clone(&cost),
            modules: Modules::new(),
            processes: Processes::default(),
            tally: Tally::default(),
            passed_over: HashMap::new(),
            accounts: HashMap::new(),
            moved: 0,
            failed: 0,
        };
        thread::Builder::new()
            .name("stacks".into())
            .spawn(move || work.run(&inbox, &sender))?;
        Ok(Self {
            messages,
            outcome,
            cost,
            waiting: Vec::new(),
            has_asked: false,
            is_idle: true,
        })
    }

    /// It is time for a sample of these. If the thread is not through with the last, they wait.
    pub(crate) fn sample(&mut self, wanted: &[Sample]) {
        for one in wanted {
            let has_room = self.waiting.len() < MOST_PENDING;
            let same = |known: &&mut Sample| (known.ppid, known.tid) == (one.ppid, one.tid);
            match self.waiting.iter_mut().find(same) {
                Some(known) => known.zombie_ns = known.zombie_ns.saturating_add(one.zombie_ns),
                None if has_room => self.waiting.push(*one),
                None => {}
            }
        }
        if self.waiting.is_empty() && self.is_idle {
            return;
        }
        let is_idle = self.waiting.is_empty();
        let message = Message::Sample(std::mem::take(&mut self.waiting));
        match self.messages.try_send(message) {
            Ok(()) => self.is_idle = is_idle,
            Err(TrySendError::Full(Message::Sample(wanted))) => self.waiting = wanted,
            Err(_) => {}
        }
    }

    /// The CPU time of the last sampling.
    pub(crate) fn cost(&self) -> Duration {
        Duration::from_nanos(self.cost.load(Ordering::Relaxed))
    }

    /// Asks for the outcome, by the deadline. `None` if it is not there yet; an error if there will be none.
    pub(crate) fn finish(
        &mut self,
        ts: Timestamp,
        deadline: Deadline,
    ) -> io::Result<Option<Sampled>> {
        if !self.has_asked {
            match self.messages.try_send(Message::Finish { ts, deadline }) {
                Ok(()) => self.has_asked = true,
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Disconnected(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
        match self.outcome.try_recv() {
            Ok(sampled) => Ok(Some(sampled)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// What the thread has.
struct Work {
    programs: StackPrograms,
    cost: Arc<AtomicU64>,
    modules: Modules,
    processes: Processes,
    tally: Tally,
    /// The zombie time of threads for which there was no time, by process and thread.
    passed_over: HashMap<(u32, u32), u64>,
    /// By the thread's id in the initial pid namespace.
    accounts: HashMap<u32, (Thread, Account)>,
    moved: u64,
    failed: u64,
}

impl Work {
    fn run(mut self, inbox: &Receiver<Message>, outcome: &SyncSender<Sampled>) {
        loop {
            let begin = thread_cpu_time();
            match inbox.recv_timeout(WATCH) {
                Ok(Message::Sample(wanted)) => self.sample(wanted),
                Ok(Message::Finish { ts, deadline }) => {
                    self.take_running();
                    self.programs.watch_only(|_| false);
                    // If nobody receives it any more, the program is about to end.
                    let _ = outcome.send(self.sum_up(ts, deadline));
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.programs.watch_only(|_| false),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let cost = thread_cpu_time().saturating_sub(begin);
            let cost = u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX);
            self.cost.store(cost, Ordering::Relaxed);
        }
    }

    fn sample(&mut self, mut wanted: Vec<Sample>) {
        let tids: HashSet<u32> = wanted.iter().map(|one| one.tid).collect();
        self.programs.watch_only(|tid| tids.contains(&tid));
        for one in &mut wanted {
            let passed_over = self.passed_over.get(&(one.ppid, one.tid)).copied();
            one.zombie_ns = one.zombie_ns.saturating_add(passed_over.unwrap_or(0));
        }
        wanted.sort_by_key(|one| std::cmp::Reverse(one.zombie_ns));
        let later = wanted.split_off(wanted.len().min(MOST_AT_A_TIME));
        let later = later.into_iter();
        self.passed_over = later
            .map(|one| ((one.ppid, one.tid), one.zombie_ns))
            .collect();
        for one in wanted {
            self.sample_one(one);
        }
        // They are from the time that has just been charged for.
        self.take_running();
        if self.accounts.len() > MOST_PENDING {
            self.accounts.clear();
        }
    }

    fn sample_one(&mut self, wanted: Sample) {
        let thread = Thread {
            ppid: wanted.ppid,
            comm: wanted.comm,
            tid: wanted.tid,
        };
        let mut charge = Some(wanted.zombie_ns);
        let mut last = verdict::UNREADABLE;
        for _ in 0..ATTEMPTS {
            let sample = match self.programs.sample(wanted.tid) {
                Ok(Some(sample)) => sample,
                Ok(None) => break,
                Err(error) => {
                    log::debug!("cannot sample thread {}: {error}", wanted.tid);
                    break;
                }
            };
            last = sample.verdict;
            let state = match (last, sample.state) {
                (verdict::RUNNING, _) => Some(ThreadState::Running),
                (verdict::WHOLE, 0) => Some(ThreadState::Runnable),
                (verdict::WHOLE, _) => Some(ThreadState::Blocked),
                _ => None,
            };
            let (_, account) = self.accounts.entry(sample.tid).or_default();
            if let Some(zombie_ns) = charge.take() {
                account.charge(zombie_ns, Times::of(&sample), state);
            }
            let (runs, due) = (account.runs(), state.map(|state| account.due(state)));
            self.accounts.entry(sample.tid).or_default().0 = thread;
            if runs {
                self.watch(thread);
            }
            match (last, state) {
                (verdict::WHOLE, Some(state)) => {
                    if self.add(thread, state, &sample, due.unwrap_or(0)) {
                        self.pay(sample.tid, state);
                    }
                    return;
                }
                // The clock of its own perf event will sample it.
                (verdict::RUNNING, _) => return,
                (verdict::MOVED, _) => {}
                _ => break,
            }
        }
        match last {
            verdict::MOVED => self.moved += 1,
            _ => self.failed += 1,
        }
    }

    fn watch(&mut self, thread: Thread) {
        match self.programs.watch(thread.tid) {
            Ok(true) => {}
            Ok(false) => self.failed += 1,
            Err(error) => {
                log::debug!("cannot watch thread {}: {error}", thread.tid);
                self.failed += 1;
            }
        }
    }

    fn pay(&mut self, tid: u32, state: ThreadState) {
        if let Some((_, account)) = self.accounts.get_mut(&tid) {
            account.paid(state);
        }
    }

    /// Takes in the samples of threads that ran, which share the zombie time in which they did.
    fn take_running(&mut self) {
        let mut samples: HashMap<u32, Vec<Box<StackSample>>> = HashMap::new();
        while let Some(sample) = self.programs.running() {
            let of_thread = samples.entry(sample.tid).or_default();
            if sample.verdict == verdict::WHOLE && of_thread.len() < MOST_RUNNING {
                of_thread.push(sample);
            }
        }
        for (tid, samples) in samples {
            let Some((thread, account)) = self.accounts.get(&tid) else {
                continue;
            };
            let (thread, due) = (*thread, account.due(ThreadState::Running));
            let share = due / (samples.len() as u64).max(1);
            if share == 0 {
                continue;
            }
            for sample in &samples {
                self.add(thread, ThreadState::Running, sample, share);
            }
            self.pay(tid, ThreadState::Running);
        }
    }

    /// Gives whether the sample could be used.
    fn add(
        &mut self,
        thread: Thread,
        state: ThreadState,
        sample: &StackSample,
        zombie_ns: u64,
    ) -> bool {
        match self.processes.code(&mut self.modules, thread.ppid, sample) {
            Ok(mut code) => {
                let walked = walk(sample, &mut code);
                self.tally.add(thread, state, walked, zombie_ns);
                true
            }
            Err(error) => {
                log::debug!("process {}: {error}", thread.ppid);
                self.failed += 1;
                false
            }
        }
    }

    fn sum_up(self, ts: Timestamp, deadline: Deadline) -> Sampled {
        let activities = self.tally.activities();
        let walked = self.tally.stacks();
        let wanted = by_module(&walked, &activities);
        let symbols = symbolize::find(self.modules.all(), &wanted, deadline);
        let frames = |walked: &Walked| -> Vec<Frame> {
            let places = walked.frames.iter();
            places
                .flat_map(|place| frames(self.modules.all(), &symbols, place))
                .collect()
        };
        let stacks = walked.iter().zip(1..);
        let stacks = stacks
            .map(|(walked, id)| Stack::new(ts, id, frames(walked), walked.truncated))
            .collect();
        let doing = activities.iter().map(|(activity, sum)| Doing {
            ts,
            ppid: activity.thread.ppid,
            parent_comm: activity.thread.comm,
            tid: activity.thread.tid,
            state: activity.state,
            stack: activity.stack as u64 + 1,
            zombie_ns: sum.zombie_ns,
            samples: sum.samples,
        });
        let total = self.tally.total();
        Sampled {
            stacks,
            doing: doing.collect(),
            samples: total.samples,
            moved: self.moved,
            failed: self.failed,
            truncated: self.tally.truncated,
            covered_ns: total.zombie_ns,
        }
    }
}

/// The addresses that need names, by module. The module whose code stands for the most zombie time comes
/// first: time may be short.
fn by_module(stacks: &[&Walked], activities: &[(Activity, Sum)]) -> Vec<(usize, Vec<u64>)> {
    let mut modules: HashMap<usize, (u64, HashSet<u64>)> = HashMap::new();
    for (activity, sum) in activities {
        let Some(walked) = stacks.get(activity.stack) else {
            continue;
        };
        for place in &walked.frames {
            if let Some(module) = place.module {
                let (zombie_ns, addresses) = modules.entry(module).or_default();
                *zombie_ns = zombie_ns.saturating_add(sum.zombie_ns);
                addresses.insert(place.address);
            }
        }
    }
    let mut modules: Vec<_> = modules.into_iter().collect();
    modules.sort_by_key(|(module, (zombie_ns, _))| (std::cmp::Reverse(*zombie_ns), *module));
    modules
        .into_iter()
        .map(|(module, (_, addresses))| {
            let mut addresses: Vec<_> = addresses.into_iter().collect();
            addresses.sort_unstable();
            (module, addresses)
        })
        .collect()
}

/// What becomes of a place: a frame, and one for each function that was inlined there.
fn frames(modules: &[Module], symbols: &Symbols, place: &Place) -> Vec<Frame> {
    let module = place.module.and_then(|number| modules.get(number));
    let plain = || {
        Frame::of(
            module.and_then(|module| module.path.as_deref()),
            module.and_then(|module| module.build_id.as_deref()),
            place.offset,
        )
    };
    let known = place
        .module
        .and_then(|number| symbols.get(&(number, place.address)));
    match known {
        Some(symbols) if !symbols.is_empty() => symbols
            .iter()
            .map(|symbol| named(plain(), symbol))
            .collect(),
        _ => vec![plain()],
    }
}

fn named(mut frame: Frame, symbol: &Symbol) -> Frame {
    if !symbol.function.is_empty() {
        frame = frame.with_function(&symbol.function);
    }
    if let Some(file) = &symbol.file {
        frame = frame.with_source(file, symbol.line);
    }
    match symbol.inlined {
        true => frame.inlined(),
        false => frame,
    }
}
