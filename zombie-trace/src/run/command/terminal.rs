//! A terminal of its own for COMMAND of another user.
//!
//! A program can push characters into the input of its controlling terminal (TIOCSTI): on root's,
//! the shell would execute them. So COMMAND gets a pseudoterminal, and a thread copies between that
//! and the caller's terminal, which is in raw mode meanwhile. What this program itself writes goes
//! through a second one: in raw mode a line feed alone would not begin a new line.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Read, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::fs::{OpenOptionsExt as _, fchown},
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, killpg},
        termios::{
            LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices, Termios, cfmakeraw,
            tcgetattr, tcsetattr,
        },
    },
    unistd::{Pid, User, getpgrp, pipe2, tcgetpgrp},
};

use super::pty::{self, Pty};
use crate::run::signals::{Origin, Received, Sender};

/// How often the caller's terminal is looked at: its size, and whether we are in its foreground.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait for the caller's terminal to take the last output.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Typed characters that COMMAND does not read are kept up to here.
const TYPED_AHEAD: usize = 1 << 16;

/// COMMAND's terminal, until this is dropped: the caller's is then as it was.
#[derive(Debug)]
pub struct Terminal {
    slave: OwnedFd,
    /// COMMAND's standard streams: `None` stays what it is.
    streams: [Option<Stream>; 3],
    null: File,
    /// What our own streams were.
    saved: Vec<(RawFd, OwnedFd)>,
    mode: Arc<Mutex<Mode>>,
    /// Tells the thread to end, by being closed.
    end: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug)]
enum Stream {
    Terminal,
    /// Nothing to read. The keyboard is another program's, such as a pager's in a pipeline.
    Null,
}

impl Terminal {
    /// A terminal for this user; `None` if the caller has none.
    ///
    /// # Errors
    /// No pseudoterminals, too many open files.
    pub fn open(user: &User, signals: Sender) -> io::Result<Option<Self>> {
        let Some(outer) = callers() else {
            return Ok(None);
        };
        let settings = tcgetattr(&outer)?;
        let size = pty::size(&outer)?;
        let command = Pty::like(&settings, size)?;
        // Line feeds stay what they are: what they need is known when they are copied.
        let mut plain = settings.clone();
        plain.output_flags.remove(OutputFlags::OPOST);
        let text = Pty::like(&plain, size)?;
        fchown(&command.slave, Some(user.uid.as_raw()), None)?;

        let is_terminal = [
            io::stdin().is_terminal(),
            io::stdout().is_terminal(),
            io::stderr().is_terminal(),
        ];
        let keyboard = is_terminal[0] && is_terminal[1];
        let mut streams = is_terminal.map(|is_terminal| is_terminal.then_some(Stream::Terminal));
        if is_terminal[0] && !keyboard {
            streams[0] = Some(Stream::Null);
        }
        let mode = Arc::new(Mutex::new(Mode {
            outer: outer.try_clone()?,
            settings,
            is_raw_wanted: false,
            is_raw: false,
        }));
        let (ended, end) = pipe2(OFlag::O_CLOEXEC)?;
        let pump = Pump {
            outer: Some(outer),
            command: Some(command.master),
            text: text.master,
            mode: Arc::clone(&mode),
            signals,
            ended,
            is_keyboard_ours: keyboard,
            to_outer: Vec::new(),
            to_command: Vec::new(),
            size,
        };
        let thread = thread::Builder::new()
            .name("terminal".into())
            .spawn(move || pump.run())?;
        let mut terminal = Self {
            slave: command.slave,
            streams,
            null: File::open("/dev/null")?,
            saved: Vec::new(),
            mode,
            end: Some(end),
            thread: Some(thread),
        };
        for fd in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            if is_terminal[fd as usize] {
                terminal.saved.push((fd, duplicate(fd)?));
                replace(fd, text.slave.as_raw_fd())?;
            }
        }
        Ok(Some(terminal))
    }

    /// A terminal that this program shows. Gives its other side, too: whoever reads and writes that sits
    /// at it.
    ///
    /// # Errors
    /// The caller has no terminal, no pseudoterminals, too many open files.
    pub(crate) fn for_screen(
        user: Option<&User>,
        rows: u16,
        columns: u16,
    ) -> io::Result<(Self, File)> {
        let settings = tcgetattr(io::stdin())?;
        let Pty { master, slave } = Pty::like(&settings, pty::winsize(rows, columns))?;
        if let Some(user) = user {
            fchown(&slave, Some(user.uid.as_raw()), None)?;
        }
        let mode = Mode {
            outer: slave.try_clone()?.into(),
            settings,
            is_raw_wanted: false,
            is_raw: false,
        };
        let terminal = Self {
            slave,
            streams: [Some(Stream::Terminal); 3],
            null: File::open("/dev/null")?,
            saved: Vec::new(),
            mode: Arc::new(Mutex::new(mode)),
            end: None,
            thread: None,
        };
        Ok((terminal, master))
    }

    /// From now on what is typed goes to COMMAND, if the keyboard is ours.
    pub fn engage(&self) {
        let copies = self.thread.is_some();
        self.mode().is_raw_wanted = copies && matches!(self.streams[0], Some(Stream::Terminal));
    }

    /// COMMAND has ended: the caller's terminal is as it was, while our own text still goes through.
    pub fn release(&self) {
        self.mode().restore();
    }

    fn mode(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it the controlling terminal of a forked child that leads its session;
    /// async-signal-safe.
    pub(super) fn take(&self) -> nix::Result<()> {
        let slave = self.slave.as_raw_fd();
        // SAFETY: no pointers.
        Errno::result(unsafe { libc::ioctl(slave, libc::TIOCSCTTY, 0) })?;
        for (fd, stream) in (0..).zip(self.streams) {
            match stream {
                Some(Stream::Terminal) => replace(fd, slave)?,
                Some(Stream::Null) => replace(fd, self.null.as_raw_fd())?,
                None => {}
            }
        }
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.release();
        for (fd, saved) in &self.saved {
            let _ = replace(*fd, saved.as_raw_fd());
        }
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The caller's terminal, opened anew: what is set for this descriptor is not set for others.
fn callers() -> Option<File> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    options.open("/dev/tty").ok().or_else(|| {
        (0..3).find_map(|fd| {
            let terminal = options.open(format!("/proc/self/fd/{fd}")).ok()?;
            terminal.is_terminal().then_some(terminal)
        })
    })
}

fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new, and nobody else's.
    unsafe {
        let copy = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3);
        Ok(OwnedFd::from_raw_fd(Errno::result(copy)?))
    }
}

fn replace(fd: RawFd, by: RawFd) -> nix::Result<()> {
    // SAFETY: no pointers; only standard streams are replaced, which nobody owns.
    Errno::result(unsafe { libc::dup2(by, fd) }).map(drop)
}

/// The mode of the caller's terminal.
#[derive(Debug)]
struct Mode {
    outer: File,
    settings: Termios,
    is_raw_wanted: bool,
    is_raw: bool,
}

impl Mode {
    fn is_foreground(&self) -> bool {
        tcgetpgrp(&self.outer) == Ok(getpgrp())
    }

    /// Makes it raw if that is wanted and it is not: a shell resets it when we are suspended.
    fn keep_raw(&mut self) {
        if !self.is_raw_wanted || !self.is_foreground() {
            return;
        }
        if let Ok(mut settings) = tcgetattr(&self.outer)
            && settings.local_flags.contains(LocalFlags::ICANON)
        {
            cfmakeraw(&mut settings);
            if tcsetattr(&self.outer, SetArg::TCSANOW, &settings).is_ok() {
                self.is_raw = true;
            }
        }
    }

    fn cook(&mut self) {
        // From the background this would suspend us; the shell has reset it then.
        if self.is_foreground() {
            let _ = tcsetattr(&self.outer, SetArg::TCSANOW, &self.settings);
        }
        self.is_raw = false;
    }

    fn restore(&mut self) {
        if self.is_raw_wanted {
            self.is_raw_wanted = false;
            self.cook();
        }
    }
}

/// Copies between terminals.
struct Pump {
    /// `None` once it has hung up.
    outer: Option<File>,
    /// COMMAND's; `None` once it can't be read any more.
    command: Option<File>,
    text: File,
    mode: Arc<Mutex<Mode>>,
    signals: Sender,
    ended: OwnedFd,
    is_keyboard_ours: bool,
    to_outer: Vec<u8>,
    to_command: Vec<u8>,
    size: libc::winsize,
}

/// Which descriptors something can be done with.
struct Ready {
    outer: PollFlags,
    command: PollFlags,
    text: PollFlags,
    ended: PollFlags,
}

impl Pump {
    fn run(mut self) {
        let mut deadline = None;
        loop {
            self.follow_size();
            self.mode().keep_raw();
            let timeout = if deadline.is_some() {
                Duration::from_millis(10)
            } else {
                LOOK
            };
            let ready = self.poll(deadline.is_some(), timeout);
            self.read_keyboard(ready.outer);
            let idle = self.copy_output(&ready);
            if ready
                .ended
                .intersects(PollFlags::POLLIN | PollFlags::POLLHUP)
            {
                deadline.get_or_insert_with(|| Instant::now() + LAST_OUTPUT);
            }
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_late || deadline.is_some() && idle && self.to_outer.is_empty() {
                return;
            }
        }
    }

    fn mode(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, is_ending: bool, timeout: Duration) -> Ready {
        let mut outer = PollFlags::empty();
        {
            let mode = self.mode();
            if self.is_keyboard_ours && mode.is_raw_wanted && mode.is_foreground() {
                outer |= PollFlags::POLLIN;
            }
        }
        // One thing after the other: what the caller's terminal does not take, nobody reads.
        let output = if self.to_outer.is_empty() {
            PollFlags::POLLIN
        } else {
            outer |= PollFlags::POLLOUT;
            PollFlags::empty()
        };
        let mut command = output;
        if !self.to_command.is_empty() {
            command |= PollFlags::POLLOUT;
        }
        let ended = if is_ending {
            PollFlags::empty()
        } else {
            PollFlags::POLLIN
        };
        let wanted = [
            (self.outer.as_ref().map(AsFd::as_fd), outer),
            (self.command.as_ref().map(AsFd::as_fd), command),
            (Some(self.text.as_fd()), output),
            ((!is_ending).then(|| self.ended.as_fd()), ended),
        ];
        let mut fds: Vec<_> = wanted
            .iter()
            .filter_map(|(fd, events)| Some(PollFd::new((*fd)?, *events)))
            .collect();
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut fds, timeout);
        let mut polled = fds.iter();
        let [outer, command, text, ended] = wanted.map(|(fd, _)| {
            fd.and_then(|_| polled.next()?.revents())
                .unwrap_or(PollFlags::empty())
        });
        Ready {
            outer,
            command,
            text,
            ended,
        }
    }

    /// The new size goes to COMMAND's terminal and to our own text's.
    fn follow_size(&mut self) {
        let Some(size) = self.outer.as_ref().and_then(|outer| pty::size(outer).ok()) else {
            return;
        };
        let of = |size: &libc::winsize| (size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
        if of(&size) != of(&self.size) {
            self.size = size;
            let _ = pty::set_size(&self.text, size);
            if let Some(command) = &self.command {
                let _ = pty::set_size(command, size);
            }
        }
    }

    fn read_keyboard(&mut self, ready: PollFlags) {
        let mut typed = [0; 1024];
        let typed = if ready.contains(PollFlags::POLLIN) {
            let outer = self.outer.as_mut();
            match outer.map(|outer| outer.read(&mut typed)) {
                Some(Ok(0)) => None,
                Some(Ok(len)) => Some(&typed[..len]),
                Some(Err(error)) if is_transient(&error) => Some(&[][..]),
                _ => None,
            }
        } else if ready.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
            None
        } else {
            return;
        };
        let Some(typed) = typed else {
            // It has hung up, and so does COMMAND's, which tells COMMAND.
            self.outer = None;
            self.command = None;
            self.to_outer.clear();
            return;
        };
        let settings = self.command.as_ref().and_then(|it| tcgetattr(it).ok());
        let is_typed = |index| {
            settings.as_ref().is_some_and(|settings| {
                let character = settings.control_chars[index as usize];
                settings.local_flags.contains(LocalFlags::ISIG)
                    && character != 0
                    && typed.contains(&character)
            })
        };
        let is_interrupt = is_typed(SpecialCharacterIndices::VINTR);
        let is_suspend = is_typed(SpecialCharacterIndices::VSUSP);
        if self.to_command.len() < TYPED_AHEAD {
            self.to_command.extend_from_slice(typed);
        }
        if is_interrupt {
            self.signals.send(Received {
                signal: libc::SIGINT,
                origin: Origin::Keyboard,
            });
        }
        if is_suspend {
            self.suspend();
        }
    }

    /// Ctrl-Z suspends COMMAND and us, as it would without a terminal between them.
    ///
    /// The kernel does not let it stop COMMAND, as nobody in its session could continue it. What
    /// COMMAND starts in process groups of its own, as a shell does, and a program that deals with
    /// the signal are left alone.
    fn suspend(&mut self) {
        let Some(command) = &self.command else {
            return;
        };
        let Ok(group) = tcgetpgrp(command) else {
            return;
        };
        if group.as_raw() <= 1 || Ok(group) != session(command) || !is_default(group) {
            return;
        }
        let _ = killpg(group, Signal::SIGSTOP);
        self.mode().cook();
        let _ = killpg(getpgrp(), Signal::SIGTSTP);
        // Until that takes effect, in whatever thread; it has none where nobody could continue us.
        thread::sleep(LOOK);
        self.mode().keep_raw();
        let _ = killpg(group, Signal::SIGCONT);
    }

    /// The mode stays what it is meanwhile. Gives whether there was nothing to read.
    fn copy_output(&mut self, ready: &Ready) -> bool {
        let mode = Arc::clone(&self.mode);
        let mode = mode.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = self.read_output(ready, mode.is_raw);
        self.write();
        idle
    }

    fn read_output(&mut self, ready: &Ready, is_raw: bool) -> bool {
        if !self.to_outer.is_empty() {
            return false;
        }
        let readable = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let mut piece = [0; 4096];
        if ready.command.intersects(readable)
            && let Some(command) = &mut self.command
        {
            match command.read(&mut piece) {
                Ok(len @ 1..) => self.to_outer.extend_from_slice(&piece[..len]),
                Err(error) if is_transient(&error) => {}
                // It has hung up.
                _ => self.command = None,
            }
        }
        if ready.text.intersects(readable)
            && let Ok(len) = self.text.read(&mut piece)
        {
            for byte in &piece[..len] {
                if is_raw && *byte == b'\n' {
                    self.to_outer.push(b'\r');
                }
                self.to_outer.push(*byte);
            }
        }
        self.to_outer.is_empty()
    }

    fn write(&mut self) {
        match &mut self.outer {
            Some(outer) => write_some(outer, &mut self.to_outer),
            None => self.to_outer.clear(),
        }
        match &mut self.command {
            Some(command) => write_some(command, &mut self.to_command),
            None => self.to_command.clear(),
        }
    }
}

/// Writes what fits. What can't be written is dropped.
fn write_some(file: &mut File, bytes: &mut Vec<u8>) {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return,
            Ok(len) => drop(bytes.drain(..len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => bytes.clear(),
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// The session of a pseudoterminal, by its master.
fn session(master: impl AsFd) -> nix::Result<Pid> {
    // SAFETY: the kernel writes a pid.
    unsafe {
        let mut session = 0;
        let fd = master.as_fd().as_raw_fd();
        Errno::result(libc::ioctl(fd, libc::TIOCGSID, &raw mut session))?;
        Ok(Pid::from_raw(session))
    }
}

/// Whether a process neither ignores nor handles SIGTSTP.
fn is_default(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let has = |key: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .map(|mask| mask & 1 << (libc::SIGTSTP - 1) != 0)
    };
    has("SigIgn:") == Some(false) && has("SigCgt:") == Some(false)
}
