//! The `ts` of JSON lines.

use jiff::Timestamp;
use zombie_trace_e2e::now;

/// `CLOCK_MONOTONIC`, in ns, of an RFC 3339 time in UTC with nanoseconds.
pub(crate) fn monotonic(ts: &str) -> Option<u64> {
    let time: Timestamp = ts.parse().ok()?;
    // No other way of writing it.
    if format!("{time:.9}") != ts {
        return None;
    }
    let behind = Timestamp::now().as_nanosecond() - i128::from(now());
    u64::try_from(time.as_nanosecond() - behind).ok()
}
