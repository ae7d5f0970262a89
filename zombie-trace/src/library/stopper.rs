use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::Notify;

use crate::run::control::{Request, RunControl};

/// Ends a run. All clones end the same one.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stage: AtomicU8,
    asked: Notify,
}

/// The run is to come to its end, with a summary.
const STOPPED: u8 = 1;
/// Nobody wants the rest.
const GIVEN_UP: u8 = 2;

impl Stopper {
    /// Asks the run to end. Its last events follow, and its summary.
    pub fn stop(&self) {
        self.advance(STOPPED);
    }

    pub(super) fn give_up(&self) {
        self.advance(GIVEN_UP);
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.stage() == GIVEN_UP
    }

    fn stage(&self) -> u8 {
        self.0.stage.load(Ordering::Acquire)
    }

    fn advance(&self, stage: u8) {
        self.0.stage.fetch_max(stage, Ordering::AcqRel);
        self.0.asked.notify_one();
    }
}

impl RunControl for Stopper {
    async fn next(&mut self) -> std::io::Result<Request> {
        while self.stage() == 0 {
            self.0.asked.notified().await;
        }
        Ok(Request::End(None))
    }

    fn time_is_up(&mut self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_hears_of_a_stop_from_another_thread() {
        let mut control = Stopper::default();
        let stopper = control.clone();
        let thread = thread::spawn(move || stopper.stop());
        assert_eq!(control.next().await.unwrap(), Request::End(None));
        assert!(!control.has_given_up());
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn a_stop_does_not_take_back_that_nobody_listens() {
        let mut control = Stopper::default();
        control.give_up();
        control.stop();
        assert!(control.has_given_up());
        assert_eq!(control.next().await.unwrap(), Request::End(None));
    }
}
