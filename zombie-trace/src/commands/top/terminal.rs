//! The terminal: drawn on as a whole while `top` runs, and as it was afterwards.

use std::{
    io::{self, IsTerminal as _, Stdout, Write as _},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::sys::signal::{SigHandler, Signal, signal};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    buffer::Buffer,
    crossterm::{
        cursor::{Hide, Show},
        event::{self, DisableMouseCapture, EnableMouseCapture},
        execute,
        terminal::{
            Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
            enable_raw_mode,
        },
    },
    layout::Rect,
};

use crate::stderr;

/// The terminal is ours.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Refuses what is no terminal that a screen can be drawn on.
///
/// # Errors
/// It names what can be used instead.
pub(super) fn check() -> anyhow::Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!(
            "top needs a terminal for input and output: use 'zombie-trace' to list zombies, or \
             'zombie-trace record' to record them"
        );
    }
    if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        bail!("top cannot draw on this terminal (TERM): use 'zombie-trace' to list zombies");
    }
    Ok(())
}

/// The screen. The terminal is as before when it is dropped.
pub(super) struct TerminalScreen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl TerminalScreen {
    /// Takes the terminal.
    pub(super) fn enter() -> anyhow::Result<Self> {
        restore_on_panic();
        stderr::hold();
        let screen = take().and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match screen {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error).context("cannot draw on the terminal")
            }
        }
    }

    /// Its size.
    pub(super) fn area(&self) -> io::Result<Rect> {
        let size = self.terminal.size()?;
        Ok(Rect::new(0, 0, size.width, size.height))
    }

    /// Shows what was drawn: only what has changed is written.
    pub(super) fn show(&mut self, drawn: &Buffer) -> io::Result<()> {
        self.terminal.draw(|frame| {
            let area = frame.area().intersection(drawn.area);
            for place in area.positions() {
                frame.buffer_mut()[place] = drawn[place].clone();
            }
        })?;
        Ok(())
    }

    /// Writes to the terminal what shows nothing.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Gives the terminal back for as long as `work` takes.
    pub(super) fn leave<T>(&mut self, work: impl FnOnce() -> T) -> io::Result<T> {
        restore();
        let outcome = work();
        stderr::hold();
        take()?;
        // Its own way to forget what it has drawn asks the terminal where the cursor is, and not every
        // terminal answers.
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(outcome)
    }
}

impl Drop for TerminalScreen {
    fn drop(&mut self) {
        restore();
    }
}

fn take() -> io::Result<()> {
    IS_TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, Hide)
}

/// Makes the terminal what it was, once. Then come the messages that were held meanwhile.
pub(super) fn restore() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(
            io::stdout(),
            DisableMouseCapture,
            LeaveAlternateScreen,
            Show
        );
        let _ = disable_raw_mode();
    }
    stderr::release();
}

/// Keeps changes of the terminal's size from crossterm, which loses a key that comes together with one: it
/// waits for edges, and leaves at the first of two. The loop asks for the size itself.
pub(super) fn keep_resizes_away() -> io::Result<()> {
    // It installs its handler when it is first asked for events.
    event::poll(Duration::ZERO)?;
    // SAFETY: the default, which is to do nothing, runs no code of ours.
    unsafe { signal(Signal::SIGWINCH, SigHandler::SigDfl) }?;
    Ok(())
}

/// A panic message is for the terminal as it was.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            usual(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::Read as _,
        process::{Command, Stdio},
        thread,
    };

    use nix::{pty::openpty, sys::termios::tcgetattr};

    use super::*;

    #[test]
    #[ignore = "the test below runs it on a terminal"]
    fn panics() {
        let _screen = TerminalScreen::enter().unwrap();
        panic!("on purpose");
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let pty = openpty(None, None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        let mut master = File::from(pty.master);
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            // It ends with an error once nobody has the terminal any more.
            let _ = master.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut command = Command::new(std::env::current_exe().unwrap());
        let stdio = || Stdio::from(pty.slave.try_clone().unwrap());
        command.args([
            "--exact",
            "commands::top::terminal::tests::panics",
            "--ignored",
            "--nocapture",
        ]);
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let status = command.status().unwrap();
        drop(command);
        assert!(!status.success());
        assert_eq!(tcgetattr(&pty.slave).unwrap(), before);
        drop(pty.slave);
        let text = reader.join().unwrap();
        let left = text
            .find("\x1b[?1049l")
            .expect("the alternate screen is left");
        let shown = text.find("\x1b[?25h").expect("the cursor is shown");
        let message = text.find("on purpose").expect("the message");
        assert!(left < message && shown < message, "{text:?}");
    }
}
