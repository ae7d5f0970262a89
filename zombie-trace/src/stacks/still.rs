//! Stacks of threads that have not run since they were sampled: they need not be followed once more. Most
//! parents that do not reap sleep for long.

use std::collections::HashMap;

use zombie_trace_common::StackSample;

use super::tally::Walked;

/// Threads that are remembered.
const MOST: usize = 4096;

/// What changes whenever a thread has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    /// Tells a thread id that is in use again.
    start_boottime: u64,
    switches: u64,
}

impl Moment {
    fn of(sample: &StackSample) -> Self {
        Self {
            start_boottime: sample.start_boottime,
            switches: sample.switches,
        }
    }
}

/// The last stack of each thread, by its id. Samples of running threads do not belong here: such a thread
/// moves on before it is switched away from.
#[derive(Debug, Default)]
pub(super) struct StillStacks(HashMap<u32, (Moment, Walked)>);

impl StillStacks {
    /// The stack that this sample has, if the thread has not run since the last one.
    pub(super) fn stack_of(&self, sample: &StackSample) -> Option<&Walked> {
        let (moment, walked) = self.0.get(&sample.tid)?;
        (*moment == Moment::of(sample)).then_some(walked)
    }

    /// Remembers the stack of a thread that is not running.
    pub(super) fn remember(&mut self, sample: &StackSample, walked: Walked) {
        if self.0.len() >= MOST && !self.0.contains_key(&sample.tid) {
            self.0.clear();
        }
        self.0.insert(sample.tid, (Moment::of(sample), walked));
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn sample(tid: u32, start_boottime: u64, switches: u64) -> Box<StackSample> {
        let mut sample = Box::new(StackSample::new_zeroed());
        sample.tid = tid;
        sample.start_boottime = start_boottime;
        sample.switches = switches;
        sample
    }

    fn truncated() -> Walked {
        Walked {
            truncated: true,
            ..Walked::default()
        }
    }

    #[test]
    fn a_thread_that_has_run_is_followed_again() {
        let mut still = StillStacks::default();
        assert_eq!(still.stack_of(&sample(7, 1, 50)), None);
        still.remember(&sample(7, 1, 50), truncated());
        assert_eq!(still.stack_of(&sample(7, 1, 50)), Some(&truncated()));
        for other in [sample(7, 1, 51), sample(7, 2, 50), sample(8, 1, 50)] {
            assert_eq!(still.stack_of(&other), None);
        }
        still.remember(&sample(7, 1, 51), Walked::default());
        assert_eq!(still.stack_of(&sample(7, 1, 50)), None);
        let now = still.stack_of(&sample(7, 1, 51));
        assert_eq!(now, Some(&Walked::default()));
    }

    #[test]
    fn few_threads_are_remembered() {
        let mut still = StillStacks::default();
        for tid in 0..MOST as u32 + 1 {
            still.remember(&sample(tid, 1, 1), Walked::default());
        }
        assert_eq!(still.0.len(), 1);
    }
}
