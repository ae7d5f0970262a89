//! Reads of /proc that may hang.

use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// As many may be under way at a time, at the most: some never end.
const MOST: usize = 8;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// A read that is counted until it ends.
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

/// What a read gives, if it ends in time. It goes on in a thread of its own if it does not.
///
/// A process can keep its readers waiting for as long as it likes: with its memory map locked, it waits
/// for a page from a file system that does not answer, or calls exec and closes a file there.
pub(super) fn within<T: Send + 'static>(
    patience: Duration,
    read: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let under_way = UnderWay::begin()?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("proc".into());
    thread
        .spawn(move || {
            let result = read();
            drop(under_way);
            // If nobody waits for it any more, it is lost.
            let _ = sender.send(result);
        })
        .ok()?;
    receiver.recv_timeout(patience).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_hangs_makes_nobody_wait() {
        const LONG: Duration = Duration::from_secs(600);
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
        let mut waits = 0;
        while within(LONG, || 3) != Some(3) {
            thread::sleep(Duration::from_millis(10));
            waits += 1;
            assert!(waits < 6000, "no read is let in again");
        }
    }

    #[test]
    fn a_read_that_panics_is_over() {
        for _ in 0..2 * MOST {
            let hook = || -> u8 { std::panic::resume_unwind(Box::new(())) };
            assert_eq!(within(Duration::from_secs(600), hook), None);
        }
    }
}
