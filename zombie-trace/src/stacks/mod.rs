//! What the threads of parents do while their zombies wait: samples of their stacks, weighted by zombie
//! time. Nothing is asked of the sampled process, and nothing stops it.

mod account;
mod evaluate;
mod frame_pointers;
#[cfg(test)]
mod hostile;
mod mappings;
mod module;
mod pclntab;
mod perf_map;
mod process;
mod registers;
mod sampler;
mod still;
mod symbol;
mod symbolize;
pub(crate) mod symbolizer;
mod tally;
mod unwind;
mod walk;
mod wanted;

pub(crate) use evaluate::Sampled;
pub(crate) use sampler::Sampler;

use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use zombie_trace_common::verdict;

use self::{
    account::Shares,
    evaluate::{Batch, Copied, Evaluation},
    tally::Thread,
};
use crate::{
    kernel::{KernelError, StackPrograms},
    model::{Stack, ThreadState},
    system::deadline::Deadline,
};

/// What one thread is doing.
#[derive(Clone, Debug)]
pub(crate) struct Now {
    /// The thread.
    pub(crate) tid: u32,
    /// Its state.
    pub(crate) state: ThreadState,
    /// Its stack, with names.
    pub(crate) stack: Stack,
}

/// What threads of a process are doing at this moment. Those that can't be read are left out.
///
/// # Errors
/// Missing capabilities or types, or a kernel that can't do this.
pub(crate) fn of_now(
    pid: u32,
    tids: &[u32],
    btf: Option<&Path>,
    ts: Timestamp,
    deadline: Deadline,
) -> Result<Vec<Now>, KernelError> {
    /// A thread that runs gets its sample within this time of the clock, unless it stops running.
    const PATIENCE: Duration = Duration::from_millis(200);
    /// A thread that moves while it is copied gets as many chances.
    const ATTEMPTS: u32 = 10;
    let mut programs = StackPrograms::load(btf)?;
    let mut batch = Batch::default();
    for &tid in tids {
        let mut copied = None;
        for _ in 0..ATTEMPTS {
            let Ok(Some(sample)) = programs.sample(tid) else {
                break;
            };
            let state = match sample.state {
                0 => ThreadState::Runnable,
                _ => ThreadState::Blocked,
            };
            match sample.verdict {
                verdict::WHOLE => {
                    copied = Some((state, sample));
                    break;
                }
                verdict::RUNNING if programs.watch(tid).unwrap_or(false) => {
                    let begin = Instant::now();
                    let mut found = None;
                    while found.is_none() && begin.elapsed() < PATIENCE {
                        sleep(Duration::from_millis(2));
                        found = programs.running();
                    }
                    programs.watch_only(|_| false);
                    let is_whole = |verdict: u32| verdict == verdict::WHOLE;
                    if let Some(sample) = found.filter(|sample| is_whole(sample.verdict)) {
                        copied = Some((ThreadState::Running, sample));
                        break;
                    }
                }
                verdict::MOVED => {}
                _ => break,
            }
        }
        if let Some((state, sample)) = copied {
            let thread = Thread {
                ppid: pid,
                comm: None,
                tid,
            };
            batch.charged.push((thread, Shares::one(state)));
            batch.copied.push(Copied {
                thread,
                state,
                sample,
                weight: 1,
            });
        }
    }
    let mut evaluation = Evaluation::new();
    evaluation.take(batch);
    let Sampled { stacks, doing, .. } = evaluation.sum_up(ts, deadline);
    let stack = |id| stacks.iter().find(|stack| stack.id == id).cloned();
    let now = doing.into_iter().filter_map(|one| {
        Some(Now {
            tid: one.tid,
            state: one.state,
            stack: stack(one.stack)?,
        })
    });
    let mut now: Vec<_> = now.collect();
    now.sort_by_key(|one| tids.iter().position(|tid| *tid == one.tid));
    Ok(now)
}
