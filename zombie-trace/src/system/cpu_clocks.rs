use std::{thread, time::Duration};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use zombie_trace_common::ClockSample;

/// Takes samples of CPUs' run-queue clocks by running on each CPU.
///
/// A sample shows a clock as it was when the reader was last scheduled in, so several are taken of
/// each, for the least difference to be found.
///
/// # Errors
/// The first of `one`.
pub fn sample_clocks<E: Send>(
    cpus: impl IntoIterator<Item = u32> + Send,
    one: impl Fn() -> Result<ClockSample, E> + Sync,
) -> Result<Vec<ClockSample>, E> {
    const SAMPLES: usize = 8;
    const NAP: Duration = Duration::from_micros(50);
    // A thread of its own, because its affinity is changed.
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut samples = Vec::new();
            for cpu in cpus {
                let mut set = CpuSet::new();
                let pinned = set
                    .set(cpu as usize)
                    .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
                if let Err(error) = pinned {
                    // Offline since, or not ours to run on: its zombies get no date.
                    log::debug!("cannot run on CPU {cpu}: {error}");
                    continue;
                }
                for _ in 0..SAMPLES {
                    thread::sleep(NAP);
                    samples.push(one()?);
                }
            }
            Ok(samples)
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
