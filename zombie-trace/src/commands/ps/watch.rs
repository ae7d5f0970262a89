//! `ps --watch`: looks again and again, until somebody says stop.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Context as _;
use tokio::time::sleep;

use crate::{
    run::signals::{Inherited, Signals},
    sink::{Encoded, Medium as _, Output},
};

/// Shows what `look` gives, at an interval. On a terminal each look takes the place of the one before.
///
/// # Errors
/// Those of `look`; standard output can't be written.
pub(super) fn watch(
    every: Duration,
    look: impl Fn(&Output) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let inherited = Inherited::take().context("cannot set signals up")?;
    let mut signals = Signals::subscribe(&inherited).context("cannot set signals up")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    runtime.block_on(async {
        let mut is_first = true;
        loop {
            match draw(&look, is_first)? {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                drawn => drawn.context("cannot write to standard output")?,
            }
            is_first = false;
            tokio::select! {
                _ = signals.stop(false) => return Ok(()),
                () = sleep(every) => {}
            }
        }
    })
}

/// The outer error is that of `look`.
fn draw(
    look: impl Fn(&Output) -> anyhow::Result<String>,
    is_first: bool,
) -> anyhow::Result<io::Result<()>> {
    let mut output = Output::stdout().context("cannot open standard output")?;
    let text = look(&output)?;
    let screen = output.screen();
    let text = match screen.height {
        Some(height) => on_screen(&text, height),
        None if is_first => text,
        None => format!("\n{text}"),
    };
    let mut encoded = Encoded(&mut output);
    let written = encoded.write_all(text.as_bytes());
    Ok(written.and_then(|()| encoded.flush()))
}

/// From the upper left corner, over what was there before; no more than fits.
fn on_screen(text: &str, height: usize) -> String {
    const HOME: &str = "\x1b[H";
    const CLEAR_LINE: &str = "\x1b[K";
    const CLEAR_BELOW: &str = "\x1b[J";
    let lines: Vec<_> = text.lines().collect();
    // The cursor stays below the last line.
    let room = height.saturating_sub(1);
    let mut drawn = HOME.to_owned();
    let is_cut = lines.len() > room;
    let shown = if is_cut {
        room.saturating_sub(1)
    } else {
        lines.len()
    };
    for line in &lines[..shown] {
        drawn += &format!("{line}{CLEAR_LINE}\n");
    }
    if is_cut && room > 0 {
        drawn += &format!("… {} more lines{CLEAR_LINE}\n", lines.len() - shown);
    }
    drawn + CLEAR_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_never_scrolled() {
        for (height, lines) in [(1, 0), (2, 1), (5, 4), (24, 23)] {
            let text = (0..100).map(|n| format!("{n}\n")).collect::<String>();
            let drawn = on_screen(&text, height);
            assert_eq!(drawn.matches('\n').count(), lines, "{drawn:?}");
        }
        assert_eq!(on_screen("a\nb\n", 24), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert!(on_screen("a\nb\nc\nd\n", 4).contains("\n… 2 more lines\x1b[K\n\x1b[J"));
    }
}
