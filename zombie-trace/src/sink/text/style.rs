use anstyle::{AnsiColor, Style};

pub(super) const PLAIN: Style = Style::new();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const HEADING: Style = Style::new().bold();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const WARNING: Style = AnsiColor::Red.on_default().bold();
const SLOW: Style = AnsiColor::Yellow.on_default();

/// By how bad a zombie time is: below 1 ms nobody minds, from 1 s on somebody should.
pub(super) fn of_zombie(ns: u64) -> Style {
    match ns {
        0..1_000_000 => DIM,
        1_000_000..10_000_000 => PLAIN,
        10_000_000..1_000_000_000 => SLOW,
        _ => WARNING,
    }
}

/// The text in that style.
pub(super) fn paint(text: &str, style: Style, color: bool) -> String {
    if color && !style.is_plain() && !text.is_empty() {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}
