//! Who decides how long a run goes on.

use std::{io, process::ExitStatus};

/// COMMAND and signals, or the program that uses the library.
pub(crate) trait RunControl {
    /// Waits for the next request. The wait can be given up without losing one.
    async fn next(&mut self) -> io::Result<Request>;
    /// The run's time is up. True if the run ends now; false if it waits for COMMAND to end.
    fn time_is_up(&mut self) -> bool;
}

/// What is asked of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To come to its end soon: COMMAND has been asked to end.
    Hurry,
    /// To end now: somebody has said stop, or COMMAND has ended with this status.
    End(Option<ExitStatus>),
}
