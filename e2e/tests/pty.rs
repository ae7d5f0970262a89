//! A terminal, from the side of the one who sits at it.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::{Child, Command},
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::command::before_exec;

/// No test needs longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A pseudoterminal whose screen is read as it is written.
pub(crate) struct Pty {
    keyboard: Option<File>,
    pub(crate) terminal: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
    is_open: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Pty {
    pub(crate) fn open(rows: u16, columns: u16) -> Result<Self, String> {
        let size = size(rows, columns);
        let (mut controller, mut terminal) = (-1, -1);
        // SAFETY: both descriptors and `size` are valid; no name and no attributes are asked for.
        let result = unsafe {
            let (one, two) = (&raw mut controller, &raw mut terminal);
            libc::openpty(one, two, ptr::null_mut(), ptr::null(), &raw const size)
        };
        if result != 0 {
            return Err(format!("openpty: {}", io::Error::last_os_error()));
        }
        for fd in [controller, terminal] {
            // SAFETY: no pointers.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        // SAFETY: fresh descriptors that nobody else owns.
        let (keyboard, terminal) = unsafe {
            (
                File::from_raw_fd(controller),
                OwnedFd::from_raw_fd(terminal),
            )
        };
        let screen = Arc::new(Mutex::new(Vec::new()));
        let is_open = Arc::new(AtomicBool::new(true));
        let watched = keyboard.try_clone().map_err(|error| error.to_string())?;
        let watcher = thread::spawn({
            let (screen, is_open) = (Arc::clone(&screen), Arc::clone(&is_open));
            move || watch(watched, &screen, &is_open)
        });
        Ok(Self {
            keyboard: Some(keyboard),
            terminal,
            screen,
            is_open,
            watcher: Some(watcher),
        })
    }

    /// Starts a program that leads a session on this terminal, with its standard streams there.
    pub(crate) fn start(&self, mut command: Command) -> Result<Child, String> {
        let clone = || self.terminal.try_clone().map_err(|error| error.to_string());
        command.stdin(clone()?).stdout(clone()?).stderr(clone()?);
        self.start_with_streams(command)
    }

    /// As [`start`](Self::start), but its standard streams are what they are.
    pub(crate) fn start_with_streams(&self, mut command: Command) -> Result<Child, String> {
        let terminal = self.terminal.as_raw_fd();
        before_exec(&mut command, move || {
            // SAFETY: no pointers.
            let result = unsafe {
                libc::setsid();
                libc::ioctl(terminal, libc::TIOCSCTTY, 0)
            };
            match result {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
        command
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))
    }

    /// What is on the screen.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("not poisoned")).into_owned()
    }

    /// Waits until this is on the screen.
    pub(crate) fn wait(&self, part: &str) -> Result<(), String> {
        until(&format!("{part:?} on the screen"), || {
            Ok(self.text().contains(part))
        })
        .map_err(|error| format!("{error}:\n{}", self.text()))
    }

    /// Types something.
    pub(crate) fn enter(&mut self, text: &str) -> Result<(), String> {
        let keyboard = self.keyboard.as_mut().expect("not hung up");
        keyboard
            .write_all(text.as_bytes())
            .map_err(|error| error.to_string())
    }

    /// Closes the window.
    pub(crate) fn hang_up(&mut self) {
        self.is_open.store(false, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            watcher.join().expect("the watcher");
        }
        self.keyboard = None;
    }

    /// Gives the window another size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = size(rows, columns);
        let keyboard = self.keyboard.as_ref().expect("not hung up");
        // SAFETY: the structure lives.
        unsafe { libc::ioctl(keyboard.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    }

    /// The terminal's settings.
    pub(crate) fn settings(&self) -> [libc::tcflag_t; 4] {
        // SAFETY: plain data, which the kernel fills in.
        let settings = unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            libc::tcgetattr(self.terminal.as_raw_fd(), &raw mut settings);
            settings
        };
        [
            settings.c_iflag,
            settings.c_oflag,
            settings.c_cflag,
            settings.c_lflag,
        ]
    }

    /// How many characters wait to be read from it.
    pub(crate) fn typed(&self) -> i32 {
        let mut len = 0;
        // SAFETY: the kernel writes a number. Raw, so that no line needs to be complete.
        unsafe {
            let terminal = self.terminal.as_raw_fd();
            let mut settings: libc::termios = std::mem::zeroed();
            libc::tcgetattr(terminal, &raw mut settings);
            libc::cfmakeraw(&raw mut settings);
            libc::tcsetattr(terminal, libc::TCSANOW, &raw const settings);
            libc::ioctl(terminal, libc::FIONREAD, &raw mut len);
        }
        len
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.hang_up();
    }
}

fn watch(mut controller: File, screen: &Mutex<Vec<u8>>, is_open: &AtomicBool) {
    let mut piece = [0; 4096];
    while is_open.load(Ordering::Relaxed) {
        let mut poll = libc::pollfd {
            fd: controller.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid structure.
        if unsafe { libc::poll(&raw mut poll, 1, 20) } < 1 {
            continue;
        }
        match controller.read(&mut piece) {
            Ok(len @ 1..) => screen
                .lock()
                .expect("not poisoned")
                .extend_from_slice(&piece[..len]),
            _ => return,
        }
    }
}

fn size(rows: u16, columns: u16) -> libc::winsize {
    libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Waits for a condition.
pub(crate) fn until(
    what: &str,
    mut holds: impl FnMut() -> Result<bool, String>,
) -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    while !holds()? {
        if Instant::now() > deadline {
            return Err(format!("not within {LIMIT:?}: {what}"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Waits for a program's end; gives its exit code, or minus the signal that killed it.
pub(crate) fn end_of(child: &mut Child) -> Result<i32, String> {
    use std::os::unix::process::ExitStatusExt;
    let mut status = None;
    let ended = until("its end", || {
        status = child.try_wait().map_err(|error| error.to_string())?;
        Ok(status.is_some())
    });
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended?;
    let status = status.expect("set");
    Ok(status
        .code()
        .unwrap_or_else(|| -status.signal().expect("a signal")))
}

/// The first number that follows a label.
pub(crate) fn number_after(text: &str, label: &str) -> Option<i32> {
    text.split(label).skip(1).find_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest[..end].parse().ok()
    })
}
