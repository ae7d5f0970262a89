//! No output may overwrite an input, or another output.

use std::{
    ffi::{OsStr, OsString},
    fmt, fs, io,
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use super::TuningArgs;
use crate::{gate::Format, text};

/// The files of a command line.
#[derive(Debug, Default)]
pub(crate) struct Files {
    inputs: Vec<Named>,
    outputs: Vec<Named>,
    /// What is wrong with the name of an output.
    problems: Vec<String>,
}

/// A file and the argument that names it.
#[derive(Clone, Debug)]
struct Named {
    argument: &'static str,
    path: Option<PathBuf>,
    identity: Option<Identity>,
}

/// The same for all names of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// Device and inode of a regular file or a FIFO. Anything can be written to a device.
    Existing { device: u64, inode: u64 },
    /// Device and inode of the directory where it will be created, and its name there.
    New {
        device: u64,
        inode: u64,
        name: OsString,
    },
}

impl Files {
    /// Adds `--btf`.
    pub(crate) fn tuning(&mut self, args: &TuningArgs) {
        self.input("--btf", args.btf.as_deref());
    }

    /// Adds the file of `--format junit=FILE`.
    pub(crate) fn format(&mut self, format: &Format) {
        if let Format::Junit(path) = format {
            self.file("--format junit=", Some(path));
        }
    }

    /// Adds a file that is read.
    pub(crate) fn input(&mut self, argument: &'static str, path: Option<&Path>) {
        let Some(path) = path else { return };
        let identity = match path == Path::new("-") {
            true => of_stream(io::stdin()),
            false => Identity::existing(path),
        };
        self.inputs.push(Named {
            argument,
            path: Some(path.to_owned()),
            identity,
        });
    }

    /// Adds a file that is written and can't be standard output.
    pub(crate) fn file(&mut self, argument: &'static str, path: Option<&Path>) {
        if path == Some(Path::new("-")) {
            let space = if argument.ends_with('=') { "" } else { " " };
            self.problems.push(format!(
                "{argument}{space}-: it cannot be written to standard output: give a file"
            ));
            return;
        }
        self.output(argument, path);
        if let Some(path) = path.filter(|path| path.extension() == Some(OsStr::new("zst"))) {
            let plain = path.with_extension("");
            self.problems.push(format!(
                "{argument} {}: it is never compressed: give a name such as {}",
                text::path(path),
                text::path(&plain)
            ));
        }
    }

    /// Adds a file that is written.
    pub(crate) fn output(&mut self, argument: &'static str, path: Option<&Path>) {
        let Some(path) = path.filter(|path| !is_stream(path)) else {
            return;
        };
        if let Some(other) = path.extension().filter(|other| is_other_compression(other)) {
            let advice = match argument {
                "--html" | "--perfetto" => "leave that out",
                _ => "zombie-trace compresses to .zst",
            };
            self.problems.push(format!(
                "{argument} {}: it would not be compressed as .{} says: {advice}",
                text::path(path),
                other.display()
            ));
        }
        self.outputs.push(Named {
            argument,
            path: Some(path.to_owned()),
            identity: Identity::of_output(path),
        });
    }

    /// Adds standard output and error, which a shell can have sent to any file.
    pub(crate) fn streams(&mut self) {
        let streams = [
            ("standard output", of_stream(io::stdout())),
            ("standard error", of_stream(io::stderr())),
        ];
        for (argument, identity) in streams {
            self.outputs.push(Named {
                argument,
                path: None,
                identity,
            });
        }
    }

    /// Two arguments name the same file, so one would overwrite the other; or a name promises what the file
    /// would not be.
    pub(crate) fn conflict(&self) -> Option<String> {
        if let Some(problem) = self.problems.first() {
            return Some(problem.clone());
        }
        for (number, output) in self.outputs.iter().enumerate() {
            if let Some(input) = self.inputs.iter().find(|input| input.is(output)) {
                return Some(format!(
                    "{output} would overwrite {input}: give another file"
                ));
            }
            // Both standard streams may go to the same file.
            let mut others = self.outputs[..number].iter();
            if let Some(other) = others.find(|other| other.path.is_some() && other.is(output)) {
                return Some(format!(
                    "{other} and {output} are the same file: give each its own"
                ));
            }
        }
        None
    }
}

impl Named {
    fn is(&self, other: &Self) -> bool {
        self.identity.is_some() && self.identity == other.identity
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.argument)?;
        match &self.path {
            None => Ok(()),
            Some(path) if self.argument.ends_with('=') => write!(f, "{}", path.display()),
            Some(path) => write!(f, " {}", path.display()),
        }
    }
}

impl Identity {
    fn existing(path: &Path) -> Option<Self> {
        Self::of(&fs::metadata(path).ok()?)
    }

    fn of_output(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Ok(metadata) => Self::of(&metadata),
            Err(_) => Self::new(path),
        }
    }

    fn of(metadata: &fs::Metadata) -> Option<Self> {
        let kind = metadata.file_type();
        (kind.is_file() || kind.is_fifo()).then(|| Self::Existing {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    fn new(path: &Path) -> Option<Self> {
        let parent = match path.parent()? {
            parent if parent == Path::new("") => Path::new("."),
            parent => parent,
        };
        let directory = fs::metadata(parent).ok()?;
        Some(Self::New {
            device: directory.dev(),
            inode: directory.ino(),
            name: path.file_name()?.to_owned(),
        })
    }
}

/// Standard output by one of its names.
/// What other programs compress has such a name.
fn is_other_compression(extension: &OsStr) -> bool {
    ["gz", "bz2", "xz", "lz4"]
        .iter()
        .any(|other| extension == *other)
}

fn is_stream(path: &Path) -> bool {
    let streams = ["-", "/dev/stdout", "/dev/stderr"];
    streams
        .iter()
        .any(|name| path.as_os_str() == OsStr::new(name))
}

/// A stream that is a file. Many programs share a pipe.
fn of_stream(stream: impl AsFd) -> Option<Identity> {
    let file = fs::File::from(stream.as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then(|| Identity::of(&metadata))?
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_stream_can_be_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stream = of_stream(File::open(file.path()).unwrap());
        assert!(stream.is_some() && stream == Identity::existing(file.path()));
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(of_stream(reader), None);
    }
}
