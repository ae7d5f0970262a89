//! How the zombie time of a thread is shared between its states.
//!
//! A sampler comes when a CPU has time for it, which is rather when the sampled thread has just gone to
//! sleep. The kernel knows exactly how long a thread ran, and how long it waited for a CPU. So each state
//! gets the time that it lasted, and samples only decide between the stacks of one state.

use zombie_trace_common::StackSample;

use crate::model::ThreadState;

/// What runs for less than one part in so many of the time does not run.
const LEAST_SHARE: u64 = 100;

/// What the kernel has counted for a thread, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// When it was read.
    now: u64,
    /// Tells a thread id that is in use again.
    start: u64,
    run: u64,
    /// `None` if the kernel does not count that.
    delay: Option<u64>,
}

impl Times {
    pub(super) fn of(sample: &StackSample) -> Self {
        Self {
            now: sample.time,
            start: sample.start_boottime,
            run: sample.run,
            delay: (sample.run_delay != u64::MAX).then_some(sample.run_delay),
        }
    }
}

/// The zombie time of one thread that no sample stands for yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    last: Option<Times>,
    blocked: u64,
    runnable: u64,
    running: u64,
}

impl Account {
    /// Zombies have waited this long, summed up, since the last time. `state` is what the thread is in now,
    /// if that is known.
    pub(super) fn charge(&mut self, zombie_ns: u64, times: Times, state: Option<ThreadState>) {
        let last = self.last.filter(|last| last.start == times.start);
        if last.is_none() {
            *self = Self::default();
        }
        self.last = Some(times);
        let since = last.map_or(0, |last| times.now.saturating_sub(last.now));
        let Some(last) = last.filter(|_| since > 0) else {
            // Nothing is known of the time before.
            let state = state.unwrap_or(ThreadState::Blocked);
            let due = self.of(state);
            *due = due.saturating_add(zombie_ns);
            return;
        };
        let part = |ns: u64| {
            let part = u128::from(zombie_ns) * u128::from(ns.min(since)) / u128::from(since);
            u64::try_from(part).unwrap_or(zombie_ns)
        };
        let ran = times.run.saturating_sub(last.run);
        let ran = if ran < since / LEAST_SHARE { 0 } else { ran };
        let delay = times.delay.zip(last.delay);
        let delay = delay.map_or(0, |(now, then)| now.saturating_sub(then));
        let running = part(ran);
        let runnable = part(delay).min(zombie_ns - running);
        let blocked = zombie_ns - running - runnable;
        self.running = self.running.saturating_add(running);
        self.runnable = self.runnable.saturating_add(runnable);
        self.blocked = self.blocked.saturating_add(blocked);
    }

    /// Whether samples of it running are of use.
    pub(super) fn runs(&self) -> bool {
        self.running > 0
    }

    /// What a sample in this state stands for.
    pub(super) fn due(&self, state: ThreadState) -> u64 {
        match state {
            ThreadState::Running => self.running,
            ThreadState::Runnable if self.last.is_some_and(|last| last.delay.is_some()) => {
                self.runnable
            }
            // Nobody has counted it apart.
            _ => self.blocked,
        }
    }

    /// A sample stands for it.
    pub(super) fn paid(&mut self, state: ThreadState) {
        let has_delay = self.last.is_some_and(|last| last.delay.is_some());
        let state = match state {
            ThreadState::Runnable if !has_delay => ThreadState::Blocked,
            state => state,
        };
        *self.of(state) = 0;
    }

    fn of(&mut self, state: ThreadState) -> &mut u64 {
        match state {
            ThreadState::Running => &mut self.running,
            ThreadState::Runnable => &mut self.runnable,
            _ => &mut self.blocked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ThreadState::{Blocked, Runnable, Running};

    fn times(now: u64, run: u64, delay: Option<u64>) -> Times {
        Times {
            now,
            start: 1,
            run,
            delay,
        }
    }

    #[test]
    fn each_state_gets_the_time_that_it_lasted() {
        let mut account = Account::default();
        account.charge(70, times(1000, 500, Some(50)), Some(Running));
        assert_eq!((account.due(Running), account.due(Blocked)), (70, 0));
        account.paid(Running);
        // Of 100 ns it ran 20 and waited for a CPU 10, while three zombies waited.
        account.charge(300, times(1100, 520, Some(60)), Some(Blocked));
        assert!(account.runs());
        let due = [Running, Runnable, Blocked].map(|state| account.due(state));
        assert_eq!(due, [60, 30, 210]);
        account.paid(Blocked);
        account.charge(100, times(1200, 520, Some(60)), Some(Blocked));
        let due = [Running, Runnable, Blocked].map(|state| account.due(state));
        assert_eq!(due, [60, 30, 100]);
    }

    #[test]
    fn a_kernel_that_does_not_count_delays() {
        let mut account = Account::default();
        account.charge(0, times(1000, 0, None), Some(Blocked));
        account.charge(100, times(1100, 0, None), Some(Runnable));
        assert_eq!(account.due(Runnable), 100);
        account.paid(Runnable);
        assert_eq!(account.due(Blocked), 0);
    }

    #[test]
    fn nothing_is_shared_out_twice() {
        let mut account = Account::default();
        account.charge(0, times(1000, 0, Some(0)), Some(Blocked));
        // The clocks of CPUs differ.
        account.charge(100, times(1100, 90, Some(500)), Some(Blocked));
        let due = [Running, Runnable, Blocked].map(|state| account.due(state));
        assert_eq!(due, [90, 10, 0]);
        account.charge(100, times(1200, 80, Some(0)), None);
        assert_eq!(account.due(Blocked), 100);
        // What runs for a moment only need not be watched.
        let mut account = Account::default();
        account.charge(0, times(1000, 0, Some(0)), Some(Blocked));
        account.charge(100, times(11_000, 99, Some(0)), Some(Blocked));
        assert_eq!((account.due(Running), account.due(Blocked)), (0, 100));
    }

    #[test]
    fn an_id_that_is_in_use_again_owes_nothing() {
        let mut account = Account::default();
        account.charge(100, times(1000, 0, Some(0)), Some(Running));
        let other = Times {
            start: 2,
            ..times(1100, 0, Some(0))
        };
        account.charge(50, other, Some(Blocked));
        assert_eq!((account.due(Running), account.due(Blocked)), (0, 50));
    }
}
