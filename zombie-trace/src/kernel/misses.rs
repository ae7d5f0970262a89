use std::{
    cell::Cell,
    fs::File,
    io::{self, Read as _, Seek as _},
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
};

use crate::system::privilege;

/// How often the kernel skipped a program (`recursion_misses`, 5.12 and later).
#[derive(Debug)]
pub(super) struct Misses {
    /// /proc/PID/fdinfo of the program; open, as a process that changes its user can't open it any
    /// more.
    info: File,
    /// Keeps the program, and so its count, when it is detached and aya closes its descriptor.
    _program: OwnedFd,
    last: Cell<u64>,
    /// No later reading counts.
    is_final: Cell<bool>,
}

impl Misses {
    /// Those of a program.
    pub(super) fn of(program: &impl AsFd) -> io::Result<Self> {
        let program = program.as_fd().try_clone_to_owned()?;
        let path = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
        Ok(Self {
            info: privilege::with_own_fdinfo(|| File::open(&path))?,
            _program: program,
            last: Cell::new(0),
            is_final: Cell::new(false),
        })
    }

    /// How many there are so far. If that can't be read, it is as many as before.
    pub(super) fn count(&self) -> u64 {
        if !self.is_final.get() {
            let now = self.read().unwrap_or(0).max(self.last.get());
            self.last.set(now);
        }
        self.last.get()
    }

    /// Counts for the last time: from now on there are no more.
    pub(super) fn close(&self) {
        self.count();
        self.is_final.set(true);
    }

    fn read(&self) -> Option<u64> {
        let mut text = String::new();
        let mut info = &self.info;
        info.rewind().ok()?;
        info.read_to_string(&mut text).ok()?;
        number(&text, "recursion_misses:")
    }
}

/// The number that follows a key in a file of /proc.
pub(super) fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    fn misses(info: File) -> Misses {
        Misses {
            _program: info.as_fd().try_clone_to_owned().unwrap(),
            info,
            last: Cell::new(0),
            is_final: Cell::new(false),
        }
    }

    #[test]
    fn a_count_that_is_gone_stays_as_it_was() {
        let path = std::env::temp_dir().join(format!("misses-{}", std::process::id()));
        let mut writer = File::create(&path).unwrap();
        writer
            .write_all(b"prog_type:\t26\nrecursion_misses:\t3\n")
            .unwrap();
        let misses = misses(File::open(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert_eq!(misses.count(), 3);
        // As the fdinfo of a closed descriptor.
        writer.set_len(0).unwrap();
        assert_eq!(misses.count(), 3);
        writer.rewind().unwrap();
        writer.write_all(b"recursion_misses:\t4\n").unwrap();
        assert_eq!(misses.count(), 4);
        // The end of the run: it counts once more, and then no more.
        writer.rewind().unwrap();
        writer.write_all(b"recursion_misses:\t5\n").unwrap();
        misses.close();
        writer.rewind().unwrap();
        writer.write_all(b"recursion_misses:\t6\n").unwrap();
        assert_eq!(misses.count(), 5);
    }

    #[test]
    fn the_descriptor_outlives_its_original() {
        let original = File::open("/proc/self/status").unwrap();
        let misses = Misses::of(&original).unwrap();
        drop(original);
        let mut text = String::new();
        (&misses.info).read_to_string(&mut text).unwrap();
        assert!(text.contains("pos:"), "{text:?}");
        assert_eq!(misses.count(), 0);
    }
}
