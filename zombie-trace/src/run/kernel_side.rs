//! What [`Session`](super::session::Session) needs of the kernel side. Tests hand in one of their own.

use std::io;

use zombie_trace_common::{
    ClockSample, Counters, HandlerRuns, Record, RunningDescendant, SnapshotEntry,
};

use crate::kernel::{
    Adopted, KernelError, RecordSource, Tracer,
    decode::{DecodeError, KernelEvent},
};

/// The hooks and their maps.
pub(crate) trait KernelSide {
    /// Autoreaps are only inferred: from an end that nobody was notified of.
    fn infers_autoreap(&self) -> bool;
    /// Takes in what was there before the hooks.
    fn adopt(&mut self) -> Result<Adopted, KernelError>;
    /// Samples of these CPUs' run-queue clocks.
    fn sample_clocks(&mut self, cpus: Vec<u32>) -> Result<Vec<ClockSample>, KernelError>;
    /// The counters as they are now.
    fn counters(&self) -> Counters;
    /// How often the program that sees exits was skipped.
    fn missed_exits(&self) -> u64;
    /// The zombies and dying processes that are known and still in the task list.
    fn list(&mut self) -> Result<Vec<SnapshotEntry>, KernelError>;
    /// The record of every process that is in the table.
    fn records(&self) -> Result<Vec<Record>, KernelError>;
    /// The descendants of the traced root that run.
    fn descendants(&mut self) -> Result<Vec<RunningDescendant>, KernelError>;
    /// What a process's SIGCHLD handler has done, given the address of its leader's task and its pid.
    fn handler_runs(&self, task: u64, tgid: u32) -> Option<HandlerRuns>;
    /// From now on no process is newly taken into account.
    fn close(&mut self);
    /// From now on no process leaves the table, and no counter changes.
    fn freeze(&mut self);
    /// Hands the programs' log messages to the `log` crate.
    fn flush_log(&mut self);
}

/// The records, in the order in which they come.
pub(crate) trait Records {
    /// Waits until a good part of the buffer is full.
    async fn filled(&mut self) -> io::Result<()>;
    /// The oldest event that is there.
    fn take(&mut self) -> Option<Result<KernelEvent, DecodeError>>;
}

impl KernelSide for Tracer {
    fn infers_autoreap(&self) -> bool {
        self.backend().infers_autoreap()
    }

    fn adopt(&mut self) -> Result<Adopted, KernelError> {
        Self::adopt(self)
    }

    fn sample_clocks(&mut self, cpus: Vec<u32>) -> Result<Vec<ClockSample>, KernelError> {
        Self::sample_clocks(self, cpus)
    }

    fn counters(&self) -> Counters {
        Self::counters(self)
    }

    fn missed_exits(&self) -> u64 {
        Self::missed_exits(self)
    }

    fn list(&mut self) -> Result<Vec<SnapshotEntry>, KernelError> {
        Self::list(self)
    }

    fn records(&self) -> Result<Vec<Record>, KernelError> {
        let states = self.states()?;
        Ok(states.into_iter().map(|state| state.record).collect())
    }

    fn descendants(&mut self) -> Result<Vec<RunningDescendant>, KernelError> {
        Self::descendants(self)
    }

    fn handler_runs(&self, task: u64, tgid: u32) -> Option<HandlerRuns> {
        Self::handler_runs(self, task, tgid)
    }

    fn close(&mut self) {
        Self::close(self);
    }

    fn freeze(&mut self) {
        Self::freeze(self);
    }

    fn flush_log(&mut self) {
        Self::flush_log(self);
    }
}

impl Records for RecordSource {
    async fn filled(&mut self) -> io::Result<()> {
        Self::filled(self).await
    }

    fn take(&mut self) -> Option<Result<KernelEvent, DecodeError>> {
        Self::take(self)
    }
}
