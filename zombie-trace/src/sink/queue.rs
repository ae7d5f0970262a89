//! An output that never makes the run wait.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{Medium, Output, Screen, output::whole_lines};

/// How many bytes may wait to be written: some 25,000 lines.
const ROOM: usize = 16 << 20;
/// How long a full queue makes the run wait, once per batch. Meanwhile the ring buffer fills.
const PATIENCE: Duration = Duration::from_millis(300);
/// How much is written at a time.
const PIECE: usize = 64 << 10;
/// A buffer that a burst made larger than this is not kept.
const KEPT: usize = 1 << 20;

/// An output with a thread of its own: a reader who stops reading stops that thread alone.
///
/// The thread gets the lines with each [`flush`](Write::flush). An error of the output is that of
/// a later call.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    screen: Screen,
    /// What was written since the last flush.
    pending: Vec<u8>,
    /// What is left of [`PATIENCE`].
    patience: Duration,
}

/// How far the thread of a [`Queue`] is.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to do for the thread.
    changed: Condvar,
    /// The thread has written something, or has ended.
    progressed: Condvar,
    /// The thread has ended.
    ended: Notify,
    /// How many bytes wait to be written.
    waiting: AtomicUsize,
    /// How many bytes have been written.
    written: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
    /// How the thread has ended. Whoever asks first gets the error.
    result: Option<io::Result<()>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error of the output.
    fn check(&self) -> io::Result<()> {
        match &mut self.lock().result {
            Some(result) => mem::replace(result, Ok(())),
            None => Ok(()),
        }
    }

    /// Writes all that comes.
    fn serve(&self, mut output: Output) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            let closed = self.take(&mut bytes);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let len = match rest.len() {
                    ..=PIECE => rest.len(),
                    _ => match whole_lines(&rest[..PIECE]) {
                        0 => PIECE,
                        len => len,
                    },
                };
                output.write_all(&rest[..len])?;
                output.flush()?;
                self.written.fetch_add(len as u64, Ordering::Relaxed);
                // Under the lock, or whoever waits for it could miss it.
                let state = self.lock();
                self.waiting.fetch_sub(len, Ordering::Relaxed);
                drop(state);
                self.progressed.notify_one();
                rest = &rest[len..];
            }
            if closed {
                return output.end();
            }
            bytes.clear();
            bytes.shrink_to(KEPT);
        }
    }

    /// Waits for bytes, or for the end. True if it is the end.
    fn take(&self, bytes: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        while state.bytes.is_empty() && !state.closed {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        mem::swap(&mut state.bytes, bytes);
        state.closed
    }
}

impl Queue {
    /// Starts the thread, which opens the output first. For a FIFO, that waits for a reader.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(
        screen: Screen,
        open: impl FnOnce() -> io::Result<Output> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                let result = open().and_then(|output| thread.serve(output));
                thread.lock().result = Some(result);
                thread.progressed.notify_one();
                thread.ended.notify_one();
            })?;
        Ok(Self {
            shared,
            screen,
            pending: Vec::new(),
            patience: PATIENCE,
        })
    }

    /// How far the thread is.
    pub fn progress(&self) -> Progress {
        Progress(Arc::clone(&self.shared))
    }
}

impl Progress {
    /// Nothing more comes.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.changed.notify_one();
    }

    /// How many bytes have been written so far.
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Waits until all is written, after [`close`](Self::close). For one caller.
    ///
    /// # Errors
    /// The output can't be written.
    pub async fn ended(&self) -> io::Result<()> {
        loop {
            if let Some(result) = &mut self.0.lock().result {
                return mem::replace(result, Ok(()));
            }
            self.0.ended.notified().await;
        }
    }
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE {
            self.shared.check()?;
            self.pass_on(whole_lines(&self.pending));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.shared.check()?;
        // The rest of the last line may follow.
        self.pass_on(whole_lines(&self.pending));
        if !self.is_full() {
            self.patience = PATIENCE;
        }
        Ok(())
    }
}

impl Queue {
    fn is_full(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) + self.pending.len() >= ROOM
    }

    /// Gives the first bytes to the thread.
    fn pass_on(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        self.shared.waiting.fetch_add(len, Ordering::Relaxed);
        let mut state = self.shared.lock();
        if state.bytes.is_empty() && len == self.pending.len() {
            mem::swap(&mut state.bytes, &mut self.pending);
        } else {
            state.bytes.extend_from_slice(&self.pending[..len]);
            self.pending.drain(..len);
        }
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Medium for Queue {
    /// Does not wait for it: [`Progress::ended`] does.
    fn end(&mut self) -> io::Result<()> {
        self.shared.check()?;
        self.pass_on(self.pending.len());
        self.progress().close();
        Ok(())
    }

    fn screen(&self) -> Screen {
        self.screen.now()
    }

    /// Waits a little, so that an output that is merely slow gets everything.
    fn has_room(&mut self) -> bool {
        if !self.is_full() {
            return true;
        }
        if self.patience.is_zero() {
            return false;
        }
        self.pass_on(whole_lines(&self.pending));
        let begin = Instant::now();
        let state = self.shared.lock();
        let is_stuck = |state: &mut State| state.result.is_none() && self.is_full();
        drop(
            self.shared
                .progressed
                .wait_timeout_while(state, self.patience, is_stuck),
        );
        self.patience = self.patience.saturating_sub(begin.elapsed());
        !self.is_full()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::Read,
        sync::mpsc,
        time::{Duration, Instant},
    };

    use tokio::time::timeout;

    use super::*;

    const LINE: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef\n";

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().build().unwrap().block_on(future)
    }

    fn pipe() -> (File, Queue) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let output = Output::inherited(writer.into());
        let queue = Queue::start(Screen::default(), || Ok(output)).unwrap();
        (reader.into(), queue)
    }

    #[test]
    fn all_is_written_in_order() {
        let (mut reader, mut queue) = pipe();
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text
        });
        let mut text = Vec::new();
        for number in 0..100_000 {
            let line = format!("{number}\n");
            queue.write_all(line.as_bytes()).unwrap();
            text.extend_from_slice(line.as_bytes());
            if number % 7 == 0 {
                queue.flush().unwrap();
            }
        }
        queue.end().unwrap();
        let progress = queue.progress();
        block_on(progress.ended()).unwrap();
        assert_eq!(progress.written(), text.len() as u64);
        assert!(reader.join().unwrap() == text);
    }

    #[test]
    fn a_reader_who_does_not_read_makes_nobody_wait() {
        let (mut reader, mut queue) = pipe();
        let mut lines: u64 = 0;
        while queue.has_room() {
            queue.write_all(LINE).unwrap();
            lines += 1;
        }
        assert!(lines as usize * LINE.len() >= ROOM);
        let begin = Instant::now();
        for _ in 0..1000 {
            queue.flush().unwrap();
            assert!(!queue.has_room());
        }
        assert!(begin.elapsed() < 100 * PATIENCE, "it waits each time");
        queue.end().unwrap();
        let progress = queue.progress();
        let late = block_on(async {
            let wait = Duration::from_millis(50);
            timeout(wait, progress.ended()).await.is_err()
        });
        assert!(late, "nobody has read anything");
        // Once somebody reads, all of it comes.
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text.len()
        });
        block_on(progress.ended()).unwrap();
        assert_eq!(reader.join().unwrap(), lines as usize * LINE.len());
    }

    #[test]
    fn an_error_shows_in_a_later_call() {
        let (reader, mut queue) = pipe();
        drop(reader);
        let deadline = Instant::now() + Duration::from_secs(60);
        let error = loop {
            if let Err(error) = queue.write_all(LINE).and_then(|()| queue.flush()) {
                break error;
            }
            assert!(Instant::now() < deadline, "no error");
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn an_error_shows_at_the_end() {
        let open = || Err(io::ErrorKind::PermissionDenied.into());
        let mut queue = Queue::start(Screen::default(), open).unwrap();
        let (sender, receiver) = mpsc::channel();
        let ended = queue.end();
        thread::spawn(move || sender.send(block_on(queue.progress().ended())));
        let error = match ended {
            Ok(()) => receiver.recv_timeout(Duration::from_secs(60)).unwrap(),
            ended => ended,
        };
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
