//! The machine that a run is on, as far as [`Pipeline`](super::pipeline::Pipeline) asks it. Tests hand
//! in one of their own.

use std::time::Duration;

use zombie_trace_common::{HostName, NewCgroup, Record};

use crate::{
    lifecycle::WallClock,
    model::{Comm, Place},
    system::{
        self, Places,
        proc::{self, Limit},
    },
};

/// Clocks, places, and what /proc says.
pub(crate) trait Host {
    /// The monotonic clock, in ns.
    fn now(&self) -> u64;
    /// How the other clocks relate to it.
    fn wall_clock(&self) -> WallClock;
    /// The CPU time of the calling thread.
    fn cpu_time(&self) -> Duration;
    /// The tracer's pid, if its own children are COMMAND alone, and not what the run is about.
    fn own_pid(&self) -> Option<u32>;
    /// Where a process ran.
    fn place(&mut self, record: &Record) -> Place;
    /// Takes in a host name that records refer to.
    fn name_host(&mut self, host: &HostName);
    /// Takes in a cgroup that was made.
    fn add_cgroup(&mut self, cgroup: &NewCgroup);
    /// The command line of the process with this pid and command name; `None` if it is gone.
    fn command_line(&self, pid: u32, comm: Comm) -> Option<String>;
    /// How full the table of pids is; `None` if that can't be read.
    fn pids(&self) -> Option<Limit>;
}

/// The machine that this program runs on.
#[derive(Debug)]
pub(crate) struct ThisHost {
    places: Places,
    own_pid: Option<u32>,
    shows_command_lines: bool,
}

impl ThisHost {
    /// For a program that only traces.
    pub(crate) fn new() -> Self {
        Self {
            places: Places::new(),
            own_pid: Some(std::process::id()),
            shows_command_lines: true,
        }
    }

    /// For a program that uses the library, whose children count as any others.
    pub(crate) fn with_own_children() -> Self {
        Self {
            own_pid: None,
            ..Self::new()
        }
    }

    /// For a program that shows no command line.
    #[cfg(feature = "serve")]
    pub(crate) fn without_command_lines() -> Self {
        Self {
            shows_command_lines: false,
            ..Self::new()
        }
    }
}

impl Host for ThisHost {
    fn now(&self) -> u64 {
        system::monotonic_now()
    }

    fn wall_clock(&self) -> WallClock {
        system::wall_clock()
    }

    fn cpu_time(&self) -> Duration {
        system::thread_cpu_time()
    }

    fn own_pid(&self) -> Option<u32> {
        self.own_pid
    }

    fn place(&mut self, record: &Record) -> Place {
        self.places.of(record)
    }

    fn name_host(&mut self, host: &HostName) {
        self.places.name_host(host);
    }

    fn add_cgroup(&mut self, cgroup: &NewCgroup) {
        self.places.add_cgroup(cgroup);
    }

    fn command_line(&self, pid: u32, comm: Comm) -> Option<String> {
        if !self.shows_command_lines {
            return None;
        }
        proc::command_line(pid, comm)
    }

    fn pids(&self) -> Option<Limit> {
        proc::pids()
    }
}
