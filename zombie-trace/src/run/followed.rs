//! A run of the command line: signals control it, and COMMAND if there is one.

use std::{io, process::ExitStatus};

use super::{
    command::Traced,
    control::{Request, RunControl},
    signals::{Received, Signals},
};

/// What a run follows.
pub(crate) struct Followed<'a> {
    pub(crate) traced: Option<&'a mut Traced>,
    pub(crate) signals: &'a mut Signals,
}

impl RunControl for Followed<'_> {
    async fn next(&mut self) -> io::Result<Request> {
        loop {
            let received = match &mut self.traced {
                None => self.signals.recv().await,
                Some(traced) => tokio::select! {
                    received = self.signals.recv() => received,
                    status = traced.wait() => return status.map(ended),
                },
            };
            if let Some(request) = self.receive(received) {
                return Ok(request);
            }
        }
    }

    fn time_is_up(&mut self) -> bool {
        match &mut self.traced {
            Some(traced) => {
                traced.terminate();
                false
            }
            None => true,
        }
    }
}

impl Followed<'_> {
    fn receive(&mut self, received: Received) -> Option<Request> {
        let is_stop = received.is_stop(self.traced.is_some());
        match &mut self.traced {
            Some(traced) => {
                traced.receive(received);
                is_stop.then_some(Request::Hurry)
            }
            None => is_stop.then_some(Request::End(None)),
        }
    }
}

fn ended(status: ExitStatus) -> Request {
    Request::End(Some(status))
}
