//! How files are opened for writing.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{BorrowedFd, RawFd},
        unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, eaccess, geteuid};
use tempfile::TempPath;

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Root's files are for root alone: a recording shows what all users run.
    Recording,
    /// As the umask says.
    Usual,
}

/// A file that can be written to.
#[derive(Debug)]
pub enum NewFile {
    /// A new file without its final name, or a device.
    Open(File),
    /// A descriptor that we inherited, by one of its names in /dev.
    Inherited(File),
    /// A FIFO. To open it is to wait for a reader.
    Fifo(PathBuf),
}

/// The name that a new file gets when it [replaces](Self::replace) the old one. Without that, the
/// new file is removed and the old one stays as it is.
///
/// What is no regular file is written to directly and has no replacement.
#[derive(Debug)]
#[must_use]
pub struct Replacement(Option<(TempPath, PathBuf)>);

impl NewFile {
    /// Opens a file for writing, but leaves an existing regular file alone.
    ///
    /// # Errors
    /// Among others: the name is that of a symbolic link, which is never followed. In a directory
    /// that others can write to, it could lead anywhere.
    pub fn create(path: &Path, access: Access) -> io::Result<(Self, Replacement)> {
        if let Some(fd) = inherited(path) {
            return Ok((Self::Inherited(duplicate(fd)?), Replacement(None)));
        }
        let old = match fs::symlink_metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let Some(old) = old.filter(|old| !old.is_file()) else {
            return beside(path, access);
        };
        let kind = old.file_type();
        if kind.is_symlink() {
            return Err(io::Error::other(
                "it is a symbolic link: give the file itself",
            ));
        }
        if kind.is_fifo() {
            if is_planted(path, old.uid())? {
                return Err(io::Error::other(
                    "another user's FIFO, in a directory that everybody can write to",
                ));
            }
            eaccess(path, AccessFlags::W_OK)?;
            return Ok((Self::Fifo(path.to_owned()), Replacement(None)));
        }
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY)
            .open(path)?;
        Ok((Self::Open(file), Replacement(None)))
    }

    /// The file. Waits for the reader of a FIFO.
    ///
    /// # Errors
    /// A FIFO can't be opened.
    pub fn open(self) -> io::Result<File> {
        match self {
            Self::Open(file) | Self::Inherited(file) => Ok(file),
            Self::Fifo(path) => open_fifo(&path, 0),
        }
    }

    /// The file. A FIFO must have a reader, and never makes a writer wait.
    ///
    /// # Errors
    /// A FIFO can't be opened, or has no reader.
    pub fn open_at_once(self) -> io::Result<File> {
        match self {
            Self::Open(file) | Self::Inherited(file) => Ok(file),
            Self::Fifo(path) => {
                open_fifo(&path, libc::O_NONBLOCK).map_err(|error| match error.raw_os_error() {
                    Some(libc::ENXIO) => {
                        io::Error::other("nobody reads this FIFO: start its reader first")
                    }
                    _ => error,
                })
            }
        }
    }
}

impl Replacement {
    /// Gives the new file its name; an old file of that name is gone.
    ///
    /// # Errors
    /// It can't be renamed.
    pub fn replace(self) -> io::Result<()> {
        match self.0 {
            Some((temporary, path)) => Ok(temporary.persist(path)?),
            None => Ok(()),
        }
    }

    /// Gives the new file its name unless there is an old one.
    ///
    /// # Errors
    /// It can't be renamed.
    pub fn keep_old(self) -> io::Result<()> {
        let Some((temporary, path)) = self.0 else {
            return Ok(());
        };
        match temporary.persist_noclobber(path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            renamed => Ok(renamed?),
        }
    }
}

/// Writes a whole file: the old one stays if that fails.
///
/// # Errors
/// As [`NewFile::create`], or the file can't be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (file, replacement) = NewFile::create(path, Access::Usual)?;
    io::Write::write_all(&mut file.open()?, bytes)?;
    replacement.replace()
}

/// A new file in the same directory, so that it can be renamed.
fn beside(path: &Path, access: Access) -> io::Result<(NewFile, Replacement)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("it is not the name of a file"))?;
    let directory = directory_of(path);
    let mode = match access {
        Access::Recording if geteuid().is_root() => 0o600,
        _ => 0o666,
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    let (file, temporary) = tempfile::Builder::new()
        .prefix(&hidden)
        .make_in(directory, |path| {
            // Appending leaves no gap when a log rotation truncates the file.
            OpenOptions::new()
                .append(true)
                .create_new(true)
                .mode(mode)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)
        })?
        .into_parts();
    let replacement = Replacement(Some((temporary, path.to_owned())));
    Ok((NewFile::Open(file), replacement))
}

fn open_fifo(path: &Path, flags: libc::c_int) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY | flags)
        .open(path)?;
    // It can have been exchanged since it was looked at.
    match file.metadata()?.file_type().is_fifo() {
        true => Ok(file),
        false => Err(io::Error::other("it is no FIFO any more")),
    }
}

/// Whether somebody else may have put a file of this owner there to get what we write. The kernel's
/// `fs.protected_fifos` asks the same, but only of those who would create the file.
fn is_planted(path: &Path, owner: u32) -> io::Result<bool> {
    const STICKY_FOR_ALL: u32 = 0o1002;
    let directory = fs::metadata(directory_of(path))?;
    let is_for_all = directory.mode() & STICKY_FOR_ALL == STICKY_FOR_ALL;
    Ok(is_for_all && owner != geteuid().as_raw() && owner != directory.uid())
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The descriptor that such a name stands for. These names are symbolic links, too, but lead
/// nowhere else.
fn inherited(path: &Path) -> Option<RawFd> {
    match path.to_str()? {
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        other => ["/dev/fd/", "/proc/self/fd/"]
            .iter()
            .find_map(|directory| other.strip_prefix(directory))?
            .parse()
            .ok(),
    }
}

fn duplicate(fd: RawFd) -> io::Result<File> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: dup fails if there is no such descriptor; nothing else is done with the borrow.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(borrowed.try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::fs::{PermissionsExt as _, symlink},
        thread,
    };

    use super::*;

    /// The names of a directory's files.
    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_file_stays_until_it_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.jsonl");
        fs::write(&path, "old").unwrap();
        let (file, replacement) = NewFile::create(&path, Access::Recording).unwrap();
        let mut file = file.open().unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        replacement.replace().unwrap();
        file.write_all(b" and more").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new and more");
        assert_eq!(names(directory.path()), ["run.jsonl"]);
        if geteuid().is_root() {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_without_its_name_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.jsonl");
        drop(NewFile::create(&path, Access::Usual).unwrap());
        assert!(names(directory.path()).is_empty());
        let (_file, replacement) = NewFile::create(&path, Access::Usual).unwrap();
        replacement.keep_old().unwrap();
        assert_eq!(names(directory.path()), ["run.jsonl"]);
        fs::write(&path, "old").unwrap();
        let (_file, replacement) = NewFile::create(&path, Access::Usual).unwrap();
        replacement.keep_old().unwrap();
        assert_eq!(names(directory.path()), ["run.jsonl"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_symbolic_link_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        let link = directory.path().join("link");
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        assert!(write_file(&link, b"no").is_err());
        fs::remove_file(&target).unwrap();
        assert!(write_file(&link, b"no").is_err(), "a dangling link");
        assert_eq!(names(directory.path()), ["link"]);
    }

    #[test]
    fn nobody_elses_fifo_is_written_to() {
        const NOBODY: u32 = 65534;
        if !geteuid().is_root() {
            eprintln!("skipped: giving a file away needs root");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let with_mode = |mode| {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            NewFile::create(&path, Access::Recording)
        };
        assert!(with_mode(0o1777).is_ok(), "our own");
        std::os::unix::fs::chown(&path, Some(NOBODY), None).unwrap();
        assert!(with_mode(0o755).is_ok(), "only we could put it there");
        let error = with_mode(0o1777).unwrap_err();
        assert!(error.to_string().contains("another user's FIFO"), "{error}");
    }

    #[test]
    fn what_is_no_fifo_any_more_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (file, _) = NewFile::create(&path, Access::Recording).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(file.open().is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_rotated_file_has_no_gap() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.jsonl");
        let (file, replacement) = NewFile::create(&path, Access::Usual).unwrap();
        let mut file = file.open().unwrap();
        replacement.replace().unwrap();
        file.write_all(b"before\n").unwrap();
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        file.write_all(b"after\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after\n");
    }

    #[test]
    fn a_fifo_waits_for_its_reader_or_needs_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let fifo = || NewFile::create(&path, Access::Usual).unwrap().0;
        let error = fifo().open_at_once().unwrap_err();
        assert!(error.to_string().contains("reader"), "{error}");
        let reader = thread::spawn({
            let path = path.clone();
            move || {
                let mut text = String::new();
                File::open(path).unwrap().read_to_string(&mut text).unwrap();
                text
            }
        });
        fifo().open().unwrap().write_all(b"hello").unwrap();
        assert_eq!(reader.join().unwrap(), "hello");
        assert!(path.exists());
    }

    #[test]
    fn our_own_descriptors_have_names() {
        let (mut reader, writer) = io::pipe().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&writer);
        let path = PathBuf::from(format!("/dev/fd/{fd}"));
        write_file(&path, b"hello").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert!(write_file(Path::new("/dev/fd/987654"), b"").is_err());
        assert_eq!(inherited(Path::new("/dev/fd/x")), None);
    }

    #[test]
    fn what_is_in_the_way_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(write_file(directory.path(), b"").is_err());
        let nowhere = directory.path().join("no/such/file");
        let error = write_file(&nowhere, b"").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        write_file(Path::new("/dev/null"), b"hello").unwrap();
    }
}
