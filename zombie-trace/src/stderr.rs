//! Messages on standard error.

use std::{
    io::{self, Write},
    os::fd::AsFd as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::text::{encode, visible};

/// Something that the user should know.
pub fn warn(text: &str) {
    say(&format!("zombie-trace: warning: {text}"));
}

/// Why the program ends with status 1.
pub fn fail(error: &anyhow::Error) {
    let text = format!("{error:#}");
    say(&format!("zombie-trace: {text}"));
    if is_about_open_files(&text) {
        say(
            "zombie-trace: raise the limit of open files: `ulimit -n 1024`, or LimitNOFILE=1024 in a \
             systemd unit",
        );
    }
}

/// By the text: some libraries keep the error itself to themselves.
fn is_about_open_files(text: &str) -> bool {
    text.contains("(os error 24)") || text.contains("EMFILE")
}

/// Writes to stderr. A run goes on without the message if nobody reads it.
///
/// Whatever names the text holds, it can't move the cursor, and no line of it looks like another
/// message or like a command to a log: lines after the first are indented.
pub fn say(text: &str) {
    write(&safe(text));
}

/// Text that is safe to write to stderr, as [`say`] does.
pub fn safe(text: &str) -> String {
    let mut safe = String::new();
    for (index, line) in text.replace('\t', "  ").lines().enumerate() {
        if index > 0 {
            safe.push('\n');
            if !line.is_empty() && !line.starts_with("  ") {
                safe.push_str("  ");
            }
        }
        safe.push_str(&visible(line));
    }
    safe
}

/// A command to GitHub's runner, whose parts are escaped.
pub(crate) fn workflow_command(line: &str) {
    write(line);
}

fn write(text: &str) {
    let _ = Stderr.write_all(format!("{}\n", encode(text)).as_bytes());
}

/// What takes a live line off the terminal; empty if there is none. A message must not stand behind
/// one.
static LIVE_LINE: Mutex<String> = Mutex::new(String::new());

/// Draws a live line, which `erase` takes off the terminal again before anything else is written.
/// `prepare` is for a terminal that has none.
pub(crate) fn draw_live_line(prepare: &str, draw: &str, erase: &str) {
    let mut shown = LIVE_LINE.lock().unwrap_or_else(PoisonError::into_inner);
    let prepare = if shown.is_empty() { prepare } else { "" };
    if put(format!("{prepare}{draw}").as_bytes()).is_ok() {
        erase.clone_into(&mut shown);
    }
}

/// Takes the live line off the terminal, if there is one.
pub(crate) fn erase_live_line() {
    let mut shown = LIVE_LINE.lock().unwrap_or_else(PoisonError::into_inner);
    if !shown.is_empty() && put(shown.as_bytes()).is_ok() {
        shown.clear();
    }
}

/// Messages that wait for the terminal to be free; `None` if it is.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// As many bytes of messages are held.
const MOST_HELD: usize = 64 << 10;

/// From now on, messages wait: something else draws on the whole terminal.
pub(crate) fn hold() {
    HELD.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default();
}

/// What messages were held since `from`, a number of bytes. Gives the number until now.
pub(crate) fn held_since(from: usize) -> (String, usize) {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let held = held.as_deref().unwrap_or_default();
    let new = held.get(from..).unwrap_or_default();
    (String::from_utf8_lossy(new).into_owned(), held.len())
}

/// The terminal is free again: writes the messages that were held.
pub(crate) fn release() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(held) = held.filter(|held| !held.is_empty()) {
        // Piece by piece, as far as somebody reads it.
        let mut rest = &held[..];
        while let Ok(written @ 1..) = Stderr.write(rest) {
            rest = &rest[written..];
        }
    }
}

/// Standard error, which makes nobody wait for long: a terminal can be stopped, and a pipe full.
#[derive(Clone, Copy, Debug)]
pub struct Stderr;

/// How many ms a message waits for a reader.
const PATIENCE: u8 = 100;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(held) = HELD.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let room = MOST_HELD.saturating_sub(held.len());
            held.extend_from_slice(&bytes[..bytes.len().min(room)]);
            return Ok(bytes.len());
        }
        erase_live_line();
        put(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as much as is sure to find room.
fn put(bytes: &[u8]) -> io::Result<usize> {
    // The last message was not read: the next one does not wait.
    static IS_STUCK: AtomicBool = AtomicBool::new(false);

    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let timeout = match IS_STUCK.load(Ordering::Relaxed) {
        true => PollTimeout::ZERO,
        false => PATIENCE.into(),
    };
    let is_stuck = loop {
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => {}
            ready => break ready == Ok(0),
        }
    };
    IS_STUCK.store(is_stuck, Ordering::Relaxed);
    if is_stuck {
        return Err(io::ErrorKind::TimedOut.into());
    }
    // A pipe that is not full has room for that much.
    stderr
        .lock()
        .write(&bytes[..bytes.len().min(libc::PIPE_BUF)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_recognised() {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        assert!(is_about_open_files(&error.to_string()));
        assert!(is_about_open_files(&Errno::EMFILE.to_string()));
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        assert!(!is_about_open_files(&error.to_string()));
    }

    #[test]
    fn no_name_can_fake_a_message() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a\tb", "a  b"),
            ("\x1b]0;pwned\x07", r"\x1b]0;pwned\x07"),
            ("\u{202e}\u{9b}", r"\u{202e}\u{9b}"),
            ("::error::x", r"\x3a:error::x"),
            ("a\n::error::x", "a\n  \\x3a:error::x"),
            ("a\nzombie-trace: b\n\n  c", "a\n  zombie-trace: b\n\n  c"),
            ("a\rb", r"a\x0db"),
        ] {
            assert_eq!(safe(text), expected);
        }
    }
}
