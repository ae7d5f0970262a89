//! The thread that makes frames of copied stacks, and adds them up. It may have to wait for a file of a
//! sampled process. Nobody waits for it, but for a while at the end.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender},
    },
};

use jiff::Timestamp;
use zombie_trace_common::StackSample;

use super::{
    account::Shares,
    module::Module,
    process::{Modules, Processes},
    still::StillStacks,
    symbol::Symbol,
    symbolize::{self, Symbols},
    tally::{Activity, CodeAddress, Sum, Tally, Thread, Walked},
    walk::walk,
};
use crate::{
    model::{Doing, Frame, Stack, StackTotals, ThreadState},
    system::{deadline::Deadline, thread_cpu_time},
};

/// What the samples of a run come to.
#[derive(Debug, Default)]
pub(crate) struct Sampled {
    /// Distinct stacks.
    pub(crate) stacks: Vec<Stack>,
    /// What threads did, the most zombie time first.
    pub(crate) doing: Vec<Doing>,
    /// How many samples there were.
    pub(crate) counts: StackTotals,
}

/// A copied stack.
pub(super) struct Copied {
    pub(super) thread: Thread,
    pub(super) state: ThreadState,
    pub(super) sample: Box<StackSample>,
    /// How much it counts among those of its thread in this state.
    pub(super) weight: u64,
}

/// What one look has brought.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) copied: Vec<Copied>,
    /// The zombie time since the last look, by thread.
    pub(super) charged: Vec<(Thread, Shares)>,
    /// Threads that moved while they were copied.
    pub(super) moved: u64,
    /// Threads that could not be read.
    pub(super) failed: u64,
}

/// The end of the run.
pub(super) struct End {
    pub(super) ts: Timestamp,
    /// Names are looked up until then.
    pub(super) deadline: Deadline,
}

/// Takes batches until nobody can send one any more, and then sums up, once it is told to.
pub(super) fn run(
    batches: &Receiver<Batch>,
    end: &Receiver<End>,
    outcome: &SyncSender<Sampled>,
    cost: &Arc<AtomicU64>,
) {
    let mut evaluation = Evaluation::new();
    let mut used = thread_cpu_time();
    for batch in batches {
        evaluation.take(batch);
        let now = thread_cpu_time();
        let took = now.saturating_sub(used);
        used = now;
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        cost.fetch_add(took, Ordering::Relaxed);
    }
    if let Ok(End { ts, deadline }) = end.recv() {
        // If nobody receives it any more, the program is about to end.
        let _ = outcome.send(evaluation.sum_up(ts, deadline));
    }
}

/// What was found so far.
pub(super) struct Evaluation {
    modules: Modules,
    processes: Processes,
    still: StillStacks,
    tally: Tally,
    moved: u64,
    failed: u64,
}

impl Evaluation {
    pub(super) fn new() -> Self {
        Self {
            modules: Modules::new(),
            processes: Processes::default(),
            still: StillStacks::default(),
            tally: Tally::default(),
            moved: 0,
            failed: 0,
        }
    }

    pub(super) fn take(&mut self, batch: Batch) {
        self.moved += batch.moved;
        self.failed += batch.failed;
        for (thread, shares) in batch.charged {
            self.tally.charge(thread, shares);
        }
        for one in batch.copied {
            let (ppid, sample) = (one.thread.ppid, &one.sample);
            let runs = one.state == ThreadState::Running;
            if let Some(walked) = self.still.stack_of(sample).filter(|_| !runs) {
                let walked = walked.clone();
                self.tally.add(one.thread, one.state, walked, one.weight);
                continue;
            }
            match self.processes.code(&mut self.modules, ppid, sample) {
                Ok(mut code) => {
                    let walked = walk(sample, &mut code);
                    if !runs {
                        self.still.remember(sample, walked.clone());
                    }
                    self.tally.add(one.thread, one.state, walked, one.weight);
                }
                Err(error) => {
                    log::debug!("process {ppid}: {error}");
                    self.failed += 1;
                }
            }
        }
    }

    pub(super) fn sum_up(self, ts: Timestamp, deadline: Deadline) -> Sampled {
        let activities = self.tally.activities();
        let walked = self.tally.stacks();
        let wanted = by_module(&walked, &activities);
        let symbols = symbolize::find(self.modules.all(), wanted, deadline);
        let frames = |walked: &Walked| -> Vec<Frame> {
            let places = walked.frames.iter();
            places
                .flat_map(|place| frames(self.modules.all(), &symbols, place))
                .collect()
        };
        let stacks = walked.iter().zip(1..);
        let stacks = stacks
            .map(|(walked, id)| {
                let stack = Stack::new(ts, id, frames(walked), walked.truncated);
                match walked.frame_pointers {
                    true => stack.with_frame_pointers(),
                    false => stack,
                }
            })
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
        let sums = activities.iter().map(|(_, sum)| sum);
        let (samples, covered_ns) = sums.fold((0_u64, 0_u64), |(samples, ns), sum| {
            (samples + sum.samples, ns.saturating_add(sum.zombie_ns))
        });
        Sampled {
            stacks,
            doing: doing.collect(),
            counts: StackTotals {
                samples,
                moved: self.moved,
                failed: self.failed,
                truncated: self.tally.truncated,
                covered_ns,
                ..StackTotals::default()
            },
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
fn frames(modules: &[Module], symbols: &Symbols, place: &CodeAddress) -> Vec<Frame> {
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
