//! How the zombie time of a thread is shared between its states.
//!
//! A sampler comes when a CPU has time for it, which is rather when the sampled thread has just gone to
//! sleep. The kernel knows exactly how long a thread ran, and how long it waited for a CPU. So each state
//! gets the time that it lasted (see [`Tally`](super::tally::Tally)), and samples only decide between the
//! stacks of one state.

use zombie_trace_common::StackSample;

use crate::model::ThreadState;

/// A thread that ran for less than 1/100 of the time counts as not running.
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

/// Zombie time, by what the thread did meanwhile, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) blocked: u64,
    pub(super) runnable: u64,
    pub(super) running: u64,
}

impl Shares {
    /// A single sample.
    pub(super) fn one(state: ThreadState) -> Self {
        Self::all_in(state, 1)
    }

    fn all_in(state: ThreadState, zombie_ns: u64) -> Self {
        let mut shares = Self::default();
        *shares.of(state) = zombie_ns;
        shares
    }

    fn of(&mut self, state: ThreadState) -> &mut u64 {
        match state {
            ThreadState::Running => &mut self.running,
            ThreadState::Runnable => &mut self.runnable,
            _ => &mut self.blocked,
        }
    }

    /// That of a state.
    pub(super) fn get(mut self, state: ThreadState) -> u64 {
        *self.of(state)
    }
}

impl std::ops::AddAssign for Shares {
    fn add_assign(&mut self, other: Self) {
        self.blocked = self.blocked.saturating_add(other.blocked);
        self.runnable = self.runnable.saturating_add(other.runnable);
        self.running = self.running.saturating_add(other.running);
    }
}

/// One thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    last: Option<Times>,
    /// The zombie time in which it ran, for which there is no sample yet.
    running: u64,
}

impl Account {
    /// Zombies have waited this long, summed up, since the last time. `state` is what the thread is in now,
    /// if that is known. Gives the share of each state.
    pub(super) fn charge(
        &mut self,
        zombie_ns: u64,
        times: Times,
        state: Option<ThreadState>,
    ) -> Shares {
        let last = self.last.filter(|last| last.start == times.start);
        if last.is_none() {
            *self = Self::default();
        }
        self.last = Some(times);
        let since = last.map_or(0, |last| times.now.saturating_sub(last.now));
        let shares = match last.filter(|_| since > 0) {
            Some(last) => share(zombie_ns, since, last, times, state),
            // Nothing is known of the time before.
            None => Shares::all_in(state.unwrap_or(ThreadState::Blocked), zombie_ns),
        };
        self.running = self.running.saturating_add(shares.running);
        shares
    }

    /// Whether samples of it running are of use.
    pub(super) fn runs(&self) -> bool {
        self.running > 0
    }

    /// What the samples that were taken while it ran stand for.
    pub(super) fn take_running(&mut self) -> u64 {
        std::mem::take(&mut self.running)
    }
}

fn share(
    zombie_ns: u64,
    since: u64,
    last: Times,
    times: Times,
    state: Option<ThreadState>,
) -> Shares {
    let part = |ns: u64| {
        let part = u128::from(zombie_ns) * u128::from(ns.min(since)) / u128::from(since);
        u64::try_from(part).unwrap_or(zombie_ns)
    };
    let ran = times.run.saturating_sub(last.run);
    let running = match ran < since / LEAST_SHARE {
        true => 0,
        false => part(ran),
    };
    let rest = zombie_ns - running;
    let Some((now, then)) = times.delay.zip(last.delay) else {
        let state = state.filter(|state| *state == ThreadState::Runnable);
        return Shares {
            running,
            ..Shares::all_in(state.unwrap_or(ThreadState::Blocked), rest)
        };
    };
    let runnable = part(now.saturating_sub(then)).min(rest);
    Shares {
        running,
        runnable,
        blocked: rest - runnable,
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

    fn shares(running: u64, runnable: u64, blocked: u64) -> Shares {
        Shares {
            blocked,
            runnable,
            running,
        }
    }

    #[test]
    fn each_state_gets_the_time_that_it_lasted() {
        let mut account = Account::default();
        let first = account.charge(70, times(1000, 500, Some(50)), Some(Running));
        assert_eq!(first, shares(70, 0, 0));
        assert_eq!(account.take_running(), 70);
        // Of 100 ns it ran 20 and waited for a CPU 10, while three zombies waited.
        let next = account.charge(300, times(1100, 520, Some(60)), Some(Blocked));
        assert_eq!(next, shares(60, 30, 210));
        assert!(account.runs());
        let last = account.charge(100, times(1200, 530, Some(60)), Some(Blocked));
        assert_eq!(last, shares(10, 0, 90));
        assert_eq!((account.take_running(), account.runs()), (70, false));
    }

    #[test]
    fn a_kernel_that_does_not_count_delays() {
        let mut account = Account::default();
        account.charge(0, times(1000, 0, None), Some(Blocked));
        for (now, state, expected) in [
            (1100, Some(Runnable), shares(0, 100, 0)),
            (1200, Some(Blocked), shares(0, 0, 100)),
            (1300, None, shares(0, 0, 100)),
        ] {
            assert_eq!(account.charge(100, times(now, 0, None), state), expected);
        }
    }

    #[test]
    fn nothing_is_shared_out_twice() {
        let mut account = Account::default();
        account.charge(0, times(1000, 0, Some(0)), Some(Blocked));
        // The clocks of CPUs differ.
        let next = account.charge(100, times(1100, 90, Some(500)), Some(Blocked));
        assert_eq!(next, shares(90, 10, 0));
        let next = account.charge(100, times(1200, 80, Some(0)), None);
        assert_eq!(next, shares(0, 0, 100));
        // What runs for a moment only need not be watched.
        let mut account = Account::default();
        account.charge(0, times(1000, 0, Some(0)), Some(Blocked));
        let next = account.charge(100, times(11_000, 99, Some(0)), Some(Blocked));
        assert_eq!((next, account.runs()), (shares(0, 0, 100), false));
    }

    #[test]
    fn an_id_that_is_in_use_again_owes_nothing() {
        let mut account = Account::default();
        account.charge(100, times(1000, 0, Some(0)), Some(Running));
        let other = Times {
            start: 2,
            ..times(1100, 0, Some(0))
        };
        let next = account.charge(50, other, Some(Blocked));
        assert_eq!((next, account.runs()), (shares(0, 0, 50), false));
    }
}
