//! A recording of a part of a run: from the key that starts it to the one that ends it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    data::{Model, nanos},
    outside::unused,
};
use crate::{
    aggregate::{Aggregate, RunFacts},
    kernel::Backend,
    model::{Alive, Counts, FilterLine, Flag, Loss, Start, Zombie},
    run::destination::{Destination, WriteTarget},
    sink::{Json, Progress, Queue, Sink as _},
};

/// How long the last lines may take to be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// A run of its own, as far as the recording goes.
pub(super) struct Recorder {
    path: PathBuf,
    sink: Json<Queue>,
    progress: Progress,
    begin: i64,
    aggregate: Aggregate,
    counts: Counts,
    /// The first error; nothing more is written after it.
    error: Option<io::Error>,
}

/// A recording whose last lines are being written.
pub(super) struct Finishing {
    path: PathBuf,
    progress: Progress,
    error: Option<io::Error>,
}

impl Recorder {
    /// Starts one in a new file of the current directory.
    ///
    /// # Errors
    /// The file can't be created.
    pub(super) fn start(model: &Model) -> anyhow::Result<Self> {
        let path = unused("zombie-trace", "jsonl.zst");
        let (mut destination, queue) = Destination::open(&WriteTarget::File(path.clone()))?;
        destination.begin()?;
        let progress = queue.progress();
        let mut sink = Json::new(queue, true);
        let ts = Timestamp::now();
        let known = model.start.as_deref();
        let backend = Backend::ALL
            .into_iter()
            .find(|it| Some(it.name()) == known.map(|start| &*start.backend));
        let facts = RunFacts {
            begin: Some(ts),
            error_ns: backend.map_or(0, Backend::error_ns),
            tracer_pid: known.map(|start| start.tracer_pid),
        };
        if let Some(known) = known {
            // Everything in scope is listed.
            let filter = FilterLine {
                all: true,
                ..FilterLine::default()
            };
            sink.start(&Start {
                ts,
                filter: Some(filter),
                ..known.clone()
            })?;
        }
        Ok(Self {
            path,
            sink,
            progress,
            begin: nanos(ts),
            aggregate: Aggregate::new(facts),
            counts: Counts {
                pre_existing: model.living.len() as u64,
                ..Counts::default()
            },
            error: None,
        })
    }

    pub(super) fn name(&self) -> String {
        crate::text::path(&self.path)
    }

    /// A process is gone.
    pub(super) fn zombie(&mut self, zombie: &Zombie) {
        let mut zombie = zombie.clone();
        // What began before the recording is not of it.
        self.mark(zombie.ts, zombie.zombie_ns, &mut zombie.flags);
        self.aggregate.zombie(&zombie, true);
        if !zombie.pre_existing() {
            match zombie.autoreaped() {
                true => self.counts.autoreaped += 1,
                false => self.counts.reaped += 1,
            }
        }
        self.write(|sink| sink.zombie(&zombie));
    }

    /// A living zombie was looked at.
    pub(super) fn alive(&mut self, alive: &Alive) {
        let mut alive = alive.clone();
        self.mark(alive.ts, alive.age_ns, &mut alive.flags);
        self.write(|sink| sink.alive(&alive));
    }

    /// Something was lost.
    pub(super) fn loss(&mut self, loss: &Loss) {
        self.counts.lost += loss.lost;
        self.write(|sink| sink.loss(loss));
    }

    /// What was written should become visible.
    pub(super) fn flush(&mut self) {
        self.write(|sink| sink.flush());
    }

    fn mark(&self, ts: Timestamp, lasted: u64, flags: &mut Vec<Flag>) {
        let begin = nanos(ts).saturating_sub_unsigned(lasted);
        if begin < self.begin && !flags.contains(&Flag::PreExisting) {
            flags.push(Flag::PreExisting);
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut Json<Queue>) -> io::Result<()>) {
        if self.error.is_some() {
            return;
        }
        if !self.sink.has_room() {
            self.error = Some(io::Error::other("it is not written fast enough"));
            return;
        }
        self.error = write(&mut self.sink).err();
    }

    /// Lists who lives, and sums up. What is left to do makes nobody else wait.
    pub(super) fn finish(mut self, model: &Model) -> Finishing {
        let ts = Timestamp::from_nanosecond(model.now.max(self.begin).into()).unwrap_or_default();
        let mut living: Vec<_> = model.living.values().collect();
        living.sort_by_key(|alive| std::cmp::Reverse(model.age(alive)));
        for alive in living {
            let found = model.found(alive);
            let mut alive = Alive {
                ts,
                age_ns: model.age(alive),
                cause: found.map(|found| found.cause),
                cause_text: found.and_then(|found| found.text.clone()),
                advice: found.and_then(|found| found.advice.clone()),
                runtime: found.and_then(|found| found.runtime),
                ..alive.clone()
            };
            self.mark(ts, alive.age_ns, &mut alive.flags);
            self.counts.alive += u64::from(!alive.pre_existing());
            self.aggregate.alive(&alive);
            self.write(|sink| sink.alive(&alive));
        }
        for (key, parent) in &model.parents {
            if let Some(cmdline) = parent.cmdline().filter(|_| self.aggregate.has_parent(key)) {
                self.aggregate.named(*key, cmdline);
            }
        }
        let counts = &mut self.counts;
        counts.exits = counts.reaped
            + counts.autoreaped
            + counts.alive
            + counts.lost.map_full
            + counts.lost.missed;
        let duration = nanos(ts).saturating_sub(self.begin);
        let duration = Duration::from_nanos(u64::try_from(duration).unwrap_or(0));
        let summary = self.aggregate.summary(self.counts, ts, duration);
        self.write(|sink| sink.summary(&summary));
        self.write(|sink| sink.end());
        Finishing {
            path: self.path,
            progress: self.progress,
            error: self.error,
        }
    }
}

impl Finishing {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until all is written; says so, or what is wrong.
    pub(super) fn wait(self) -> String {
        self.progress.close();
        let path = crate::text::path(&self.path);
        let written = match self.error {
            Some(error) => Err(error),
            None => self.written(),
        };
        match written {
            Ok(()) => format!("recorded to {path}"),
            Err(error) => format!("cannot write to {path}: {error}"),
        }
    }

    fn written(&self) -> io::Result<()> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build()?;
        let ended = async { tokio::time::timeout(PATIENCE, self.progress.ended()).await };
        runtime
            .block_on(ended)
            .unwrap_or_else(|_| Err(io::Error::other("it takes too long")))
    }
}
