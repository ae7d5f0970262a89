//! COMMAND's terminal, shown as a part of the screen.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    num::NonZeroU16,
    os::fd::AsFd as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::{
    run::command,
    text::{encode, visible},
};

/// What COMMAND writes, as a terminal shows it, and what is typed for it.
pub(super) struct Pane {
    parser: Mutex<vt100::Parser>,
    master: File,
    version: AtomicU64,
}

impl Pane {
    /// Follows what is written to a terminal of this size.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(master: File, rows: u16, columns: u16) -> io::Result<Arc<Self>> {
        let pane = Arc::new(Self {
            parser: Mutex::new(vt100::Parser::new(not_zero(rows), not_zero(columns), 0)),
            master,
            version: AtomicU64::new(0),
        });
        let reader = Arc::clone(&pane);
        thread::Builder::new()
            .name("command".into())
            .spawn(move || reader.read())?;
        Ok(pane)
    }

    /// Until COMMAND's terminal has hung up.
    fn read(&self) {
        let mut piece = [0; 16 << 10];
        loop {
            let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            match (&self.master).read(&mut piece) {
                Ok(0) => return,
                Ok(length) => {
                    self.parser().process(&piece[..length]);
                    self.version.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    fn parser(&self) -> MutexGuard<'_, vt100::Parser> {
        self.parser.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was written: with the same number, it looks the same.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// What it looks like.
    pub(super) fn screen(&self) -> vt100::Screen {
        self.parser().screen().clone()
    }

    /// COMMAND gets a key. If it reads none, they are lost.
    pub(super) fn key(&self, key: KeyEvent) {
        let is_application = self.parser().screen().application_cursor();
        let _ = (&self.master).write(&bytes(key, is_application));
    }

    /// Writes what it looks like to standard output: it is all that is left of what COMMAND wrote.
    pub(super) fn print(&self) {
        let contents = self.screen().contents();
        let lines: Vec<_> = contents.trim_end().lines().map(visible).collect();
        if !lines.is_empty() {
            let text = lines.join("\n") + "\n";
            let _ = io::stdout().write_all(encode(&text).as_bytes());
        }
    }

    /// The terminal has another size.
    pub(super) fn resize(&self, rows: u16, columns: u16) {
        let size = (not_zero(rows), not_zero(columns));
        let mut parser = self.parser();
        if parser.screen().size() == size {
            return;
        }
        parser.set_size(size.0, size.1);
        let _ = command::resize(&self.master, rows, columns);
    }
}

fn not_zero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN)
}

/// What a terminal sends for a key.
fn bytes(key: KeyEvent, is_application: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if key.modifiers.contains(KeyModifiers::ALT) {
        bytes.push(b'\x1b');
    }
    let cursor = |letter: char| {
        let introducer = if is_application { 'O' } else { '[' };
        format!("\x1b{introducer}{letter}")
    };
    let text = match key.code {
        KeyCode::Char(char) if key.modifiers.contains(KeyModifiers::CONTROL) => {
            match char.to_ascii_lowercase() {
                char @ ('a'..='z' | '[' | '\\' | ']' | '^' | '_') => {
                    bytes.push(char as u8 & 0x1f);
                    String::new()
                }
                // What crossterm makes of Ctrl-\\, Ctrl-], Ctrl-^ and Ctrl-_.
                char @ '4'..='7' => {
                    bytes.push(char as u8 - b'4' + 0x1c);
                    String::new()
                }
                ' ' | '@' => "\0".to_owned(),
                char => char.to_string(),
            }
        }
        KeyCode::Char(char) => char.to_string(),
        KeyCode::Enter => "\r".to_owned(),
        KeyCode::Tab => "\t".to_owned(),
        KeyCode::BackTab => "\x1b[Z".to_owned(),
        KeyCode::Backspace => "\x7f".to_owned(),
        KeyCode::Esc => "\x1b".to_owned(),
        KeyCode::Up => cursor('A'),
        KeyCode::Down => cursor('B'),
        KeyCode::Right => cursor('C'),
        KeyCode::Left => cursor('D'),
        KeyCode::Home => cursor('H'),
        KeyCode::End => cursor('F'),
        KeyCode::Insert => "\x1b[2~".to_owned(),
        KeyCode::Delete => "\x1b[3~".to_owned(),
        KeyCode::PageUp => "\x1b[5~".to_owned(),
        KeyCode::PageDown => "\x1b[6~".to_owned(),
        KeyCode::F(number @ 1..=4) => format!("\x1bO{}", (b'O' + number) as char),
        _ => String::new(),
    };
    bytes.extend(text.bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sent_as_a_terminal_does() {
        let plain = |code| bytes(KeyEvent::new(code, KeyModifiers::NONE), false);
        assert_eq!(plain(KeyCode::Char('é')), "é".as_bytes());
        assert_eq!(plain(KeyCode::Enter), b"\r");
        assert_eq!(plain(KeyCode::Up), b"\x1b[A");
        assert_eq!(plain(KeyCode::F(1)), b"\x1bOP");
        let up = KeyEvent::new(KeyCode::Up, KeyModifiers::NONE);
        assert_eq!(bytes(up, true), b"\x1bOA");
        let control = |char| KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL);
        assert_eq!(bytes(control('c'), false), b"\x03");
        let alt = KeyEvent::new(KeyCode::Char('b'), KeyModifiers::ALT);
        assert_eq!(bytes(alt, false), b"\x1bb");
    }
}
