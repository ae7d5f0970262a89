use std::{io, path::Path};

use nix::sched::sched_getcpu;
use zombie_trace_common::ClockSample;

use super::files;
use crate::{
    lifecycle::RunQueueClocks,
    system::{monotonic_now, sample_clocks},
};

/// The run-queue clocks of these CPUs, as /proc shows them; those that it doesn't show are left
/// out.
pub fn run_queue_clocks(cpus: impl IntoIterator<Item = u32> + Send) -> RunQueueClocks {
    let samples = sample_clocks(cpus, || {
        let exec_start = files::exec_start(Path::new("/proc/thread-self"))
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let cpu = sched_getcpu().map_err(io::Error::from)? as u32;
        Ok::<_, io::Error>(ClockSample {
            now: monotonic_now(),
            exec_start,
            cpu,
            reserved: 0,
        })
    });
    RunQueueClocks::new(&samples.unwrap_or_default())
}
