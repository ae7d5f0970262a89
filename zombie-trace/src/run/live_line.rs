//! One line on a terminal that says how a run is going.

use std::io::{self, IsTerminal as _};

use nix::{
    sys::termios::{LocalFlags, tcgetattr},
    unistd::{getpgrp, tcgetpgrp},
};
use terminal_size::terminal_size_of;

use crate::{
    run::pipeline::SoFar,
    stderr,
    text::{encode, human, lifetime},
};

/// A narrower terminal gets no line.
const LEAST_COLUMNS: usize = 20;

/// Shows a line on standard error, drawn anew in place. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct LiveLine {
    place: Place,
}

/// Where the line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Where the cursor is: nobody else writes to the terminal.
    AtCursor,
    /// In the last row, and the rest scrolls above: COMMAND writes to the terminal, and neither its
    /// rows nor a prompt of it may be written over.
    LastRow,
}

impl LiveLine {
    /// `None` if standard error is no terminal that can draw in place.
    pub(crate) fn open(with_command: bool) -> Option<Self> {
        let is_plain =
            std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if is_plain || !io::stderr().is_terminal() {
            return None;
        }
        let place = match with_command && io::stdout().is_terminal() {
            true => Place::LastRow,
            false => Place::AtCursor,
        };
        Some(Self { place })
    }

    /// Draws it, unless the terminal is in another's hands.
    pub(crate) fn show(&self, so_far: &SoFar) {
        let size = terminal_size_of(io::stderr());
        let Some((columns, rows)) = size.filter(|_| !is_taken()) else {
            stderr::erase_live_line();
            return;
        };
        // In the last column, some terminals wrap at once.
        let room = usize::from(columns.0).saturating_sub(1);
        if room < LEAST_COLUMNS || rows.0 < 3 {
            return;
        }
        let text = line(so_far, room);
        let text = encode(&text);
        match self.place {
            Place::AtCursor => {
                stderr::draw_live_line("", &format!("\r{text}\x1b[K"), "\r\x1b[K");
            }
            Place::LastRow => {
                let (last, above) = (rows.0, rows.0 - 1);
                stderr::draw_live_line(
                    // The cursor must not be in the row that we take: a vertical tab, which keeps the
                    // column, moves what it stands in up.
                    "\x0b\x1b[A",
                    &format!("\x1b7\x1b[1;{above}r\x1b[{last};1H{text}\x1b[K\x1b8"),
                    &format!("\x1b7\x1b[r\x1b[{last};1H\x1b[2K\x1b8"),
                );
            }
        }
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        stderr::erase_live_line();
    }
}

/// We are in the background, or a program draws on the whole screen or edits a line.
fn is_taken() -> bool {
    let stderr = io::stderr();
    let is_background = tcgetpgrp(&stderr).is_ok_and(|group| group != getpgrp());
    let is_raw =
        tcgetattr(&stderr).is_ok_and(|modes| !modes.local_flags.contains(LocalFlags::ICANON));
    is_background || is_raw
}

/// As much as fits: the last parts go first.
fn line(so_far: &SoFar, columns: usize) -> String {
    let count = |count: u64, one: &str, more: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {more}"),
    };
    let elapsed = match so_far.elapsed.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => human(seconds * 1_000_000_000),
    };
    let mut parts = vec![
        elapsed,
        count(so_far.exits, "exit", "exits"),
        format!("{} living", so_far.living),
    ];
    if let Some(p99) = so_far.p99_ns {
        parts.push(format!("p99 {}", lifetime::exact(p99, so_far.error_ns)));
    }
    while parts.len() > 1 && width(&parts) > columns {
        parts.pop();
    }
    parts.join(SEPARATOR)
}

const SEPARATOR: &str = " · ";

fn width(parts: &[String]) -> usize {
    parts.join(SEPARATOR).chars().count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn so_far(seconds: u64, exits: u64, living: u64, p99_ns: Option<u64>) -> SoFar {
        SoFar {
            elapsed: Duration::from_secs(seconds),
            exits,
            living,
            p99_ns,
            error_ns: 1000,
        }
    }

    #[test]
    fn it_has_what_is_known() {
        let text = line(&so_far(12, 340, 2, Some(1_240_000)), 79);
        assert_eq!(text, "12 s · 340 exits · 2 living · p99 1.24 ms");
        let text = line(&so_far(3, 1, 0, None), 79);
        assert_eq!(text, "3 s · 1 exit · 0 living");
    }

    #[test]
    fn it_fits() {
        let day = so_far(90_000, 123_456_789, 4_194_304, Some(3_600_000_000_000));
        for columns in LEAST_COLUMNS..100 {
            for run in [day, so_far(1, 2, 3, Some(4))] {
                let text = line(&run, columns);
                assert!(text.chars().count() <= columns, "{columns}: {text}");
            }
        }
        assert_eq!(
            line(&so_far(75, 12_345, 10, Some(18_234)), 39),
            "1m15s · 12345 exits · 10 living"
        );
    }
}
