//! The `ts` of JSON lines.

use zombie_trace_tests::now;

/// `CLOCK_MONOTONIC`, in ns, of an RFC 3339 time in UTC with nanoseconds.
pub(crate) fn monotonic(ts: &str) -> Option<u64> {
    let unix = unix_ns(ts)?;
    let behind = wall_clock() - i128::from(now());
    u64::try_from(unix - behind).ok()
}

fn wall_clock() -> i128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_nanos() as i128
}

/// `2026-11-23T17:28:50.123456789Z` and nothing else.
fn unix_ns(ts: &str) -> Option<i128> {
    let shape = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
    let matches = |(c, s): (char, char)| if s == 'd' { c.is_ascii_digit() } else { c == s };
    if ts.len() != shape.len() || !ts.chars().zip(shape.chars()).all(matches) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| ts[range].parse::<i128>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    // Days since 1970 in the proleptic Gregorian calendar, with years that begin in March.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = (days * 24 + number(11..13)?) * 3600 + number(14..16)? * 60 + number(17..19)?;
    Some(seconds * 1_000_000_000 + number(20..29)?)
}
