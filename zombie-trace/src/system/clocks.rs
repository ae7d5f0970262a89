//! The kernel's clocks. In a time namespace a process sees shifted ones, but the kernel side's times
//! are in the host's (time_namespaces(7)): here, and nowhere else, the shift is taken away.

use std::{fs, os::unix::fs::MetadataExt as _, sync::OnceLock, time::Duration};

use jiff::SignedDuration;
use nix::{
    sys::time::TimeValLike as _,
    time::{ClockId, clock_gettime},
};

use crate::lifecycle::WallClock;

/// `CLOCK_MONOTONIC` in ns, as the kernel side counts.
pub fn monotonic_now() -> u64 {
    monotonic().max(0).cast_unsigned()
}

/// A `CLOCK_BOOTTIME` (ns) that this process is shown, in /proc/PID/stat for instance, as the kernel
/// side counts.
pub(super) fn boottime_of_host(shown: u64) -> u64 {
    shown.saturating_add_signed(shift().boottime.saturating_neg())
}

/// The CPU time of the calling thread, in user space and the kernel.
pub(crate) fn thread_cpu_time() -> Duration {
    Duration::from_nanos(now(ClockId::CLOCK_THREAD_CPUTIME_ID).cast_unsigned())
}

/// How the other clocks relate to the monotonic one now.
pub fn wall_clock() -> WallClock {
    let boottime = || now(ClockId::CLOCK_BOOTTIME) - shift().boottime;
    closest(monotonic, || now(ClockId::CLOCK_REALTIME), boottime)
}

/// Between two readings the CPU can be lost for seconds: of some attempts the quickest counts.
fn closest(
    monotonic: impl Fn() -> i64,
    wall: impl Fn() -> i64,
    boottime: impl Fn() -> i64,
) -> WallClock {
    const ATTEMPTS: usize = 10;
    const QUICK: i64 = 5_000;
    let attempt = || {
        let (begin, wall, boottime, end) = (monotonic(), wall(), boottime(), monotonic());
        let clock = WallClock {
            wall: SignedDuration::from_nanos(wall - begin),
            // Never suspended, it differs by the time between the readings.
            suspended_ns: (boottime - begin).max(0).cast_unsigned(),
        };
        (end - begin, clock)
    };
    let mut best = attempt();
    for _ in 1..ATTEMPTS {
        if best.0 <= QUICK {
            break;
        }
        let next = attempt();
        if next.0 < best.0 {
            best = next;
        }
    }
    best.1
}

fn monotonic() -> i64 {
    now(ClockId::CLOCK_MONOTONIC) - shift().monotonic
}

/// By how much this process's clocks are ahead of the host's, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shift {
    monotonic: i64,
    boottime: i64,
}

/// No process can change its own time namespace while it runs.
fn shift() -> Shift {
    static SHIFT: OnceLock<Shift> = OnceLock::new();
    *SHIFT.get_or_init(|| {
        let namespace = |name| {
            let metadata = fs::metadata(format!("/proc/self/ns/{name}"));
            metadata.ok().map(|namespace| namespace.ino())
        };
        // The offsets are those of the namespace that children will be in. Before 6.2 `unshare -T`
        // without a fork puts the program that it runs into another one.
        if namespace("time") != namespace("time_for_children") {
            return Shift::default();
        }
        let offsets = fs::read_to_string("/proc/self/timens_offsets");
        Shift::parse(&offsets.unwrap_or_default())
    })
}

impl Shift {
    /// Of a kernel without time namespaces there is no text.
    fn parse(offsets: &str) -> Self {
        let offset = |clock: &str| {
            let line = offsets.lines().find_map(|line| line.strip_prefix(clock))?;
            let mut numbers = line.split_whitespace().map(str::parse::<i64>);
            let (seconds, nanoseconds) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
        };
        Self {
            monotonic: offset("monotonic").unwrap_or(0),
            boottime: offset("boottime").unwrap_or(0),
        }
    }
}

/// These clocks can't fail (clock_gettime(2)).
fn now(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |time| time.num_nanoseconds())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn offsets_of_a_time_namespace() {
        let text = "monotonic       50000         0\nboottime        -7000 250000000\n";
        let shift = Shift::parse(text);
        assert_eq!(shift.monotonic, 50_000_000_000_000);
        assert_eq!(shift.boottime, -6_999_750_000_000);
        for none in [
            "",
            "monotonic\n",
            "monotonic x y\nboottime 9223372036854775807 0\n",
        ] {
            assert_eq!(Shift::parse(none), Shift::default(), "{none}");
        }
    }

    /// Each reading takes a microsecond, but the first time the CPU is lost after one of them.
    #[test]
    fn clocks_that_are_read_at_different_times_are_read_again() {
        for lost_after in 0..3 {
            let (time, readings) = (Cell::new(0), Cell::new(0));
            let read = |offset: i64| {
                let now = time.get();
                let lost = if readings.get() == lost_after {
                    10_000_000_000
                } else {
                    0
                };
                readings.set(readings.get() + 1);
                time.set(now + 1_000 + lost);
                now + offset
            };
            let clock = closest(|| read(0), || read(7_000_000), || read(90_000));
            assert_eq!(clock.wall, SignedDuration::from_nanos(7_001_000));
            assert_eq!(clock.suspended_ns, 92_000);
        }
    }

    #[test]
    fn agrees_with_the_wall_clock() {
        let here = wall_clock().timestamp(monotonic_now());
        let there = jiff::Timestamp::now();
        assert!(here.duration_until(there).abs() < SignedDuration::from_millis(100));
    }
}
