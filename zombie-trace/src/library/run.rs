//! A run in a thread of its own.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{runtime::Runtime, time::Instant};

use super::{Error, Scope, Stopper, Trace, to_stream::ToStream};
use crate::{
    filter::Filter,
    kernel::{self, Config, Tracer},
    model::Start,
    run::{
        host::ThisHost,
        pipeline::Pipeline,
        session::{Session, Trouble},
        start,
    },
};

/// What the thread takes along.
pub(super) struct ThreadRun {
    pub(super) config: Config,
    pub(super) scope: Scope,
    pub(super) filter: Filter,
    pub(super) alive_after: Duration,
    pub(super) duration: Option<Duration>,
    pub(super) room: usize,
}

impl ThreadRun {
    /// Starts the thread, and waits until the hooks are live.
    pub(super) fn start(self) -> Result<Trace, Error> {
        let (sink, events) = ToStream::new(self.room);
        let stopper = Stopper::default();
        let control = stopper.clone();
        let (started, start) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("zombie-trace".into())
            .spawn(move || self.perform(sink, control, &started))
            .context("cannot start a thread")
            .map_err(Error::new)?;
        match start.recv() {
            Ok(start) => Ok(Trace::new(start?, events, stopper, thread)),
            Err(_) => Err(Error::other("the tracing thread panicked")),
        }
    }

    fn perform(
        self,
        sink: ToStream,
        mut control: Stopper,
        started: &SyncSender<Result<Start, Error>>,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the event loop");
        let begun = runtime.and_then(|runtime| {
            let (session, start) = self.begin(&runtime, &sink)?;
            Ok((runtime, session, start))
        });
        let (runtime, mut session) = match begun {
            Ok((runtime, session, start)) => {
                // Whoever waited for it may be gone: then the stream is, too.
                let _ = started.send(Ok(start));
                (runtime, session)
            }
            Err(error) => {
                let _ = started.send(Err(Error::new(error)));
                return;
            }
        };
        let outcome = runtime.block_on(async {
            session.warn_of_hidden();
            let deadline = self.duration.map(|limit| Instant::now() + limit);
            session.follow(&mut control, deadline).await?;
            session.finish(|| control.has_given_up()).await
        });
        match outcome {
            // Nobody reads.
            Ok(_) | Err(Trouble::Output(_)) => {}
            Err(Trouble::Other(error)) => sink.fail(Error::new(error)),
        }
    }

    /// Attaches the hooks, and takes in what there was before them.
    fn begin(&self, runtime: &Runtime, sink: &ToStream) -> anyhow::Result<(Session, Start)> {
        kernel::check_limits()?;
        let tracer = Tracer::start(&self.config)?;
        let start = start::line(
            tracer.backend(),
            None,
            self.scope.line(),
            self.filter.line(),
        );
        let pipeline = Pipeline::new(
            tracer.backend().error_ns(),
            u64::try_from(self.alive_after.as_nanos()).unwrap_or(u64::MAX),
            self.filter.clone(),
            Box::new(sink.clone()),
            Box::new(ThisHost::with_own_children()),
        );
        let warnings = sink.clone();
        let warn = Box::new(move |warning: &_| warnings.warn(warning));
        // The ring buffer is registered with the event loop.
        let _entered = runtime.enter();
        let session = Session::new(pipeline, tracer, warn)?
            .about(&self.config.scope)?
            .looking_after(self.alive_after);
        Ok((session, start))
    }
}
