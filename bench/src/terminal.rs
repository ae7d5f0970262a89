//! A terminal that a tracer draws on, and how much it writes there.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{FromRawFd as _, OwnedFd},
    process::Command,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

/// Its size.
pub(crate) const COLUMNS: u16 = 120;
pub(crate) const ROWS: u16 = 40;

/// A pseudoterminal that is read as it is written to.
pub(crate) struct Terminal {
    written: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// A new one, on which the command will have its standard streams.
    pub(crate) fn of(command: &mut Command) -> io::Result<Self> {
        let size = libc::winsize {
            ws_row: ROWS,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let (mut ours, mut its) = (-1, -1);
        // SAFETY: all pointers are valid or may be null.
        let status = unsafe {
            let none = ptr::null_mut();
            libc::openpty(
                &raw mut ours,
                &raw mut its,
                none,
                ptr::null(),
                &raw const size,
            )
        };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both are new and nobody else's.
        let (ours, its) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(its)) };
        // SAFETY: no pointers.
        unsafe {
            use std::os::fd::AsRawFd as _;
            libc::fcntl(ours.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
        }
        command
            .stdin(its.try_clone()?)
            .stdout(its.try_clone()?)
            .stderr(its)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8");
        let written = Arc::new(Mutex::new(Vec::new()));
        let reader = thread::spawn({
            let written = Arc::clone(&written);
            move || read(File::from(ours), &written)
        });
        Ok(Self { written, reader })
    }

    /// How many bytes were written to it.
    pub(crate) fn written(&self) -> usize {
        lock(&self.written).len()
    }

    /// All that was written to it, once nobody has it open any more.
    pub(crate) fn text(self) -> String {
        // A reader that has panicked leaves what it had read.
        let _ = self.reader.join();
        String::from_utf8_lossy(&lock(&self.written)).into_owned()
    }
}

fn lock(written: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads until nobody has the terminal open, which is an error (EIO).
fn read(mut terminal: File, written: &Mutex<Vec<u8>>) {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = terminal.read(&mut piece) {
        lock(written).extend_from_slice(&piece[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_to_its_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "stty size; test -t 0 && echo done"]);
        let terminal = Terminal::of(&mut command).unwrap();
        let status = command.status().unwrap();
        drop(command);
        assert!(status.success());
        assert_eq!(terminal.text(), format!("{ROWS} {COLUMNS}\r\ndone\r\n"));
    }
}
