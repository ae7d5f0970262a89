//! A machine, a kernel side and a sink for tests, whose every answer the test sets.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::pending,
    io,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::SignedDuration;
use zombie_trace_common::{
    ClockSample, Counters, HandlerRuns, HostName, NewCgroup, Record, RunningDescendant,
    SnapshotEntry, TaskNow, flags, how,
};

use super::{
    host::Host,
    kernel_side::{KernelSide, Records},
};
use crate::{
    aggregate::Summary,
    kernel::{
        Adopted, KernelError,
        decode::{DecodeError, KernelEvent},
    },
    lifecycle::WallClock,
    model::{Alive, Comm, Loss, Place, Start, Unlisted, Zombie},
    sink::Sink,
    system::proc::Limit,
};

pub(super) const MS: u64 = 1_000_000;
/// When each run begins.
pub(super) const BEGIN: u64 = 1_000 * MS;

/// The machine.
#[derive(Clone, Default)]
pub(super) struct FakeHost(pub(super) Rc<FakeMachine>);

#[derive(Default)]
pub(super) struct FakeMachine {
    /// The monotonic clock.
    pub(super) now: Cell<u64>,
    /// How many command lines have been read.
    pub(super) command_lines: Cell<u32>,
}

impl FakeHost {
    pub(super) fn new() -> Self {
        let host = Self::default();
        host.0.now.set(BEGIN);
        host
    }
}

impl Host for FakeHost {
    fn now(&self) -> u64 {
        self.0.now.get()
    }

    fn wall_clock(&self) -> WallClock {
        WallClock {
            wall: SignedDuration::from_secs(1_700_000_000),
            suspended_ns: 0,
        }
    }

    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }

    fn own_pid(&self) -> Option<u32> {
        Some(7)
    }

    fn place(&mut self, _: &Record) -> Place {
        Place {
            cgroup: Some("/fake".into()),
            ..Place::default()
        }
    }

    fn name_host(&mut self, _: &HostName) {}

    fn add_cgroup(&mut self, _: &NewCgroup) {}

    fn command_line(&self, pid: u32, comm: Comm) -> Option<String> {
        self.0.command_lines.set(self.0.command_lines.get() + 1);
        Some(format!("{} --pid {pid}", comm.to_str()))
    }

    fn pids(&self) -> Option<Limit> {
        None
    }
}

/// The kernel side.
#[derive(Clone, Default)]
pub(super) struct FakeKernel(pub(super) Rc<RefCell<FakeTables>>);

#[derive(Default)]
pub(super) struct FakeTables {
    pub(super) counters: Counters,
    pub(super) missed: u64,
    /// What the task list has.
    pub(super) existing: Vec<SnapshotEntry>,
    /// What is in the table though it is gone from the task list.
    pub(super) released: Vec<Record>,
    /// What the ring buffer holds.
    pub(super) ring: VecDeque<KernelEvent>,
    /// What it gets once the table is frozen.
    pub(super) late: VecDeque<KernelEvent>,
    /// What was asked of it, in order.
    pub(super) calls: Vec<&'static str>,
}

impl KernelSide for FakeKernel {
    fn infers_autoreap(&self) -> bool {
        false
    }

    fn adopt(&mut self) -> Result<Adopted, KernelError> {
        let mut tables = self.0.borrow_mut();
        tables.calls.push("adopt");
        let existing = tables.existing.iter().copied();
        let is_adopted = |entry: &SnapshotEntry| entry.record.flags & flags::PRE_EXISTING != 0;
        Ok(Adopted {
            entries: existing.filter(is_adopted).collect(),
            unsettled: 0,
        })
    }

    fn sample_clocks(&mut self, _: Vec<u32>) -> Result<Vec<ClockSample>, KernelError> {
        Ok(Vec::new())
    }

    fn counters(&self) -> Counters {
        self.0.borrow().counters
    }

    fn missed_exits(&self) -> u64 {
        self.0.borrow().missed
    }

    fn list(&mut self) -> Result<Vec<SnapshotEntry>, KernelError> {
        Ok(self.0.borrow().existing.clone())
    }

    fn records(&self) -> Result<Vec<Record>, KernelError> {
        Ok(self.0.borrow().released.clone())
    }

    fn descendants(&mut self) -> Result<Vec<RunningDescendant>, KernelError> {
        Ok(Vec::new())
    }

    fn handler_runs(&self, _: u64, _: u32) -> Option<HandlerRuns> {
        None
    }

    fn close(&mut self) {
        self.0.borrow_mut().calls.push("close");
    }

    fn freeze(&mut self) {
        let mut tables = self.0.borrow_mut();
        tables.calls.push("freeze");
        let late = std::mem::take(&mut tables.late);
        tables.ring.extend(late);
    }

    fn flush_log(&mut self) {}
}

impl Records for FakeKernel {
    async fn filled(&mut self) -> io::Result<()> {
        pending().await
    }

    fn take(&mut self) -> Option<Result<KernelEvent, DecodeError>> {
        self.0.borrow_mut().ring.pop_front().map(Ok)
    }
}

/// What a sink was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SinkLine {
    Zombie(Zombie),
    Alive(Alive),
    Loss(Loss),
    Unlisted(Unlisted),
    Summary(Box<Summary>),
}

/// Keeps what it is given.
#[derive(Clone, Default)]
pub(super) struct FakeSink(Arc<Mutex<Written>>);

#[derive(Default)]
pub(super) struct Written {
    pub(super) lines: Vec<SinkLine>,
    pub(super) is_full: bool,
    pub(super) wants_unlisted: bool,
}

impl FakeSink {
    pub(super) fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap()
    }

    /// What it was given since the last call.
    pub(super) fn take(&self) -> Vec<SinkLine> {
        std::mem::take(&mut self.lock().lines)
    }

    fn put(&self, line: SinkLine) -> io::Result<()> {
        self.lock().lines.push(line);
        Ok(())
    }
}

impl Sink for FakeSink {
    fn start(&mut self, _: &Start) -> io::Result<()> {
        Ok(())
    }

    fn zombie(&mut self, zombie: &Zombie) -> io::Result<()> {
        self.put(SinkLine::Zombie(zombie.clone()))
    }

    fn alive(&mut self, alive: &Alive) -> io::Result<()> {
        self.put(SinkLine::Alive(alive.clone()))
    }

    fn wants_unlisted(&self) -> bool {
        self.lock().wants_unlisted
    }

    fn unlisted(&mut self, unlisted: &Unlisted) -> io::Result<()> {
        self.put(SinkLine::Unlisted(unlisted.clone()))
    }

    fn has_room(&mut self) -> bool {
        !self.lock().is_full
    }

    fn loss(&mut self, loss: &Loss) -> io::Result<()> {
        self.put(SinkLine::Loss(*loss))
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        self.put(SinkLine::Summary(Box::new(summary.clone())))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A process that was a zombie for 5 ms and was reaped by its parent 41.
pub(super) fn reaped(pid: u32) -> Record {
    Record {
        reap_time: BEGIN + 15 * MS,
        reap_time_min: BEGIN + 15 * MS,
        reaper_pid: 41,
        reaper_tid: 41,
        how: how::WAIT4,
        ..ended(pid)
    }
}

/// A child of 41 that became a zombie 10 ms after the run began.
pub(super) fn ended(pid: u32) -> Record {
    Record {
        task: 0xffff_8880_0000_0000 + u64::from(pid),
        parent_task: 0xffff_8880_0000_0000 + 41,
        start_boottime: BEGIN,
        exit_time: BEGIN + 9 * MS,
        zombie_time: BEGIN + 10 * MS,
        pid,
        ns_pid: pid,
        ppid: 41,
        parent_comm: Comm::from("parent").to_raw(),
        comm: Comm::from("child").to_raw(),
        ..Record::default()
    }
}

/// The same, as the task list has it.
pub(super) fn zombie(pid: u32) -> SnapshotEntry {
    SnapshotEntry {
        record: ended(pid),
        now: TaskNow {
            exit_state: 32,
            ppid: 41,
            ..TaskNow::default()
        },
    }
}
