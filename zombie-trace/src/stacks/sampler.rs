//! The thread that copies stacks. It comes when it is time, whoever runs then: if it had to wait for a CPU,
//! it would find the threads asleep that it had to wait for.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use zombie_trace_common::{SnapshotEntry, StackSample, verdict};

use super::{
    account::{Account, Times},
    evaluate::{self, Batch, Copied, End, Sampled},
    tally::Thread,
    wanted::wanted,
};
use crate::{
    kernel::StackPrograms,
    model::{StackTotals, ThreadState},
    system::{deadline::Deadline, monotonic_now, scheduling, thread_cpu_time},
};

/// All this may take one part in this many of a CPU's time.
const SHARE: u32 = 100;

/// As many threads are sampled at a time; those that stand for the most zombie time come first.
const MOST_AT_A_TIME: usize = 64;

/// A thread that moves while it is copied gets as many chances.
const ATTEMPTS: u32 = 3;

/// As many samples of a running thread are used between two looks.
const MOST_RUNNING: usize = 8;

/// Threads that are remembered between two looks.
const MOST_ACCOUNTS: usize = 4096;

/// Batches that wait to be evaluated.
const MOST_BATCHES: usize = 4;

/// Lists the zombies that there are.
pub(crate) type Zombies = Box<dyn FnMut() -> io::Result<Vec<SnapshotEntry>> + Send>;

/// The thread's handle.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// The thread ends when this is gone.
    running: Option<Sender<()>>,
    end: Sender<End>,
    outcome: Receiver<Sampled>,
}

impl Sampler {
    /// From now on samples the parents of these zombies, at the rate and from the age that the totals have.
    ///
    /// # Errors
    /// There can be no other thread.
    pub(crate) fn start(
        programs: StackPrograms,
        zombies: Zombies,
        totals: StackTotals,
    ) -> io::Result<Self> {
        let (running, stop) = mpsc::channel();
        let (batches, inbox) = mpsc::sync_channel(MOST_BATCHES);
        let (end, ends) = mpsc::channel();
        let (sender, outcome) = mpsc::sync_channel(1);
        let cost = Arc::new(AtomicU64::new(0));
        let work = Work {
            programs,
            zombies,
            totals,
            batches,
            cost: Arc::clone(&cost),
            random: fastrand::Rng::new(),
            last: monotonic_now(),
            passed_over: HashMap::new(),
            accounts: HashMap::new(),
        };
        let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
        spawn("stacks").spawn(move || evaluate::run(&inbox, &ends, &sender, &cost))?;
        spawn("sampler").spawn(move || work.run(&stop))?;
        Ok(Self {
            running: Some(running),
            end,
            outcome,
        })
    }

    /// Ends the sampling, and asks for the outcome. `None` if it is not there yet.
    ///
    /// # Errors
    /// There will be none.
    pub(crate) fn finish(
        &mut self,
        ts: Timestamp,
        deadline: Deadline,
    ) -> io::Result<Option<Sampled>> {
        if self.running.take().is_some() {
            // If it is gone, the outcome says so.
            let _ = self.end.send(End { ts, deadline });
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
    zombies: Zombies,
    totals: StackTotals,
    batches: SyncSender<Batch>,
    /// The CPU time of the evaluation since the last look, in ns.
    cost: Arc<AtomicU64>,
    random: fastrand::Rng,
    /// When the last look was (monotonic, ns).
    last: u64,
    /// The zombie time of threads for which there was no time, by process and thread.
    passed_over: HashMap<(u32, u32), u64>,
    /// By the thread's id in the initial pid namespace.
    accounts: HashMap<u32, (Thread, Account)>,
}

impl Work {
    fn run(mut self, stop: &Receiver<()>) {
        scheduling::be_on_time();
        let mut next = Instant::now() + self.pause(Duration::ZERO);
        let mut used = thread_cpu_time();
        loop {
            match stop.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
            let begin = Instant::now();
            let batch = self.look();
            let is_empty = batch.charged.is_empty() && batch.moved + batch.failed == 0;
            if !is_empty && self.batches.send(batch).is_err() {
                return;
            }
            let now = thread_cpu_time();
            let evaluation = Duration::from_nanos(self.cost.swap(0, Ordering::Relaxed));
            let cost = now.saturating_sub(used) + evaluation;
            used = now;
            next = begin + self.pause(cost);
        }
    }

    fn pause(&mut self, cost: Duration) -> Duration {
        pause(self.totals.hz, cost, self.random.f64())
    }

    /// Copies the stacks of the threads whose zombies wait.
    fn look(&mut self) -> Batch {
        let mut batch = Batch::default();
        let zombies = match (self.zombies)() {
            Ok(zombies) => zombies,
            Err(error) => {
                log::debug!("cannot list zombies: {error}");
                batch.failed += 1;
                return batch;
            }
        };
        let now = monotonic_now();
        let since = now.saturating_sub(self.last);
        self.last = now;
        let wanted = wanted(&zombies, now, self.totals.after_ns, std::process::id());
        let is_wanted = |tid| wanted.iter().any(|(thread, _)| thread.tid == tid);
        self.programs.watch_only(is_wanted);
        let mut due: Vec<_> = wanted
            .into_iter()
            .map(|(thread, zombies)| {
                let passed_over = self.passed_over.get(&(thread.ppid, thread.tid));
                let zombie_ns = zombies.saturating_mul(since);
                let zombie_ns = zombie_ns.saturating_add(passed_over.copied().unwrap_or(0));
                (thread, zombie_ns)
            })
            .collect();
        due.sort_by_key(|(_, zombie_ns)| std::cmp::Reverse(*zombie_ns));
        let later = due.split_off(due.len().min(MOST_AT_A_TIME));
        self.passed_over = later
            .into_iter()
            .map(|(thread, zombie_ns)| ((thread.ppid, thread.tid), zombie_ns))
            .collect();
        for (thread, zombie_ns) in due {
            self.copy(thread, zombie_ns, &mut batch);
        }
        // They are from the time that has just been charged for.
        self.take_running(&mut batch);
        if self.accounts.len() > MOST_ACCOUNTS {
            self.accounts.clear();
        }
        batch
    }

    fn copy(&mut self, thread: Thread, zombie_ns: u64, batch: &mut Batch) {
        let mut charge = Some(zombie_ns);
        let mut last = verdict::UNREADABLE;
        for _ in 0..ATTEMPTS {
            let sample = match self.programs.sample(thread.tid) {
                Ok(Some(sample)) => sample,
                Ok(None) => break,
                Err(error) => {
                    log::debug!("cannot sample thread {}: {error}", thread.tid);
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
            let (owner, account) = self.accounts.entry(sample.tid).or_default();
            *owner = thread;
            if let Some(zombie_ns) = charge.take() {
                let shares = account.charge(zombie_ns, Times::of(&sample), state);
                batch.charged.push((thread, shares));
            }
            if account.runs() {
                batch.failed += u64::from(!watch(&mut self.programs, thread.tid));
            }
            match (last, state) {
                (verdict::WHOLE, Some(state)) => {
                    batch.copied.push(Copied {
                        thread,
                        state,
                        sample,
                        weight: zombie_ns,
                    });
                    return;
                }
                // The clock of its own perf event samples it.
                (verdict::RUNNING, _) => return,
                (verdict::MOVED, _) => {}
                _ => break,
            }
        }
        match last {
            verdict::MOVED => batch.moved += 1,
            _ => batch.failed += 1,
        }
    }

    /// Takes the samples of threads that ran, which share the zombie time in which they did.
    fn take_running(&mut self, batch: &mut Batch) {
        let mut samples: HashMap<u32, Vec<Box<StackSample>>> = HashMap::new();
        while let Some(sample) = self.programs.running() {
            let of_thread = samples.entry(sample.tid).or_default();
            if sample.verdict == verdict::WHOLE && of_thread.len() < MOST_RUNNING {
                of_thread.push(sample);
            }
        }
        for (tid, samples) in samples {
            let Some((thread, account)) = self.accounts.get_mut(&tid) else {
                continue;
            };
            let weight = account.take_running() / (samples.len() as u64).max(1);
            if weight == 0 {
                continue;
            }
            batch
                .copied
                .extend(samples.into_iter().map(|sample| Copied {
                    thread: *thread,
                    state: ThreadState::Running,
                    sample,
                    weight,
                }));
        }
    }
}

/// From one look to the next, after one that took this much CPU time. It is never in step with anything that a
/// parent does at regular times, not even where the cost decides. `random` is from 0 to 1.
fn pause(hz: u32, cost: Duration, random: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(60);
    let asked = Duration::from_secs(1) / hz.max(1);
    let mean = asked.max(cost.saturating_mul(SHARE)).min(LONGEST);
    mean.mul_f64(0.5 + random)
}

/// Gives whether the thread will be sampled while it runs.
fn watch(programs: &mut StackPrograms, tid: u32) -> bool {
    programs.watch(tid).unwrap_or_else(|error| {
        log::debug!("cannot watch thread {tid}: {error}");
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_never_in_step() {
        let ms = Duration::from_millis;
        let pauses = |cost| [0.0, 0.5, 1.0].map(|random| pause(20, cost, random));
        assert_eq!(pauses(Duration::ZERO), [ms(25), ms(50), ms(75)]);
        // The mean pause is a hundred times the cost.
        assert_eq!(pauses(ms(1)), [ms(50), ms(100), ms(150)]);
        assert!(pauses(Duration::MAX)[2] <= Duration::from_secs(90));
        assert_eq!(pause(0, Duration::ZERO, 0.5), Duration::from_secs(1));
    }
}
