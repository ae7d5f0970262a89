//! Reads of /proc that may hang.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

/// There are at most as many readers: some never end.
const MOST: usize = 8;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// A reader, counted until it ends.
struct UnderWay;

impl UnderWay {
    fn begin() -> Option<Self> {
        let one_more = |count| (count < MOST).then_some(count + 1);
        UNDER_WAY
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Self)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The reader that has nothing to do. It is kept: the end of a thread is one more for the kernel side to
/// see, and can make it miss a process's.
static IDLE: Mutex<Option<Sender<Job>>> = Mutex::new(None);

fn idle() -> MutexGuard<'static, Option<Sender<Job>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that reads, until nobody can ask it any more.
fn reader() -> Option<Sender<Job>> {
    let under_way = UnderWay::begin()?;
    let (sender, jobs) = mpsc::channel::<Job>();
    let thread = thread::Builder::new().name("proc".into());
    let serve = move || {
        let _under_way = under_way;
        jobs.into_iter().for_each(|job| job());
    };
    thread.spawn(serve).ok()?;
    Some(sender)
}

/// What a read gives, if it ends in time. If it does not, it goes on in a thread that is given up.
///
/// A process can keep its readers waiting for as long as it likes: with its memory map locked, it waits
/// for a page from a file system that does not answer, or calls exec and closes a file there.
pub(super) fn within<T: Send + 'static>(
    patience: Duration,
    read: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let kept = idle().take();
    let reader = match kept {
        Some(reader) => reader,
        None => reader()?,
    };
    let (sender, receiver) = mpsc::sync_channel(1);
    // If nobody waits for the result any more, it is lost.
    let job = move || drop(sender.send(read()));
    reader.send(Box::new(job)).ok()?;
    let result = receiver.recv_timeout(patience).ok()?;
    *idle() = Some(reader);
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// Held by the test that has all readers to itself.
    static ALONE: Mutex<()> = Mutex::new(());

    /// Waits until readers that have ended are no longer counted.
    fn until_read() {
        let mut waits = 0;
        while within(LONG, || 3) != Some(3) {
            thread::sleep(Duration::from_millis(10));
            waits += 1;
            assert!(waits < 6000, "no read is let in again");
        }
    }

    #[test]
    fn a_read_that_hangs_makes_nobody_wait() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (gates, hanging): (Vec<_>, Vec<_>) =
            (0..MOST).map(|_| mpsc::sync_channel::<()>(0)).unzip();
        assert_eq!(within(LONG, || 1), Some(1));
        for gate in hanging {
            let read = move || gate.recv();
            assert!(within(Duration::from_millis(1), read).is_none());
        }
        // No more threads than that: even a good read is refused.
        assert_eq!(within(LONG, || 2), None);
        drop(gates);
        until_read();
    }

    #[test]
    fn a_read_that_panics_is_over() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..2 * MOST {
            let hook = || -> u8 { std::panic::resume_unwind(Box::new(())) };
            assert_eq!(within(LONG, hook), None);
            // Its reader has made room for another one.
            until_read();
        }
    }
}
