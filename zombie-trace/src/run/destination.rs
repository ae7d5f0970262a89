//! Where a run writes to.

use std::{
    fmt,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use tokio::time::{Instant, sleep_until};

use crate::{
    run::signals::Signals,
    sink::{Medium as _, Output, Progress, Queue, Screen},
    system::{Access, NewFile, Replacement, deadline::Deadline},
};

/// How long a stopped run waits for its output to be read.
const GRACE: Duration = Duration::from_secs(2);

/// How long it waits after a second stop: for what is written without anybody to wait for.
const AT_ONCE: Duration = Duration::from_millis(100);

/// How long it waits at the least.
const LEAST: Duration = Duration::from_millis(500);

/// How long a run that has ended by itself waits for another piece of its output to be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a run can write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteTarget {
    /// A file, by `--output`.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Standard output, which COMMAND has too.
    SharedStdout,
    /// Standard error, which COMMAND has too.
    Stderr,
}

impl fmt::Display for WriteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "--output {}", path.display()),
            Self::Stdout | Self::SharedStdout => f.write_str("standard output"),
            Self::Stderr => f.write_str("standard error"),
        }
    }
}

/// The output of a run.
#[derive(Debug)]
pub(crate) struct Destination {
    name: String,
    progress: Progress,
    replacement: Option<Replacement>,
}

impl Destination {
    /// Opens it. An existing file stays as it is until [`begin`](Self::begin).
    pub(crate) fn open(target: &WriteTarget) -> anyhow::Result<(Self, Queue)> {
        let name = target.to_string();
        let (queue, replacement) = open(target).with_context(|| format!("cannot open {name}"))?;
        let destination = Self {
            name,
            progress: queue.progress(),
            replacement,
        };
        Ok((destination, queue))
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The run has begun: its file replaces an old one.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.replacement.take().map_or(Ok(()), Replacement::replace)
    }

    /// The run could not begin: its file replaces nothing.
    pub(crate) fn keep_old(&mut self) -> io::Result<()> {
        self.replacement
            .take()
            .map_or(Ok(()), Replacement::keep_old)
    }

    /// Waits until everything is written, but not for long if nobody reads it. A second stop ends
    /// it at once. `end` is when a run that was told to stop must be over but for this.
    pub(crate) async fn finish(
        &self,
        signals: &mut Signals,
        end: Option<Deadline>,
    ) -> io::Result<()> {
        self.progress.close();
        let mut is_stopped = end.is_some();
        let mut written = self.progress.written();
        let mut deadline = match end {
            Some(end) => Instant::now() + (end.left() + LEAST).min(GRACE),
            None => Instant::now() + PATIENCE,
        };
        loop {
            tokio::select! {
                ended = self.progress.ended() => return ended,
                _ = signals.stop(true) => {
                    let patience = if is_stopped { AT_ONCE } else { GRACE };
                    is_stopped = true;
                    deadline = deadline.min(Instant::now() + patience);
                }
                () = sleep_until(deadline) => {
                    if is_stopped || self.progress.written() == written {
                        return Err(unread());
                    }
                    written = self.progress.written();
                    deadline = Instant::now() + PATIENCE;
                }
            }
        }
    }
}

fn unread() -> io::Error {
    io::Error::other("it is not read, or not fast enough: its end is missing")
}

fn open(target: &WriteTarget) -> io::Result<(Queue, Option<Replacement>)> {
    let WriteTarget::File(path) = target else {
        return Ok((standard_stream(target)?, None));
    };
    let path = path.clone();
    let (file, replacement) = NewFile::create(&path, Access::Recording)?;
    let screen = match &file {
        NewFile::Open(file) | NewFile::Inherited(file) => Screen::of(file),
        NewFile::Fifo(_) => Screen::default(),
    };
    let queue = Queue::start(screen, move || Output::create(&path, file))?;
    Ok((queue, Some(replacement)))
}

fn standard_stream(target: &WriteTarget) -> io::Result<Queue> {
    let output = match target {
        WriteTarget::Stdout => Output::stdout()?,
        WriteTarget::SharedStdout => Output::inherited(duplicate(io::stdout().as_fd())?),
        _ => Output::inherited(duplicate(io::stderr().as_fd())?),
    };
    Queue::start(output.screen(), || Ok(output))
}

fn duplicate(fd: BorrowedFd<'_>) -> io::Result<File> {
    Ok(fd.try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        pin::pin,
        task::{Context, Poll, Waker},
        thread,
    };

    use super::*;
    use crate::run::signals::{Origin, Received};

    const STOP: Received = Received {
        signal: libc::SIGTERM,
        origin: Origin::Process,
    };

    /// A destination that gets more than a pipe holds.
    fn full_pipe() -> (io::PipeReader, Destination) {
        let (reader, writer) = io::pipe().unwrap();
        let output = Output::inherited(std::os::fd::OwnedFd::from(writer).into());
        let mut queue = Queue::start(Screen::default(), || Ok(output)).unwrap();
        queue
            .write_all(&b"0123456789abcde\n".repeat(100_000))
            .unwrap();
        queue.flush().unwrap();
        let destination = Destination {
            name: "a pipe".to_owned(),
            progress: queue.progress(),
            replacement: None,
        };
        (reader, destination)
    }

    /// What comes of waiting without any time passing, but for what a second stop leaves.
    fn at_once(destination: &Destination, stops: usize, is_stopped: bool) -> Poll<io::Result<()>> {
        let mut signals = Signals::of(vec![STOP; stops]);
        let end = is_stopped.then(|| Deadline::after(GRACE));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        let _guard = runtime.enter();
        if stops > usize::from(!is_stopped) {
            let finish = destination.finish(&mut signals, end);
            return Poll::Ready(runtime.block_on(finish));
        }
        let mut finish = pin!(destination.finish(&mut signals, end));
        finish
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_second_stop_ends_it_at_once() {
        let (_reader, destination) = full_pipe();
        assert!(at_once(&destination, 0, true).is_pending());
        assert!(at_once(&destination, 0, false).is_pending());
        assert!(at_once(&destination, 1, false).is_pending());
        for (stops, is_stopped) in [(1, true), (2, false)] {
            let ended = at_once(&destination, stops, is_stopped);
            assert!(matches!(ended, Poll::Ready(Err(_))), "{stops} {is_stopped}");
        }
    }

    #[test]
    fn what_is_read_is_written_to_the_end() {
        let (mut reader, destination) = full_pipe();
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).map(|_| text.len())
        });
        let mut signals = Signals::of(vec![]);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        let finish = destination.finish(&mut signals, None);
        runtime.block_on(finish).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 1_600_000);
    }
}
