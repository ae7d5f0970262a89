//! What a run's parents do while their zombies wait, as far as a run has to do with it: which threads are
//! of interest, and when.

use std::{
    collections::HashMap,
    io,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use zombie_trace_common::{Counters, SnapshotEntry};

use crate::{
    model::{Comm, StackTotals},
    run::pipeline::Sampled,
    stacks::{Sample, Sampled as Outcome, Sampler},
    system::deadline::Deadline,
};

/// Of the time, samples may take at most one part in so many.
const SHARE: u32 = 50;

/// A list of tasks is used again for as long as no process has come or gone.
const LIST_HOLDS: Duration = Duration::from_secs(1);

/// What is to be sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackOptions {
    /// How often, per second.
    pub(crate) hz: u32,
    /// Parents are sampled while they have a zombie older than this.
    pub(crate) after: Duration,
}

impl StackOptions {
    /// The same in ns.
    pub(crate) fn after_ns(&self) -> u64 {
        u64::try_from(self.after.as_nanos()).unwrap_or(u64::MAX)
    }

    /// What is known before there are samples.
    pub(crate) fn totals(&self) -> StackTotals {
        StackTotals {
            hz: self.hz,
            after_ns: self.after_ns(),
            ..StackTotals::default()
        }
    }
}

/// A thread whose zombies wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its process.
    pub(crate) ppid: u32,
    /// The name of that.
    pub(crate) comm: Option<Comm>,
    /// The thread.
    pub(crate) tid: u32,
    /// How many of its zombies are old enough.
    pub(crate) zombies: u64,
}

/// Takes the samples. It never lets us wait.
pub(crate) trait StackSource {
    /// It is time for these.
    fn sample(&mut self, wanted: &[Sample]);
    /// The CPU time that the last one took.
    fn cost(&self) -> Duration;
    /// Asks for what it all comes to; `None` if that is not there yet.
    fn finish(&mut self, ts: Timestamp, deadline: Deadline) -> io::Result<Option<Outcome>>;
}

/// When samples are taken, and what they stand for.
pub(crate) struct Sampling {
    pub(crate) options: StackOptions,
    source: Box<dyn StackSource>,
    random: fastrand::Rng,
    next: Instant,
    /// When the last look was (monotonic, ns).
    last: u64,
    /// What a walk over the tasks has found, when, and with which counters.
    listed: Option<(Counters, Instant, Vec<SnapshotEntry>)>,
}

impl Sampling {
    /// From now on, which is `now` on the monotonic clock (ns).
    pub(crate) fn new(options: StackOptions, source: Box<dyn StackSource>, now: u64) -> Self {
        Self {
            options,
            source,
            random: fastrand::Rng::new(),
            next: Instant::now(),
            last: now,
            listed: None,
        }
    }

    /// When the next look is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// The list of tasks, if it is still what a walk would find.
    pub(crate) fn known(&self, counters: &Counters) -> Option<&[SnapshotEntry]> {
        let (then, at, entries) = self.listed.as_ref()?;
        (then == counters && at.elapsed() < LIST_HOLDS).then_some(entries)
    }

    /// A walk has found these.
    pub(crate) fn listed(&mut self, counters: Counters, entries: Vec<SnapshotEntry>) {
        self.listed = Some((counters, Instant::now(), entries));
    }

    /// A look at `now` (monotonic, ns) has found these, and has taken `cost` of CPU time.
    pub(crate) fn look(&mut self, now: u64, wanted: Vec<Wanted>, cost: Duration) {
        let since = now.saturating_sub(self.last);
        self.last = now;
        let samples: Vec<_> = wanted
            .into_iter()
            .map(|one| Sample {
                ppid: one.ppid,
                comm: one.comm,
                tid: one.tid,
                zombie_ns: one.zombies.saturating_mul(since),
            })
            .collect();
        self.source.sample(&samples);
        let pause = (cost + self.source.cost()).saturating_mul(SHARE);
        self.next = Instant::now() + pause.max(self.interval());
    }

    /// Not in step with anything that a parent does at regular times.
    fn interval(&mut self) -> Duration {
        let mean = Duration::from_secs(1) / self.options.hz.max(1);
        mean.mul_f64(0.5 + self.random.f64())
    }

    /// See [`StackSource::finish`].
    pub(crate) fn finish(
        &mut self,
        ts: Timestamp,
        deadline: Deadline,
    ) -> io::Result<Option<Sampled>> {
        let Some(outcome) = self.source.finish(ts, deadline)? else {
            return Ok(None);
        };
        Ok(Some(Sampled {
            totals: StackTotals {
                samples: outcome.samples,
                moved: outcome.moved,
                failed: outcome.failed,
                truncated: outcome.truncated,
                covered_ns: outcome.covered_ns,
                ..self.options.totals()
            },
            stacks: outcome.stacks,
            doing: outcome.doing,
        }))
    }
}

/// The threads that made these zombies, of the ages in ns.
pub(crate) fn wanted<'a>(
    zombies: impl Iterator<Item = (&'a SnapshotEntry, u64)>,
    after_ns: u64,
) -> Vec<Wanted> {
    let mut threads: HashMap<(u32, u32), Wanted> = HashMap::new();
    for (entry, age_ns) in zombies {
        let (ppid, tid) = (entry.now.ppid, entry.now.parent_tid);
        if age_ns < after_ns || ppid == 0 {
            continue;
        }
        let tid = if tid == 0 { ppid } else { tid };
        let is_first = entry.record.ppid == ppid;
        let one = threads.entry((ppid, tid)).or_insert(Wanted {
            ppid,
            comm: is_first.then(|| Comm::new(entry.record.parent_comm)),
            tid,
            zombies: 0,
        });
        one.zombies += 1;
    }
    let mut threads: Vec<_> = threads.into_values().collect();
    threads.sort_by_key(|one| (one.ppid, one.tid));
    threads
}

impl StackSource for Sampler {
    fn sample(&mut self, wanted: &[Sample]) {
        Self::sample(self, wanted);
    }

    fn cost(&self) -> Duration {
        Self::cost(self)
    }

    fn finish(&mut self, ts: Timestamp, deadline: Deadline) -> io::Result<Option<Outcome>> {
        Self::finish(self, ts, deadline)
    }
}

#[cfg(test)]
mod tests {
    use zombie_trace_common::{Record, TaskNow};

    use super::*;

    fn zombie(ppid: u32, now: u32, tid: u32) -> SnapshotEntry {
        SnapshotEntry {
            record: Record {
                ppid,
                parent_comm: *b"sup\0\0\0\0\0\0\0\0\0\0\0\0\0",
                ..Record::default()
            },
            now: TaskNow {
                ppid: now,
                parent_tid: tid,
                ..TaskNow::default()
            },
        }
    }

    #[test]
    fn threads_that_made_old_zombies_are_wanted() {
        let zombies = [
            (zombie(7, 7, 7), 50),
            (zombie(7, 7, 8), 50),
            (zombie(7, 7, 8), 10),
            (zombie(7, 7, 8), 9),
            // Inherited since: the name is the former parent's.
            (zombie(7, 1, 1), 50),
            // Outside of our pid namespace.
            (zombie(0, 0, 0), 50),
            (zombie(9, 9, 0), 9),
        ];
        let found = wanted(zombies.iter().map(|(entry, age)| (entry, *age)), 10);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.ppid, one.tid, one.zombies, one.comm.is_some()))
            .collect();
        assert_eq!(found, [(1, 1, 1, false), (7, 7, 1, true), (7, 8, 2, true)]);
    }

    #[derive(Default)]
    struct Source(std::sync::Arc<std::sync::Mutex<Vec<u64>>>, Duration);

    impl StackSource for Source {
        fn sample(&mut self, wanted: &[Sample]) {
            let weights = wanted.iter().map(|one| one.zombie_ns);
            self.0.lock().unwrap().extend(weights);
        }

        fn cost(&self) -> Duration {
            self.1
        }

        fn finish(&mut self, _: Timestamp, _: Deadline) -> io::Result<Option<Outcome>> {
            Ok(Some(Outcome::default()))
        }
    }

    #[test]
    fn a_sample_stands_for_the_time_since_the_last_look() {
        let weights = std::sync::Arc::default();
        let options = StackOptions {
            hz: 100,
            after: Duration::ZERO,
        };
        let source = Source(std::sync::Arc::clone(&weights), Duration::ZERO);
        let mut sampling = Sampling::new(options, Box::new(source), 1000);
        let one = Wanted {
            ppid: 7,
            comm: None,
            tid: 7,
            zombies: 3,
        };
        sampling.look(1100, vec![one], Duration::ZERO);
        // Nothing was a zombie in between, which counts as well.
        sampling.look(1200, Vec::new(), Duration::ZERO);
        sampling.look(1250, vec![one], Duration::ZERO);
        assert_eq!(*weights.lock().unwrap(), [300, 150]);
    }

    #[test]
    fn samples_that_cost_much_come_seldom() {
        let options = StackOptions {
            hz: 100,
            after: Duration::ZERO,
        };
        let source = Source(Default::default(), Duration::from_secs(1));
        let mut sampling = Sampling::new(options, Box::new(source), 0);
        sampling.look(1, Vec::new(), Duration::from_secs(1));
        let pause = sampling.next().saturating_duration_since(Instant::now());
        assert!(pause > Duration::from_secs(99), "{pause:?}");
        let source = Source(Default::default(), Duration::ZERO);
        let mut sampling = Sampling::new(options, Box::new(source), 0);
        sampling.look(1, Vec::new(), Duration::ZERO);
        let pause = sampling.next().saturating_duration_since(Instant::now());
        assert!(pause <= Duration::from_millis(15), "{pause:?}");
    }
}
