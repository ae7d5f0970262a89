//! How a parent reaps, seen while it does.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use tokio::time::Instant;

use super::pace::WatchedPace;

use crate::{
    aggregate::Summary,
    args::{BackendChoice, BufferSize, TuningArgs},
    filter::Filter,
    kernel::{self, DEFAULT_MAX_ZOMBIES, KernelScope},
    model::{Alive, Loss, Start, Zombie},
    run::{
        attach,
        followed::Followed,
        host::ThisHost,
        notice,
        pipeline::Pipeline,
        session::{Session, Trouble},
        signals::{self, Inherited, Signals},
    },
    sink::Sink,
    value::TimeSpan,
};

/// The number of entries of a list that are shown.
pub(super) const LISTED: usize = 10;

/// What has been seen of a parent's children.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedReaping {
    /// The latest that were reaped, the last one last; [`LISTED`] at the most.
    pub(super) latest: VecDeque<Zombie>,
    /// How many were reaped in each way.
    pub(super) by_how: BTreeMap<&'static str, u64>,
    /// The zombies that are left.
    pub(super) alive: Vec<Alive>,
    /// When it reaped.
    pub(super) pace: WatchedPace,
    /// What a zombie time is exact to, in ns.
    pub(super) error_ns: u64,
    /// What it came to.
    pub(super) summary: Option<Summary>,
}

/// The hooks are live.
pub(super) struct Watch {
    runtime: tokio::runtime::Runtime,
    session: Session,
    signals: Signals,
    seen: Seen,
}

impl Watch {
    /// Looks at the children of this process from now on.
    ///
    /// # Errors
    /// Those of a run: no privileges, a kernel that can't be traced.
    pub(super) fn begin(parent: u32) -> anyhow::Result<Self> {
        let tuning = TuningArgs {
            backend: BackendChoice::default(),
            btf: None,
            max_zombies: DEFAULT_MAX_ZOMBIES,
            buffer: BufferSize::default(),
        };
        kernel::check_limits()?;
        let inherited = Inherited::take().context("cannot set signals up")?;
        let signals = Signals::subscribe(&inherited).context("cannot set signals up")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the event loop")?;
        let scope = KernelScope {
            ppids: vec![parent],
            ..KernelScope::default()
        };
        let seen = Seen::default();
        let session = runtime.block_on(async {
            let tracer = attach(&tuning.config(scope, false), false)?;
            let filter = Filter {
                autoreaped: true,
                ..Filter::default()
            };
            // At the end only: until then it is not asked why one is still there.
            let never = u64::MAX;
            let error_ns = tracer.backend().error_ns();
            seen.lock().error_ns = error_ns;
            let sink = Box::new(seen.clone());
            Session::new(
                Pipeline::new(error_ns, never, filter, sink, Box::new(ThisHost::new())),
                tracer,
                notice::warnings(),
            )
        })?;
        Ok(Self {
            runtime,
            session,
            signals,
            seen,
        })
    }

    /// Looks on for so long, or until somebody says stop.
    ///
    /// # Errors
    /// The kernel side is not to be read any more.
    pub(super) fn follow(mut self, duration: TimeSpan) -> anyhow::Result<WatchedReaping> {
        let outcome = self.runtime.block_on(async {
            let deadline = Instant::now() + duration.into();
            let mut followed = Followed {
                traced: None,
                signals: &mut self.signals,
            };
            self.session.follow(&mut followed, Some(deadline)).await?;
            self.session.finish(signals::is_urgent).await
        });
        match outcome {
            Ok(_) => Ok(self.seen.take()),
            Err(Trouble::Output(error)) => Err(error.into()),
            Err(Trouble::Other(error)) => Err(error),
        }
    }
}

/// Keeps what a page has room for.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<WatchedReaping>>);

impl Seen {
    fn lock(&self) -> MutexGuard<'_, WatchedReaping> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> WatchedReaping {
        std::mem::take(&mut *self.lock())
    }
}

impl Sink for Seen {
    fn start(&mut self, start: &Start) -> io::Result<()> {
        self.lock().pace.begin(start.ts);
        Ok(())
    }

    fn zombie(&mut self, zombie: &Zombie) -> io::Result<()> {
        let mut seen = self.lock();
        *seen.by_how.entry(zombie.how.as_str()).or_default() += 1;
        if zombie.reaper_pid.is_some() && zombie.reaper_pid == zombie.ppid {
            seen.pace.reaped(zombie.ts);
        }
        if seen.latest.len() == LISTED {
            seen.latest.pop_front();
        }
        seen.latest.push_back(zombie.clone());
        Ok(())
    }

    fn alive(&mut self, alive: &Alive) -> io::Result<()> {
        self.lock().alive.push(alive.clone());
        Ok(())
    }

    fn wants_dying(&self) -> bool {
        false
    }

    fn loss(&mut self, _: &Loss) -> io::Result<()> {
        Ok(())
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let mut seen = self.lock();
        seen.pace.end(summary.ts);
        seen.summary = Some(summary.clone());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
