//! How long a zombie lasted, no more exactly than that is known.

use super::duration::human;
use crate::model::{Flag, Zombie};

/// How long it was a zombie.
pub(crate) fn of(zombie: &Zombie) -> String {
    match is_approximate(&zombie.flags) {
        true => inexact(zombie.zombie_ns, zombie.error_ns),
        false => exact(zombie.zombie_ns, zombie.error_ns),
    }
}

/// Whether the zombie time is not exact.
pub(crate) fn is_approximate(flags: &[Flag]) -> bool {
    flags.contains(&Flag::ApproximateStart) || flags.contains(&Flag::BoundedEnd)
}

/// A time that is exact to `error_ns`: `18.2 µs`, or `<25 µs` where it is below that.
pub(crate) fn exact(ns: u64, error_ns: u64) -> String {
    if ns < error_ns {
        format!("<{}", round(error_ns))
    } else {
        human(ns)
    }
}

/// A round time without the digits that it does not need: `25 µs`.
pub(crate) fn round(ns: u64) -> String {
    human(ns).replace(".00 ", " ").replace(".0 ", " ")
}

/// As [`exact`], or a dash where it is not known.
pub(crate) fn known(ns: Option<u64>, error_ns: u64) -> String {
    ns.map_or_else(|| "-".to_owned(), |ns| exact(ns, error_ns))
}

/// A time that may be wrong by that much: `~3m12s`, or its bound `≤ 1.28 s` where the error is a tenth of it
/// or more.
fn inexact(ns: u64, error_ns: u64) -> String {
    if error_ns < ns / 10 {
        format!("~{}", human(ns))
    } else {
        format!("≤ {}", human(ns.saturating_add(error_ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_figure_is_finer_than_its_error() {
        assert_eq!(exact(24_999, 25_000), "<25 µs");
        assert_eq!(exact(25_000, 25_000), "25.0 µs");
        assert_eq!(exact(999, 1_000), "<1 µs");
        assert_eq!(exact(0, 0), "0 ns");
        assert_eq!(known(None, 1_000), "-");
        assert_eq!(inexact(640_000_000, 640_000_000), "≤ 1.28 s");
        assert_eq!(inexact(192_000_000_000, 2_000_000), "~3m12s");
    }
}
