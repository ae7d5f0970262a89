use std::time::Duration;

use jiff::SignedDuration;
use nix::{
    sys::time::TimeValLike as _,
    time::{ClockId, clock_gettime},
};

use crate::lifecycle::WallClock;

/// `CLOCK_MONOTONIC` in ns, as the kernel side counts.
pub fn monotonic_now() -> u64 {
    now(ClockId::CLOCK_MONOTONIC).cast_unsigned()
}

/// The CPU time of the calling thread, in user space and the kernel.
pub(crate) fn thread_cpu_time() -> Duration {
    Duration::from_nanos(now(ClockId::CLOCK_THREAD_CPUTIME_ID).cast_unsigned())
}

/// How the other clocks relate to the monotonic one now.
pub fn wall_clock() -> WallClock {
    let monotonic = now(ClockId::CLOCK_MONOTONIC);
    let wall = now(ClockId::CLOCK_REALTIME);
    let boottime = now(ClockId::CLOCK_BOOTTIME);
    WallClock {
        wall: SignedDuration::from_nanos(wall - monotonic),
        // Never suspended, it differs by the time between the two calls.
        suspended_ns: (boottime - monotonic).max(0).cast_unsigned(),
    }
}

/// These clocks can't fail (clock_gettime(2)).
fn now(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |time| time.num_nanoseconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_wall_clock() {
        let here = wall_clock().timestamp(monotonic_now());
        let there = jiff::Timestamp::now();
        assert!(here.duration_until(there).abs() < SignedDuration::from_millis(100));
    }
}
