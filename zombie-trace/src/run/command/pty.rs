//! Pseudoterminals.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc,
    pty::{grantpt, posix_openpt, unlockpt},
    sys::termios::{SetArg, Termios, tcsetattr},
};

/// A pseudoterminal. No program that we execute inherits it by accident.
#[derive(Debug)]
pub(super) struct Pty {
    /// What is written to the terminal can be read here, without blocking.
    pub(super) master: File,
    /// The terminal.
    pub(super) slave: OwnedFd,
}

impl Pty {
    /// One with the settings and the size of another terminal.
    pub(super) fn like(settings: &Termios, size: libc::winsize) -> io::Result<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags | OFlag::O_NONBLOCK)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        // SAFETY: it has no pointers; the descriptor is new, and nobody else's.
        let slave = unsafe {
            let fd = libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags.bits());
            OwnedFd::from_raw_fd(Errno::result(fd)?)
        };
        // SAFETY: nobody else has the descriptor.
        let master = unsafe { File::from_raw_fd(master.into_raw_fd()) };
        tcsetattr(&slave, SetArg::TCSANOW, settings)?;
        set_size(&master, size)?;
        Ok(Self { master, slave })
    }
}

/// A terminal's rows and columns.
pub(super) fn size(terminal: impl AsFd) -> nix::Result<libc::winsize> {
    // SAFETY: the structure is plain data, and the kernel fills it in.
    unsafe {
        let mut size = std::mem::zeroed();
        let fd = terminal.as_fd().as_raw_fd();
        Errno::result(libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size))?;
        Ok(size)
    }
}

/// Sets them; programs in its foreground then get SIGWINCH.
pub(super) fn set_size(terminal: impl AsFd, size: libc::winsize) -> nix::Result<()> {
    // SAFETY: the structure lives during the call.
    let result = unsafe {
        let fd = terminal.as_fd().as_raw_fd();
        libc::ioctl(fd, libc::TIOCSWINSZ, &raw const size)
    };
    Errno::result(result).map(drop)
}

/// Gives a terminal another size.
pub(crate) fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> nix::Result<()> {
    set_size(terminal, winsize(rows, columns))
}

/// A size without pixels.
pub(super) fn winsize(rows: u16, columns: u16) -> libc::winsize {
    libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
