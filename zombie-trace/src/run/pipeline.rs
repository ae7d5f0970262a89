//! From a kernel record to a line of output.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

use zombie_trace_common::{Counters, Record, SnapshotEntry, flags};

use crate::{
    aggregate::Aggregate,
    filter::Filter,
    gate::Figures,
    kernel::decode::Event,
    lifecycle::{Lifecycle, Overdue, RunQueueClocks, TaskId, WallClock},
    metrics::{Pids, Standing},
    model::{Alive, Comm, Counts, Diagnosis, Loss, Lost, Place, Running, Start},
    run::accounts::{self, Accounts, Remains},
    sink::Sink,
    system::{Places, monotonic_now, proc, wall_clock},
};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What was lost and not reported before.
    pub lost: Option<NewLoss>,
    /// Nothing at all was lost.
    pub complete: bool,
    /// How many forged notifications and reaps were ignored.
    pub suspicious: u64,
    /// What the run is judged by.
    pub figures: Figures,
}

/// What was lost since the last warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLoss {
    /// All of it.
    pub lost: Lost,
    /// How many of `lost.ring_full` the output had no room for.
    pub unwritten: u64,
}

/// Lifecycle, filter, aggregate and sink in a row.
pub struct Pipeline {
    lifecycle: Lifecycle,
    overdue: Overdue,
    filter: Filter,
    aggregate: Aggregate,
    sink: Box<dyn Sink + Send>,
    places: Places,
    begun: u64,
    wall: WallClock,
    /// Records that came through the ring buffer and were not listed.
    filtered: u64,
    pre_existing: u64,
    /// Lines that the output had no room for.
    unwritten: u64,
    /// What the `loss` lines have reported.
    reported: Lost,
    /// What [`NewLoss`] has reported.
    warned: NewLoss,
}

impl Pipeline {
    /// A run begins. `error_ns` is the backend's error for exact lifetimes.
    ///
    /// A zombie is reported when it has been one for `alive_after_ns`.
    pub fn new(
        error_ns: u64,
        alive_after_ns: u64,
        filter: Filter,
        sink: Box<dyn Sink + Send>,
    ) -> Self {
        Self {
            overdue: Overdue::new(alive_after_ns),
            lifecycle: Lifecycle::new(error_ns),
            filter,
            aggregate: Aggregate::default(),
            sink,
            places: Places::new(),
            begun: monotonic_now(),
            wall: wall_clock(),
            filtered: 0,
            pre_existing: 0,
            unwritten: 0,
            reported: Lost::default(),
            warned: NewLoss {
                lost: Lost::default(),
                unwritten: 0,
            },
        }
    }

    /// Intervals are asked for.
    pub fn with_intervals(mut self) -> Self {
        self.aggregate.begin_intervals();
        self
    }

    /// Writes the first line.
    pub fn start(&mut self, start: &Start) -> io::Result<()> {
        self.sink.start(start)?;
        self.sink.flush()
    }

    /// Takes in what there was before the tracer.
    pub fn adopt(&mut self, entries: &[SnapshotEntry], clocks: &RunQueueClocks) {
        for entry in entries
            .iter()
            .filter(|entry| accounts::is_pre_existing(&entry.record))
        {
            self.lifecycle.adopt(entry, clocks, &self.wall);
            self.pre_existing += u64::from(accounts::is_zombie(entry));
        }
    }

    /// A batch of records comes.
    pub fn begin_batch(&mut self) {
        self.wall = wall_clock();
    }

    /// Takes in what the ring buffer brought.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Record(record) => return self.record(record),
            Event::HostName(name) => self.places.name_host(name),
            Event::NewCgroup(cgroup) => self.places.add_cgroup(cgroup),
        }
        Ok(())
    }

    /// Lists a process that is gone, if it is to be listed.
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let place = self.places.of(record);
        let zombie = self.lifecycle.zombie(record, &self.wall, place);
        let listing = self.filter.listing(&zombie);
        self.aggregate.zombie(&zombie, listing);
        if listing.is_filtered() {
            self.filtered += u64::from(record.flags & flags::PRE_EXISTING == 0);
            return Ok(());
        }
        if self.lacks_room() {
            return Ok(());
        }
        self.sink.zombie(&zombie)
    }

    /// Counts a line that the output has no room for.
    fn lacks_room(&mut self) -> bool {
        let lacks_room = !self.sink.has_room();
        self.unwritten += u64::from(lacks_room);
        lacks_room
    }

    /// A batch of records is through.
    pub fn end_batch(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// Reports what was lost since the last time.
    pub fn loss(&mut self, counters: &Counters, missed_exits: u64) -> io::Result<Option<NewLoss>> {
        let mut lost = accounts::lost(counters, missed_exits);
        lost.ring_full += self.unwritten;
        // A full output gets it later.
        if lost != self.reported && self.sink.has_room() {
            self.write_loss(lost)?;
            self.sink.flush()?;
        }
        Ok(self.new_loss(lost))
    }

    fn write_loss(&mut self, total: Lost) -> io::Result<()> {
        let lost = total.since(&self.reported);
        if lost.is_none() {
            return Ok(());
        }
        self.reported = total;
        let ts = self.wall.timestamp(monotonic_now());
        self.sink.loss(&Loss { ts, lost })
    }

    fn new_loss(&mut self, total: Lost) -> Option<NewLoss> {
        let new = NewLoss {
            lost: total.since(&self.warned.lost),
            unwritten: self.unwritten - self.warned.unwritten,
        };
        if new.lost.is_none() {
            return None;
        }
        self.warned = NewLoss {
            lost: total,
            unwritten: self.unwritten,
        };
        Some(new)
    }

    /// An interval ends, or goes on while the output is full. The counters were read before what
    /// exists was listed.
    pub fn interval(&mut self, counters: &Counters, existing: &[SnapshotEntry]) -> io::Result<()> {
        if !self.sink.has_room() {
            return Ok(());
        }
        let mut counts = Accounts::so_far(counters, existing).counts();
        counts.filtered += self.filtered;
        counts.lost.ring_full += self.unwritten;
        self.end_interval(counts, monotonic_now())?;
        self.sink.flush()
    }

    fn end_interval(&mut self, counts: Counts, now: u64) -> io::Result<()> {
        let ts = self.wall.timestamp(now);
        match self.aggregate.end_interval(counts, ts, self.elapsed(now)) {
            Some(interval) => self.sink.interval(&interval),
            None => Ok(()),
        }
    }

    fn elapsed(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.begun))
    }

    /// Whether somebody wants to know what is now.
    pub fn wants_standing(&self) -> bool {
        self.sink.wants_standing()
    }

    /// Tells what is now.
    pub fn standing(
        &mut self,
        existing: &[SnapshotEntry],
        counters: &Counters,
        missed_exits: u64,
    ) -> io::Result<()> {
        self.begin_batch();
        let now = monotonic_now();
        let zombies = existing.iter().filter(|entry| accounts::is_zombie(entry));
        let none = HashMap::new();
        let mut living: Vec<_> = zombies
            .map(|entry| self.living(entry, now, &none))
            .collect();
        living.retain(|alive| self.filter.passes_alive(alive));
        self.sink.standing(&Standing {
            ts: self.wall.timestamp(now),
            living,
            autoreaped: counters.autoreaped,
            lost: accounts::lost(counters, missed_exits),
            pids: proc::pids().map(|pids| Pids {
                used: pids.used,
                max: pids.limit,
            }),
        })
    }

    /// Which of the zombies that exist have come to an age at which they are reported.
    pub fn due<'a>(&mut self, existing: &'a [SnapshotEntry]) -> Vec<&'a SnapshotEntry> {
        let now = monotonic_now();
        let zombies: Vec<_> = existing
            .iter()
            .filter(|entry| accounts::is_zombie(entry))
            .map(|entry| {
                let place = Place::default();
                let alive = self.lifecycle.alive(&entry.record, now, &self.wall, place);
                (identity(&entry.record), alive.age_ns, entry)
            })
            .collect();
        let due: HashSet<TaskId> = self
            .overdue
            .due(zombies.iter().map(|(id, age, _)| (*id, *age)))
            .into_iter()
            .collect();
        let zombies = zombies.into_iter().filter(|(id, ..)| due.contains(id));
        zombies.map(|(.., entry)| entry).collect()
    }

    /// Reports zombies that still exist.
    pub fn alive(
        &mut self,
        zombies: &[&SnapshotEntry],
        diagnoses: &HashMap<u32, Diagnosis>,
    ) -> io::Result<()> {
        self.begin_batch();
        let now = monotonic_now();
        for entry in zombies {
            let alive = self.living(entry, now, diagnoses);
            if self.filter.passes_alive(&alive) && !self.lacks_room() {
                self.sink.alive(&alive)?;
            }
        }
        self.end_batch()
    }

    fn living(
        &mut self,
        entry: &SnapshotEntry,
        now: u64,
        diagnoses: &HashMap<u32, Diagnosis>,
    ) -> Alive {
        let record = &entry.record;
        let place = self.places.of(record);
        self.lifecycle
            .alive(record, now, &self.wall, place)
            .because(diagnoses.get(&record.pid))
    }

    /// The end of the run: lists what is still there and writes the summary.
    pub fn finish(&mut self, remains: &Remains) -> io::Result<Ending> {
        self.begin_batch();
        let now = monotonic_now();
        for record in &remains.released {
            self.record(&accounts::close(record, now, remains.infers_autoreap))?;
        }
        let mut zombies: Vec<_> = remains
            .existing
            .iter()
            .filter(|entry| accounts::is_zombie(entry))
            .collect();
        zombies.sort_by_key(|entry| entry.record.zombie_time);
        for entry in zombies {
            let alive = self.living(entry, now, &remains.diagnoses);
            if self.filter.passes_alive(&alive) {
                self.aggregate.alive(&alive);
                if !self.lacks_room() {
                    self.sink.alive(&alive)?;
                }
            }
        }
        let mut counts = Accounts::of(remains).counts();
        counts.filtered += self.filtered;
        counts.pre_existing = self.pre_existing;
        counts.lost.ring_full += self.unwritten;
        self.write_loss(counts.lost)?;
        let lost = self.new_loss(counts.lost);
        self.end_interval(counts, now)?;
        let ts = self.wall.timestamp(now);
        let summary = self.aggregate.summary(counts, ts, self.elapsed(now));
        self.sink.summary(&summary)?;
        let running = remains.running.iter().map(|process| Running {
            pid: process.pid,
            comm: Comm::new(process.comm),
        });
        self.sink.running(&running.collect::<Vec<_>>())?;
        self.sink.end()?;
        Ok(Ending {
            lost,
            complete: summary.complete,
            suspicious: counts.suspicious,
            figures: Figures::from(&summary),
        })
    }
}

fn identity(record: &Record) -> TaskId {
    (record.task, record.start_boottime)
}
