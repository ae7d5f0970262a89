use std::{ffi::OsStr, fs, path::Path};

use super::Recording;
use crate::model::Start;

/// What tells a recorded run from others, and a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device and inode of a regular file.
    file: Option<(u64, u64)>,
    start: Option<Start>,
}

impl Identity {
    /// That of a recording which was opened by this path.
    pub fn of(recording: &Recording, path: &Path) -> Self {
        Self {
            file: file(path),
            start: recording.start().cloned(),
        }
    }

    /// Both are one file, or copies of one run: no two runs start in the same nanosecond with the
    /// same tracer.
    pub fn is_same_run(&self, other: &Self) -> bool {
        let is_same_file = self.file.is_some() && self.file == other.file;
        is_same_file || (self.start.is_some() && self.start == other.start)
    }
}

fn file(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;

    if path.as_os_str() == OsStr::new("-") {
        return None;
    }
    let metadata = fs::metadata(path).ok()?;
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}
