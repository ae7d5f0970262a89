use std::collections::HashMap;

use zombie_trace_common::ClockSample;

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
    /// From several samples of each CPU: the least difference is the closest.
    pub fn new<'a>(samples: impl IntoIterator<Item = &'a ClockSample>) -> Self {
        let mut clocks = Self::default();
        for sample in samples {
            let offset = sample.now.wrapping_sub(sample.exec_start);
            clocks
                .offsets
                .entry(sample.cpu)
                .and_modify(|least| {
                    // The clocks have no common origin: the difference can be negative.
                    if offset.wrapping_sub(*least).cast_signed() < 0 {
                        *least = offset;
                    }
                })
                .or_insert(offset);
        }
        clocks
    }

    /// The monotonic time (ns) of an instant in a CPU's run-queue clock, if that CPU was measured.
    pub fn monotonic(&self, cpu: u32, exec_start: u64) -> Option<u64> {
        self.offsets
            .get(&cpu)
            .map(|offset| exec_start.wrapping_add(*offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu: u32, now: u64, exec_start: u64) -> ClockSample {
        ClockSample {
            now,
            exec_start,
            cpu,
            reserved: 0,
        }
    }

    #[test]
    fn the_least_difference_counts() {
        let samples = [
            sample(1, 5_000, 1_000),
            sample(1, 6_000, 2_100),
            sample(1, 7_000, 3_050),
        ];
        let clocks = RunQueueClocks::new(&samples);
        assert_eq!(clocks.monotonic(1, 100), Some(4_000));
        assert_eq!(clocks.monotonic(0, 100), None);
    }

    #[test]
    fn a_run_queue_clock_can_be_ahead() {
        let clocks = RunQueueClocks::new(&[sample(0, 1_000, 1_500), sample(0, 2_000, 2_400)]);
        assert_eq!(clocks.monotonic(0, 10_000), Some(9_500));
    }
}
