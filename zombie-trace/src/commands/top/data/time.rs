//! Times as numbers.

use jiff::Timestamp;

/// The latest time, in the year 2116: a recording can hold any, and sums of two must not overflow.
const LATEST: i128 = 1 << 62;

/// A time in ns since the epoch.
pub(crate) fn nanos(ts: Timestamp) -> i64 {
    i64::try_from(ts.as_nanosecond().clamp(0, LATEST)).unwrap_or(0)
}
