use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    thread::JoinHandle,
};

use futures_core::Stream;
use tokio::sync::mpsc::Receiver;

use super::{Error, Event, Result, Stopper};
use crate::{aggregate::Summary, model::Start};

/// A run: the hooks are live, and what they see is a stream of [`Event`]s.
///
/// The stream ends with [`Event::Summary`], after [`stop`](Self::stop) or after the
/// [duration](super::TraceBuilder::duration). An error is its last item. Any executor can poll it;
/// [`blocking`](Self::blocking) needs none.
///
/// Dropping it detaches the hooks.
#[must_use = "the run ends when this is dropped"]
pub struct Trace {
    start: Start,
    events: Receiver<Result<Event>>,
    stopper: Stopper,
    summary: Option<Box<Summary>>,
    thread: Option<JoinHandle<()>>,
}

impl Trace {
    pub(super) fn new(
        start: Start,
        events: Receiver<Result<Event>>,
        stopper: Stopper,
        thread: JoinHandle<()>,
    ) -> Self {
        Self {
            start,
            events,
            stopper,
            summary: None,
            thread: Some(thread),
        }
    }

    /// When and where the run started, and with which backend.
    pub fn started(&self) -> &Start {
        &self.start
    }

    /// Asks the run to end. Its last events follow, and its summary.
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Stops the run from elsewhere, such as another thread or a signal handler's task.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// The events, for code that is not asynchronous: each call of `next` waits for one.
    ///
    /// # Panics
    /// `next` panics in asynchronous code of tokio, which it would block. Poll the stream there.
    pub fn blocking(&mut self) -> impl Iterator<Item = Result<Event>> {
        std::iter::from_fn(|| {
            let event = self.events.blocking_recv();
            self.take_note(event)
        })
    }

    /// Stops the run and gives its summary. The events that nobody has read are dropped.
    ///
    /// It blocks until the run has ended, which takes some 50 ms and at most 5 s. To end a run in
    /// asynchronous code, call [`stop`](Self::stop) and poll the stream to its end.
    ///
    /// # Errors
    /// The error of the run, if it failed.
    ///
    /// # Panics
    /// In asynchronous code of tokio.
    pub fn finish(mut self) -> Result<Summary> {
        self.stop();
        let failed = self.blocking().find_map(Result::err);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err(Error::other("the tracing thread panicked"));
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let summary = self.summary.take();
        summary.map_or_else(|| Err(Error::other("the run failed before")), |it| Ok(*it))
    }

    fn take_note(&mut self, event: Option<Result<Event>>) -> Option<Result<Event>> {
        if let Some(Ok(Event::Summary(summary))) = &event {
            self.summary = Some(summary.clone());
        }
        event
    }
}

impl Stream for Trace {
    type Item = Result<Event>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let trace = self.get_mut();
        let event = std::task::ready!(trace.events.poll_recv(context));
        Poll::Ready(trace.take_note(event))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.stopper.give_up();
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}
