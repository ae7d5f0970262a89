/// A length of time to three significant digits: `812 ns`, `18.2 µs`, `1.24 s`; from a minute on
/// `3m12s`, `2h05m`, `4d03h`.
pub(crate) fn human(ns: u64) -> String {
    const UNITS: [(&str, f64, f64); 3] =
        [("µs", 1e3, 999.5), ("ms", 1e6, 999.5), ("s", 1e9, 59.95)];

    if ns < 1000 {
        return format!("{ns} ns");
    }
    for (unit, size, limit) in UNITS {
        let value = ns as f64 / size;
        if value < limit {
            let decimals = if value < 9.995 {
                2
            } else {
                usize::from(value < 99.95)
            };
            return format!("{value:.decimals$} {unit}");
        }
    }
    let seconds = ns.saturating_add(500_000_000) / 1_000_000_000;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match hours {
        0 => format!("{minutes}m{:02}s", seconds % 60),
        1..100 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{}d{:02}h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        let durations = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (9_995, "10.0 µs"),
            (18_234, "18.2 µs"),
            (99_949, "99.9 µs"),
            (99_950, "100 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (123_456_789, "123 ms"),
            (999_499_999, "999 ms"),
            (999_500_000, "1.00 s"),
            (1_240_000_000, "1.24 s"),
            (59_949_999_999, "59.9 s"),
            (59_950_000_000, "1m00s"),
            (192_000_000_000, "3m12s"),
            (3_599_499_999_999, "59m59s"),
            (3_600_000_000_000, "1h00m"),
            (7_500_000_000_000, "2h05m"),
            (360_000_000_000_000, "4d04h"),
            (u64::MAX, "213503d23h"),
        ];
        for (ns, text) in durations {
            assert_eq!(human(ns), text, "{ns}");
        }
    }

    #[test]
    fn all_but_the_absurd_fit_eight_columns() {
        for exponent in 0..56 {
            for ns in [(1 << exponent) - 1, 1 << exponent] {
                assert!(human(ns).chars().count() <= 7, "{ns}");
            }
        }
    }
}
