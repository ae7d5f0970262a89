use std::{collections::HashMap, thread, time::Duration};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use zombie_trace_common::ClockSample;

use super::KernelError;

/// Relates the run-queue clocks of CPUs, which `task->se.exec_start` is in, to `CLOCK_MONOTONIC`.
///
/// Each CPU's clock has an offset of its own, and goes slower than the monotonic one where a
/// hypervisor or interrupts steal time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQueueClocks {
    /// Monotonic minus run-queue time, ns, by CPU.
    offsets: HashMap<u32, u64>,
}

impl RunQueueClocks {
    /// Measures the clocks of these CPUs by running on each.
    ///
    /// A sample shows a clock as it was when the reader was last scheduled in, so the least of
    /// several differences is the closest.
    pub(super) fn measure(
        cpus: impl IntoIterator<Item = u32> + Send,
        sample: impl Fn() -> Result<ClockSample, KernelError> + Sync,
    ) -> Result<Self, KernelError> {
        const SAMPLES: usize = 8;
        const NAP: Duration = Duration::from_micros(50);
        // A thread of its own, because its affinity is changed.
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let mut clocks = Self::default();
                for cpu in cpus {
                    let mut one = CpuSet::new();
                    let pinned = one
                        .set(cpu as usize)
                        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &one));
                    if pinned.is_err() {
                        // Offline since, or not ours to run on: its zombies have no date.
                        continue;
                    }
                    for _ in 0..SAMPLES {
                        thread::sleep(NAP);
                        clocks.add(&sample()?);
                    }
                }
                Ok(clocks)
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Takes a sample in.
    pub fn add(&mut self, sample: &ClockSample) {
        let offset = sample.now.wrapping_sub(sample.exec_start);
        self.offsets
            .entry(sample.cpu)
            .and_modify(|least| {
                // The difference can be negative in principle: the clocks have no common origin.
                if (offset.wrapping_sub(*least) as i64) < 0 {
                    *least = offset;
                }
            })
            .or_insert(offset);
    }

    /// The monotonic time (ns) of an instant in a CPU's run-queue clock, if that CPU was measured.
    pub fn monotonic(&self, cpu: u32, exec_start: u64) -> Option<u64> {
        self.offsets.get(&cpu).map(|offset| exec_start.wrapping_add(*offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_difference_counts() {
        let mut clocks = RunQueueClocks::default();
        for (now, exec_start) in [(5_000, 1_000), (6_000, 2_100), (7_000, 3_050)] {
            clocks.add(&ClockSample { now, exec_start, cpu: 1, reserved: 0 });
        }
        assert_eq!(clocks.monotonic(1, 100), Some(4_000));
        assert_eq!(clocks.monotonic(0, 100), None);
    }

    #[test]
    fn a_run_queue_clock_can_be_ahead() {
        let mut clocks = RunQueueClocks::default();
        clocks.add(&ClockSample { now: 1_000, exec_start: 1_500, cpu: 0, reserved: 0 });
        clocks.add(&ClockSample { now: 2_000, exec_start: 2_400, cpu: 0, reserved: 0 });
        assert_eq!(clocks.monotonic(0, 10_000), Some(9_500));
    }
}
