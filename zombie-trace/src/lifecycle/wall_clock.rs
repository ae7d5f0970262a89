use jiff::{SignedDuration, Timestamp};

/// Relates `CLOCK_MONOTONIC`, which the kernel side's times are in, to other clocks. Valid for
/// times close to when it was taken, as the wall clock can be set and the machine suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// Wall-clock time minus monotonic time.
    pub wall: SignedDuration,
    /// `CLOCK_BOOTTIME` minus monotonic time: the time spent suspended, ns.
    pub suspended_ns: u64,
}

impl WallClock {
    /// The wall-clock time of an instant (monotonic, ns).
    pub fn timestamp(&self, monotonic: u64) -> Timestamp {
        let instant = SignedDuration::from_nanos(monotonic.try_into().unwrap_or(i64::MAX));
        // Outside of the years -9999 to 9999 no clock can be.
        Timestamp::from_duration(instant + self.wall).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// `CLOCK_BOOTTIME` (ns) of an instant (monotonic, ns).
    pub fn boottime(&self, monotonic: u64) -> u64 {
        monotonic.saturating_add(self.suspended_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_offsets() {
        let clock = WallClock {
            wall: SignedDuration::from_secs(1_000_000_000),
            suspended_ns: 7,
        };
        assert_eq!(
            clock.timestamp(500).to_string(),
            "2001-09-09T01:46:40.0000005Z"
        );
        assert_eq!(clock.boottime(500), 507);
    }

    #[test]
    fn survives_absurd_times() {
        let clock = WallClock {
            wall: SignedDuration::from_secs(1),
            suspended_ns: 7,
        };
        clock.timestamp(u64::MAX);
        assert_eq!(clock.boottime(u64::MAX), u64::MAX);
    }
}
