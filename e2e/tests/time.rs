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
    u64::try_from(time.as_nanosecond() - behind()).ok()
}

/// The wall clock less the monotonic one, ns. Between two readings the CPU can be lost for seconds.
fn behind() -> i128 {
    const QUICK: u64 = 100_000;
    loop {
        let begin = now();
        let wall = Timestamp::now().as_nanosecond();
        if now() - begin < QUICK {
            return wall - i128::from(begin);
        }
    }
}
