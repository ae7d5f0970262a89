use std::{path::PathBuf, time::Duration};

use super::{Error, Result, Scope, Trace, run::ThreadRun};
use crate::{
    filter::Filter,
    kernel::{Backend, Config, DEFAULT_BUFFER, DEFAULT_MAX_ZOMBIES},
};

/// How a run is to be.
///
/// ```no_run
/// use std::time::Duration;
///
/// use zombie_trace::{Scope, Trace};
///
/// # fn main() -> zombie_trace::Result<()> {
/// let summary = Trace::builder()
///     .scope(Scope::new().ppid(4242))
///     .alive_after(Duration::from_millis(500))
///     .start()?
///     .finish()?;
/// println!("{} zombies are living", summary.living());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is traced until `start` is called"]
pub struct TraceBuilder {
    scope: Scope,
    backend: Option<Backend>,
    btf: Option<PathBuf>,
    max_zombies: u32,
    buffer: u32,
    alive_after: Duration,
    autoreaped: bool,
    duration: Option<Duration>,
    room: usize,
}

impl Trace {
    /// A run of all processes of the machine, unless it is told otherwise.
    pub fn builder() -> TraceBuilder {
        TraceBuilder::default()
    }
}

impl Default for TraceBuilder {
    fn default() -> Self {
        Self {
            scope: Scope::new(),
            backend: None,
            btf: None,
            max_zombies: DEFAULT_MAX_ZOMBIES,
            buffer: DEFAULT_BUFFER,
            alive_after: Duration::from_secs(5),
            autoreaped: false,
            duration: None,
            room: 65_536,
        }
    }
}

impl TraceBuilder {
    /// Which processes the run is about; all of the machine's by default.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// How to hook into the kernel; by default the best way that this kernel allows.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// The BTF of a kernel that has none of its own. It must describe the running kernel exactly, and only
    /// root may give it.
    pub fn btf(mut self, file: impl Into<PathBuf>) -> Self {
        self.btf = Some(file.into());
        self
    }

    /// How many processes can be dying or zombies at once (65,536); the rest is counted as
    /// [lost](crate::Lost::map_full).
    pub fn max_zombies(mut self, max: u32) -> Self {
        self.max_zombies = max.max(1);
        self
    }

    /// The size of the ring buffer between the kernel and this process, in bytes (4 MiB); it is rounded
    /// up to a power of two, from 64 KiB to 1 GiB.
    pub fn buffer(mut self, bytes: u32) -> Self {
        self.buffer = bytes.clamp(64 << 10, 1 << 30).next_power_of_two();
        self
    }

    /// The age at which a zombie that still exists becomes an [`Event::Alive`](super::Event::Alive), with
    /// the cause (5 s).
    pub fn alive_after(mut self, age: Duration) -> Self {
        self.alive_after = age;
        self
    }

    /// Processes that the kernel reaped at once become events, too. They were never zombies that anyone
    /// could see; by default they are counted only.
    pub fn autoreaped(mut self, wanted: bool) -> Self {
        self.autoreaped = wanted;
        self
    }

    /// How long the run goes on, if nobody stops it before; without end by default.
    pub fn duration(mut self, limit: Duration) -> Self {
        self.duration = Some(limit);
        self
    }

    /// How many events can wait to be read (65,536); the rest is counted as
    /// [lost](crate::Lost::ring_full). The run never waits for its reader.
    pub fn queue(mut self, events: usize) -> Self {
        self.room = events.max(1);
        self
    }

    /// Loads and attaches the hooks. From then on every process in scope is seen.
    ///
    /// It blocks until they are live, for a second or two at the most. The run has a thread of its own.
    ///
    /// # Errors
    /// Missing capabilities (`CAP_BPF` and `CAP_PERFMON`; for the tracepoint backend
    /// `CAP_DAC_READ_SEARCH`, too), a kernel that can't be traced, or a scope that can't be:
    /// see [`Error::kind`].
    pub fn start(self) -> Result<Trace> {
        let config = Config {
            backend: self.backend,
            btf: self.btf,
            scope: self.scope.resolve().map_err(Error::scope)?,
            max_zombies: self.max_zombies,
            buffer: self.buffer,
            debug: false,
        };
        let run = ThreadRun {
            config,
            scope: self.scope,
            filter: Filter {
                autoreaped: self.autoreaped,
                ..Filter::default()
            },
            alive_after: self.alive_after,
            duration: self.duration,
            room: self.room,
        };
        run.start()
    }
}
