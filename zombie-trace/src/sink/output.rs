use std::{
    fs::File,
    io::{self, IsTerminal, Seek, SeekFrom, Write},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::Arc,
};

use anstream::{AutoStream, ColorChoice};
use terminal_size::terminal_size_of;

use super::compressor::Compressor;
use crate::{system::NewFile, text::ColorWhen};

/// Beyond this much, whole lines are written without waiting for a flush.
const ENOUGH: usize = 64 * 1024;

/// What a sink writes to.
pub trait Medium: Write {
    /// Nothing more comes: what was held back is written, and what marks the end.
    fn end(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// What it is shown on.
    fn screen(&self) -> Screen {
        Screen::default()
    }

    /// Whether it can take another line. If not, nobody reads it, or not fast enough.
    fn has_room(&mut self) -> bool {
        true
    }
}

/// What text is shown on.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    /// How many columns a terminal has.
    pub width: Option<usize>,
    /// How many rows a terminal has.
    pub height: Option<usize>,
    /// Whether `--color auto` means colours: that depends on whether it is a terminal, and on
    /// NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM.
    pub wants_color: bool,
    /// The terminal, whose size can change.
    terminal: Option<Arc<File>>,
}

impl Screen {
    /// The screen that a file is.
    pub fn of(file: &File) -> Self {
        let terminal = file.is_terminal().then(|| file.try_clone().ok()).flatten();
        let screen = Self {
            width: None,
            height: None,
            wants_color: AutoStream::choice(file) != ColorChoice::Never,
            terminal: terminal.map(Arc::new),
        };
        screen.now()
    }

    /// The same with its present size.
    pub fn now(&self) -> Self {
        let size = self.terminal.as_ref().and_then(terminal_size_of);
        Self {
            width: size.map(|(width, _)| width.0.into()),
            height: size.map(|(_, height)| height.0.into()),
            ..self.clone()
        }
    }

    /// Whether to use colours.
    pub fn colored(&self, when: ColorWhen) -> bool {
        match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => self.wants_color,
        }
    }
}

impl Medium for Vec<u8> {}

impl<M: Medium> Medium for &mut M {
    fn end(&mut self) -> io::Result<()> {
        (**self).end()
    }

    fn screen(&self) -> Screen {
        (**self).screen()
    }

    fn has_room(&mut self) -> bool {
        (**self).has_room()
    }
}

/// Where a sink writes to: standard output, a file, or a descriptor that we inherited.
///
/// It holds back what was written until [`Write::flush`], or until it is much, and it passes on
/// whole lines only. Where a write fails half-way, as on a full disk, a regular file is cut back
/// to its last whole line. That a pipe's reader has gone shows as [`io::ErrorKind::BrokenPipe`].
///
/// A file whose name ends in `.zst` is compressed: up to each flush it can be read back.
#[derive(Debug)]
pub struct Output {
    target: Target,
    buffer: Vec<u8>,
    compressor: Option<Compressor>,
}

#[derive(Debug)]
enum Target {
    /// Ours alone.
    Own(File),
    /// COMMAND may write to it as well, so it is never cut.
    Shared(File),
}

impl Output {
    /// The standard output.
    pub fn stdout() -> io::Result<Self> {
        Ok(Self::new(Target::Own(duplicate(io::stdout().as_fd())?)))
    }

    /// A descriptor that COMMAND inherits as well.
    pub fn inherited(file: File) -> Self {
        Self::new(Target::Shared(file))
    }

    /// A new file. Waits for the reader of a FIFO.
    pub fn create(path: &Path, file: NewFile) -> io::Result<Self> {
        match file {
            NewFile::Inherited(file) => Ok(Self::inherited(file)),
            file => Self::file(path, file.open()?),
        }
    }

    /// A file, compressed if its name says so.
    pub fn file(path: &Path, file: File) -> io::Result<Self> {
        let compressed = path.extension().is_some_and(|extension| extension == "zst");
        Ok(Self {
            compressor: compressed.then(Compressor::new).transpose()?,
            ..Self::new(Target::Own(file))
        })
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            buffer: Vec::new(),
            compressor: None,
        }
    }

    /// How many columns it has, if it is a terminal.
    pub fn width(&self) -> Option<usize> {
        self.screen().width
    }

    /// Whether to use colours.
    pub fn colored(&self, when: ColorWhen) -> bool {
        self.screen().colored(when)
    }

    /// Passes on so many bytes, which are whole lines unless it is for good.
    fn pass_on(&mut self, len: usize) -> io::Result<()> {
        let Some(compressor) = &mut self.compressor else {
            return self.target.write_out(&mut self.buffer, len, whole_lines);
        };
        if len > 0 {
            compressor.piece(&self.buffer[..len])?;
            self.buffer.drain(..len);
        }
        self.target.write_whole(compressor.ready())
    }
}

impl Target {
    fn file(&self) -> &File {
        match self {
            Self::Own(file) | Self::Shared(file) => file,
        }
    }

    /// All of it or nothing.
    fn write_whole(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.write_out(bytes, bytes.len(), |_| 0)
    }

    /// Moves the first `len` bytes to the file. If that fails, the file ends with the last of them
    /// that are `whole`.
    fn write_out(
        &self,
        bytes: &mut Vec<u8>,
        len: usize,
        whole: impl Fn(&[u8]) -> usize,
    ) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            if written == len {
                break Ok(());
            }
            let mut file = self.file();
            match file.write(&bytes[written..len]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(err) = wait_until_writable(file.as_fd()) {
                        break Err(err);
                    }
                }
                Err(err) => break Err(err),
            }
        };
        if result.is_err() {
            let torn = written - whole(&bytes[..written]);
            if torn > 0 && self.cut(torn).is_ok() {
                written -= torn;
            }
        }
        bytes.drain(..written);
        result
    }

    /// Takes back the last `torn` bytes, if they are still the end of a regular file.
    fn cut(&self, torn: usize) -> io::Result<()> {
        let mut file = match self {
            Self::Own(file) => file,
            Self::Shared(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let metadata = file.metadata()?;
        let end = file.stream_position()?;
        let torn = torn as u64;
        if !metadata.is_file() || metadata.len() != end || end < torn {
            return Err(io::ErrorKind::Unsupported.into());
        }
        file.set_len(end - torn)?;
        file.seek(SeekFrom::Start(end - torn))?;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= ENOUGH {
            self.pass_on(whole_lines(&self.buffer))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on(self.buffer.len())
    }
}

impl Medium for Output {
    fn end(&mut self) -> io::Result<()> {
        self.flush()?;
        let Some(compressor) = &mut self.compressor else {
            return Ok(());
        };
        compressor.end()?;
        self.target.write_whole(compressor.ready())
    }

    fn screen(&self) -> Screen {
        Screen::of(self.target.file())
    }
}

/// Its own file over the same open file: what is written is not buffered a second time.
fn duplicate(fd: BorrowedFd<'_>) -> io::Result<File> {
    Ok(fd.try_clone_to_owned()?.into())
}

/// The length of `bytes` up to and with its last newline.
pub(super) fn whole_lines(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |newline| newline + 1)
}

/// Others that share a terminal or a pipe can make it non-blocking.
fn wait_until_writable(fd: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: `poll` is one valid, writable pollfd, and `fd` is borrowed for the whole call.
    if unsafe { libc::poll(&raw mut poll, 1, -1) } < 0 {
        let err = io::Error::last_os_error();
        if err.kind() != io::ErrorKind::Interrupted {
            return Err(err);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::fd::OwnedFd, process::Command, thread, time::Duration};

    use super::*;
    use crate::system::Access;

    const LINE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef\n";

    fn create(path: &Path) -> io::Result<Output> {
        let (file, replacement) = NewFile::create(path, Access::Usual)?;
        replacement.replace()?;
        Output::create(path, file)
    }

    fn pipe(target: fn(File) -> Target) -> (File, Output) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        (reader.into(), Output::new(target(writer.into())))
    }

    #[test]
    fn holds_back_until_flushed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut output = create(file.path()).unwrap();
        output.write_all(b"one\n").unwrap();
        assert_eq!(fs::read(file.path()).unwrap(), b"");
        output.flush().unwrap();
        assert_eq!(fs::read(file.path()).unwrap(), b"one\n");
    }

    #[test]
    fn much_is_written_in_whole_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut output = create(file.path()).unwrap();
        while output.buffer.len() < ENOUGH - LINE.len() {
            output.write_all(LINE.as_bytes()).unwrap();
        }
        output.write_all(LINE.as_bytes()).unwrap();
        output.write_all(b"begun").unwrap();
        let written = fs::read_to_string(file.path()).unwrap();
        assert!(written.len() >= ENOUGH - LINE.len());
        assert!(written.ends_with('\n'));
    }

    #[test]
    fn a_reader_that_has_gone_is_a_broken_pipe() {
        let (reader, mut output) = pipe(Target::Own);
        drop(reader);
        output.write_all(b"one\n").unwrap();
        assert_eq!(
            output.flush().unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[test]
    fn a_full_device_is_an_error() {
        let mut output = create(Path::new("/dev/full")).unwrap();
        output.write_all(b"one\n").unwrap();
        assert_eq!(
            output.flush().unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
    }

    #[test]
    fn a_slow_non_blocking_pipe_loses_nothing() {
        let (mut reader, mut output) = pipe(Target::Own);
        // SAFETY: the descriptor is open, and F_SETFL takes flags.
        let set = unsafe {
            use std::os::fd::AsRawFd;
            libc::fcntl(
                output.target.file().as_raw_fd(),
                libc::F_SETFL,
                libc::O_NONBLOCK,
            )
        };
        assert_eq!(set, 0);
        let lines = LINE.repeat(10_000);
        let slow = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        output.write_all(lines.as_bytes()).unwrap();
        output.flush().unwrap();
        drop(output);
        assert_eq!(slow.join().unwrap(), lines);
    }

    #[test]
    fn a_full_disk_keeps_whole_lines() {
        let Some(disk) = TinyDisk::mount() else {
            eprintln!("skipped: mounting a tmpfs needs root");
            return;
        };
        for stdout in [false, true] {
            let path = disk.0.path().join("out");
            let mut output = create(&path).unwrap();
            if stdout {
                let Target::Own(file) = output.target else {
                    unreachable!("a file")
                };
                output = Output::new(Target::Own(file));
            }
            let error = (0..1000)
                .find_map(|_| {
                    output.write_all(LINE.as_bytes()).unwrap();
                    output.flush().err()
                })
                .expect("the disk is smaller than that");
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            let written = fs::read_to_string(&path).unwrap();
            assert!(written.len() > LINE.len());
            assert_eq!(written.len() % LINE.len(), 0, "no torn line");

            // Room again: the line that failed follows.
            assert_eq!(output.buffer, LINE.as_bytes());
            fs::write(&path, "").unwrap();
            output.target.file().rewind().unwrap();
            output.flush().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), LINE);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_zst_file_is_compressed_and_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.jsonl.zst");
        let mut output = create(&path).unwrap();
        let read = || zstd::decode_all(File::open(&path).unwrap());
        output.write_all(LINE.repeat(1000).as_bytes()).unwrap();
        output.flush().unwrap();
        let flushed = fs::metadata(&path).unwrap().len();
        assert!((1..1000).contains(&flushed), "{flushed}");
        assert!(read().is_err(), "it has no end");
        // Nothing to flush: nothing is written.
        output.flush().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), flushed);

        output.write_all(LINE.as_bytes()).unwrap();
        output.end().unwrap();
        assert_eq!(read().unwrap(), LINE.repeat(1001).as_bytes());
    }

    #[test]
    fn a_full_disk_keeps_whole_blocks_of_a_zst_file() {
        let Some(disk) = TinyDisk::mount() else {
            eprintln!("skipped: mounting a tmpfs needs root");
            return;
        };
        let path = disk.0.path().join("out.zst");
        let mut output = create(&path).unwrap();
        let mut text = String::new();
        let error = (0_u64..)
            .find_map(|number| {
                // Of no pattern, so that it fills the disk.
                let line = format!("{:x}\n", (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                output.write_all(line.as_bytes()).unwrap();
                let failed = output.flush().err();
                if failed.is_none() {
                    text += &line;
                }
                failed
            })
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let mut read = Vec::new();
        let mut decoder = zstd::Decoder::new(File::open(&path).unwrap()).unwrap();
        assert!(decoder.read_to_end(&mut read).is_err(), "it has no end");
        assert_eq!(read, text.as_bytes());

        // Room again, in a file made empty: what failed follows.
        let mut bytes = fs::read(&path).unwrap();
        fs::write(&path, "").unwrap();
        output.target.file().rewind().unwrap();
        output.end().unwrap();
        bytes.extend(fs::read(&path).unwrap());
        let read = zstd::decode_all(&bytes[..]).unwrap();
        assert!(read.starts_with(text.as_bytes()) && read.len() > text.len());
    }

    #[test]
    fn what_is_not_our_end_is_not_cut() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\ntwo").unwrap();
        let other = OwnedFd::from(file.try_clone().unwrap());
        File::from(other).write_all(b" and theirs").unwrap();
        file.seek(SeekFrom::Start(7)).unwrap();
        let output = Output::new(Target::Own(file));
        assert!(output.target.cut(3).is_err());
        assert_eq!(output.target.file().metadata().unwrap().len(), 18);
    }

    #[test]
    fn only_terminals_have_a_width_and_colours() {
        let (_reader, output) = pipe(Target::Shared);
        assert_eq!(output.width(), None);
        assert!(output.colored(ColorWhen::Always));
        assert!(!output.colored(ColorWhen::Never));
    }

    /// A tmpfs of two pages, gone at the end.
    struct TinyDisk(tempfile::TempDir);

    impl TinyDisk {
        fn mount() -> Option<Self> {
            let directory = tempfile::tempdir().unwrap();
            let mounted = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=8k", "tmpfs"])
                .arg(directory.path())
                .status()
                .is_ok_and(|status| status.success());
            mounted.then_some(Self(directory))
        }
    }

    impl Drop for TinyDisk {
        fn drop(&mut self) {
            let unmounted = Command::new("umount").arg(self.0.path()).status();
            assert!(
                unmounted.is_ok_and(|status| status.success()),
                "umount failed"
            );
        }
    }
}
