use serde::{Deserialize, Serialize};
use zombie_trace_common::{Record, flags};

/// Where a zombie's time went: parts of `zombie_ns`, in ns. What is known adds up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Phases {
    /// From the notification until the parent's SIGCHLD handler ran, less the time in the run queue;
    /// 0 if the parent was in a wait already, `None` if it has no handler or that was not seen.
    pub notify_ns: Option<u64>,
    /// Until the wait that reaped it began: the parent did something else, or slept.
    pub parent_not_waiting_ns: Option<u64>,
    /// The reaper could run, but did not get a CPU (`sched_info.run_delay`); `None` if the kernel
    /// keeps no account of it. Before the wait it is known if the thread that reaps is the one that
    /// made the child; otherwise it is a part of the phase before.
    pub runqueue_ns: Option<u64>,
    /// A tracer that was not the parent had not waited for it yet.
    pub tracer_ns: Option<u64>,
    /// All the rest: waking up, and the work of the wait itself.
    pub reap_ns: Option<u64>,
}

/// One of [`Phases`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The parent's handler had not run yet.
    Notify,
    /// The parent did not wait.
    NotWaiting,
    /// The reaper did not get a CPU.
    RunQueue,
    /// A tracer held it.
    Tracer,
    /// The wait itself.
    Reap,
}

impl Phase {
    /// Every phase, in the order of [`Phases`].
    pub const ALL: [Self; 5] = [
        Self::Notify,
        Self::NotWaiting,
        Self::RunQueue,
        Self::Tracer,
        Self::Reap,
    ];

    /// In a table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::NotWaiting => "not waiting",
            Self::RunQueue => "run queue",
            Self::Tracer => "tracer",
            Self::Reap => "reap",
        }
    }
}

impl Phases {
    /// Of a process that was reaped by a wait whose begin was seen, with exact times.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let inexact = flags::APPROXIMATE_START | flags::BOUNDED_END | flags::PRE_EXISTING;
        if record.wait_time == 0 || record.flags & inexact != 0 || record.zombie_time == 0 {
            return None;
        }
        let end = record.reap_time;
        let begin = record.zombie_time.min(end);
        let told = record.tracer_end_time.clamp(begin, end);
        let wait = record.wait_time.clamp(told, end);
        let is_told = record.run_delay_in_wait != u64::MAX;
        // What went before the zombie began is in the account too if the thread slept then.
        let delay = |delay: u64, most: u64| if is_told { delay.min(most) } else { 0 };

        let before_wait = wait - told;
        let delay_before = delay(record.run_delay_before_wait, before_wait);
        let in_wait = end - wait;
        let delay_in_wait = delay(record.run_delay_in_wait, in_wait);

        let handler = Some(record.handler_time)
            .filter(|&time| (told..=wait).contains(&time) && before_wait > 0)
            .map(|time| time - told);
        // Its delay comes first: it is woken to run the handler.
        let notify = handler.map(|time| time - delay_before.min(time));
        let not_waiting = before_wait - delay_before - notify.unwrap_or(0);
        Some(Self {
            notify_ns: if before_wait == 0 { Some(0) } else { notify },
            parent_not_waiting_ns: Some(not_waiting),
            runqueue_ns: is_told.then_some(delay_before + delay_in_wait),
            tracer_ns: Some(told - begin),
            reap_ns: Some(in_wait - delay_in_wait),
        })
    }

    /// In the order of [`Phase::ALL`]; 0 is also what is not known.
    pub fn times(&self) -> [u64; 5] {
        [
            self.notify_ns,
            self.parent_not_waiting_ns,
            self.runqueue_ns,
            self.tracer_ns,
            self.reap_ns,
        ]
        .map(|time| time.unwrap_or(0))
    }

    /// The longest phase.
    pub fn longest(&self) -> Phase {
        longest(self.times())
    }
}

/// The one of [`Phase::ALL`] that has the largest of these times; the last of several.
pub fn longest(times: [u64; 5]) -> Phase {
    let (at, _) = times
        .iter()
        .enumerate()
        .max_by_key(|(_, time)| **time)
        .expect("there are five");
    Phase::ALL[at]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record {
            zombie_time: 1000,
            reap_time: 2000,
            reap_time_min: 2000,
            wait_time: 500,
            ..Record::default()
        }
    }

    fn of(record: Record) -> Phases {
        Phases::of(&record).unwrap()
    }

    #[test]
    fn a_parent_that_waits_already() {
        let phases = of(record());
        assert_eq!(phases.times(), [0, 0, 0, 0, 1000]);
        assert_eq!(phases.notify_ns, Some(0));
    }

    #[test]
    fn a_parent_that_comes_late() {
        let phases = of(Record {
            wait_time: 1900,
            ..record()
        });
        assert_eq!(phases.times(), [0, 900, 0, 0, 100]);
        assert_eq!(phases.notify_ns, None);
        assert_eq!(phases.longest(), Phase::NotWaiting);
    }

    #[test]
    fn a_handler_that_runs_late_after_a_delay() {
        let phases = of(Record {
            handler_time: 1700,
            wait_time: 1900,
            run_delay_before_wait: 600,
            run_delay_in_wait: 30,
            ..record()
        });
        assert_eq!(phases.times(), [100, 200, 630, 0, 70]);
        assert_eq!(phases.longest(), Phase::RunQueue);
    }

    #[test]
    fn a_delay_from_before_the_zombie_is_none_of_its_time() {
        let phases = of(Record {
            run_delay_in_wait: 5000,
            ..record()
        });
        assert_eq!(phases.times(), [0, 0, 1000, 0, 0]);
    }

    #[test]
    fn a_tracer_that_holds_it() {
        let phases = of(Record {
            tracer_end_time: 1600,
            ..record()
        });
        assert_eq!(phases.times(), [0, 0, 0, 600, 400]);
    }

    #[test]
    fn a_kernel_without_account_of_delays() {
        let phases = of(Record {
            run_delay_in_wait: u64::MAX,
            ..record()
        });
        assert_eq!(phases.runqueue_ns, None);
        assert_eq!(phases.times(), [0, 0, 0, 0, 1000]);
    }

    #[test]
    fn none_without_exact_times_or_a_wait() {
        for flags in [
            flags::APPROXIMATE_START,
            flags::BOUNDED_END,
            flags::PRE_EXISTING,
        ] {
            assert_eq!(Phases::of(&Record { flags, ..record() }), None);
        }
        assert_eq!(
            Phases::of(&Record {
                wait_time: 0,
                ..record()
            }),
            None
        );
    }

    proptest! {
        #[test]
        fn they_add_up(
            zombie_time in 1_u64..5000,
            zombie_ns in 0_u64..5000,
            wait_time in 1_u64..10_000,
            handler_time in 0_u64..10_000,
            tracer_end_time in 0_u64..10_000,
            run_delay_before_wait: u64,
            run_delay_in_wait: u64,
        ) {
            let record = Record {
                zombie_time,
                reap_time: zombie_time + zombie_ns,
                wait_time,
                handler_time,
                tracer_end_time,
                run_delay_before_wait,
                run_delay_in_wait,
                ..Record::default()
            };
            let phases = Phases::of(&record).unwrap();
            prop_assert_eq!(phases.times().iter().sum::<u64>(), zombie_ns);
        }
    }
}
