//! Times in few characters.

use crate::text::human;

/// A time without zeros behind its point: `25 µs`.
pub(super) fn brief(ns: u64) -> String {
    let text = human(ns);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_zeros_stand_behind_the_point() {
        for (ns, text) in [
            (25_000, "25 µs"),
            (1_000_000, "1 ms"),
            (1_240_000_000, "1.24 s"),
            (100_000_000, "100 ms"),
            (192_000_000_000, "3m12s"),
            (0, "0 ns"),
        ] {
            assert_eq!(brief(ns), text);
        }
    }
}
