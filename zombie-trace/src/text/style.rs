use anstyle::{AnsiColor, Style};

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const HEADING: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const WARNING: Style = AnsiColor::Red.on_default().bold();
const SLOW: Style = AnsiColor::Yellow.on_default();

/// By how bad a zombie time is: below 1 ms nobody minds, from 1 s on somebody should.
pub(crate) fn of_zombie(ns: u64) -> Style {
    match ns {
        0..1_000_000 => DIM,
        1_000_000..10_000_000 => PLAIN,
        10_000_000..1_000_000_000 => SLOW,
        _ => WARNING,
    }
}

/// The text in that style.
pub(crate) fn paint(text: &str, style: Style, color: bool) -> String {
    if color && !style.is_plain() && !text.is_empty() {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_times_stand_out_more() {
        for (ns, style) in [
            (0, DIM),
            (999_999, DIM),
            (1_000_000, PLAIN),
            (10_000_000, SLOW),
            (999_999_999, SLOW),
            (1_000_000_000, WARNING),
        ] {
            assert_eq!(of_zombie(ns), style, "{ns}");
        }
    }

    #[test]
    fn paint_adds_nothing_without_need() {
        assert_eq!(paint("x", BAD, false), "x");
        assert_eq!(paint("x", PLAIN, true), "x");
        assert_eq!(paint("", BAD, true), "");
        assert_eq!(paint("x", BAD, true), "\x1b[31mx\x1b[0m");
    }
}
