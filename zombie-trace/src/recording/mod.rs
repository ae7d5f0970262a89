//! Recorded runs, read back line by line.
//!
//! Only the current line is kept. Reading goes on past a damaged line, and notes it. It notes, too,
//! that the end is missing, or that lines are which the summary counts. See [`Remarks`].

mod error;
mod identity;
mod line;
mod source;
mod tally;

use std::{
    ffi::OsStr,
    fmt,
    io::{self, BufRead, Read},
    path::Path,
};

pub use error::RecordingError;
pub use identity::Identity;
pub use line::{Line, RecordedInterval};
#[cfg(feature = "top")]
pub(crate) use source::seekable;
pub use tally::Missing;

use self::{line::LineError, tally::LineTally};
use crate::{model::Start, text::visible};

/// A bound on memory. The longest line is the summary of a run with as many parents and containers
/// as are kept apart, of some 7 MiB.
const LONGEST_LINE: u64 = 16 << 20;

/// A file whose first lines, as many as this, are damaged is not a recording.
const PATIENCE: u64 = 100;

/// The byte order mark that some editors put first.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// A recorded run: JSON Lines, as they are or compressed with zstd.
///
/// Iterates over the lines that are known. After an error there are no more.
pub struct Recording {
    name: String,
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    start: Option<Start>,
    /// The first line that was read, until it is asked for.
    first: Option<Line>,
    /// How many lines of a known type were read.
    known: u64,
    tally: LineTally,
    remarks: Remarks,
    /// How many bytes were read, as decompressed.
    offset: u64,
    ended: bool,
}

/// What is to be said of a recording besides its lines; final when they have all been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remarks {
    /// How many lines there were.
    pub lines: u64,
    /// How many of them could not be read.
    pub corrupt: u64,
    /// Which was the first of those, from 1.
    pub first_corrupt: Option<u64>,
    /// The first of those that were longer than any that zombie-trace writes.
    pub first_too_long: Option<u64>,
    /// How many were of a type that this version does not know.
    pub unknown: u64,
    /// Why it is not the whole of a run.
    pub cut: Option<Cut>,
    /// Lines that are not there, though the summary counts what they are about.
    pub missing: Vec<Missing>,
}

impl Remarks {
    /// All lines of the run are there and can be read.
    pub fn is_whole(&self) -> bool {
        self.cut.is_none() && self.corrupt == 0 && self.missing.is_empty()
    }

    /// How many lines are not there though the summary counts what they are about.
    pub fn missing_lines(&self) -> u64 {
        let lines = self.missing.iter().map(|missing| missing.lines());
        lines.fold(0, u64::saturating_add)
    }
}

/// Where a recording ends before its run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// In the middle of a line.
    InLine,
    /// In the middle of what is compressed.
    InFrame,
    /// In compressed data that are damaged.
    Damaged,
    /// Between two lines: it has no summary.
    NoSummary,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InLine => "its last line is not whole",
            Self::InFrame => "its compressed data end early",
            Self::Damaged => "its compressed data are damaged",
            Self::NoSummary => "it has no summary: the run was interrupted, or goes on",
        })
    }
}

impl fmt::Display for Remarks {
    /// In one line, for people; empty if the recording is whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        match self.cut {
            // It may be there, as one of those.
            Some(Cut::NoSummary) if self.corrupt > 0 => {
                write!(f, "cut: it has no summary that can be read")?;
                separator = "; ";
            }
            Some(cut) => {
                write!(f, "cut: {cut}; read up to line {}", self.lines)?;
                separator = "; ";
            }
            None => {}
        }
        if let Some(first) = self.first_corrupt {
            match self.corrupt {
                1 if self.first_too_long == Some(first) => {
                    write!(f, "{separator}line {first} is too long and left out")
                }
                1 => write!(f, "{separator}line {first} is damaged and left out"),
                n => write!(
                    f,
                    "{separator}{n} lines, the first of them line {first}, are damaged and left out"
                ),
            }?;
            separator = "; ";
            if let Some(line) = self.first_too_long.filter(|_| self.corrupt > 1) {
                write!(f, "{separator}line {line} is too long")?;
            }
        }
        for missing in &self.missing {
            write!(f, "{separator}{missing}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("name", &self.name)
            .field("remarks", &self.remarks)
            .finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens a file, or standard input for `-`, and reads its first line.
    ///
    /// # Errors
    /// It can't be read, is empty or something else than a recording, or of a schema that is too
    /// new.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let name = match path.as_os_str() == OsStr::new("-") {
            true => "standard input".to_owned(),
            false => path.display().to_string(),
        };
        match source::open(path) {
            Ok(input) => Self::begin(name, input),
            Err(error) => Err(RecordingError::Io {
                name: visible(&name),
                error,
            }),
        }
    }

    /// Reads from something that is already open; `name` is for messages.
    ///
    /// # Errors
    /// As for [`Recording::open`].
    pub fn from_reader(
        name: impl Into<String>,
        input: impl Read + 'static,
    ) -> Result<Self, RecordingError> {
        let name = name.into();
        match source::decompressed(input) {
            Ok(input) => Self::begin(name, input),
            Err(error) => Err(RecordingError::Io {
                name: visible(&name),
                error,
            }),
        }
    }

    fn begin(name: String, input: Box<dyn BufRead>) -> Result<Self, RecordingError> {
        let mut recording = Self {
            name,
            input,
            line: Vec::new(),
            start: None,
            first: None,
            known: 0,
            tally: LineTally::default(),
            remarks: Remarks {
                cut: Some(Cut::NoSummary),
                ..Remarks::default()
            },
            offset: 0,
            ended: false,
        };
        recording.first = recording.advance()?;
        Ok(recording)
    }

    /// The file's name, or what stands for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first line; `None` if the recording has lost its beginning.
    pub fn start(&self) -> Option<&Start> {
        self.start.as_ref()
    }

    /// Where the line after the last one begins, in bytes, in what `seekable` gives.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// What is to be said of it besides its lines.
    pub fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    /// The next line of a known type.
    fn advance(&mut self) -> Result<Option<Line>, RecordingError> {
        while !self.ended {
            let whole = self.read_line()?;
            if self.line.is_empty() {
                continue;
            }
            match line::parse(&self.line) {
                Ok(Some(line)) => {
                    self.known += 1;
                    self.tally.line(&line);
                    self.check(&line)?;
                    return Ok(Some(line));
                }
                // A line at the end without its newline is still whole if it can be read.
                Ok(None) => self.remarks.unknown += 1,
                Err(LineError::Schema { schema, version }) => {
                    return Err(RecordingError::Schema {
                        name: visible(&self.name),
                        schema,
                        version: visible(&version),
                    });
                }
                Err(LineError::Json) if !whole => {
                    self.remarks.lines -= 1;
                    self.remarks.cut = self.remarks.cut.map(|cut| match cut {
                        Cut::NoSummary => Cut::InLine,
                        cut => cut,
                    });
                }
                Err(error) => {
                    let line = self.remarks.lines;
                    self.remarks.corrupt += 1;
                    self.remarks.first_corrupt.get_or_insert(line);
                    if error == LineError::TooLong {
                        self.remarks.first_too_long.get_or_insert(line);
                    }
                    if self.known == 0 && self.remarks.corrupt >= PATIENCE {
                        return Err(self.not_a_recording());
                    }
                }
            }
        }
        if self.remarks.cut.is_none() {
            self.remarks.missing = self.tally.missing(self.remarks.corrupt);
        }
        if self.known == 0 {
            let nothing = self.remarks.lines == 0 && self.remarks.cut == Some(Cut::NoSummary);
            return Err(if nothing {
                RecordingError::Empty {
                    name: visible(&self.name),
                }
            } else {
                self.not_a_recording()
            });
        }
        Ok(None)
    }

    /// Reads the next line; true if it ends with a newline.
    fn read_line(&mut self) -> Result<bool, RecordingError> {
        self.line.clear();
        let limit = &mut (&mut self.input).take(LONGEST_LINE);
        let read = limit.read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => {
                self.ended = true;
                return Ok(true);
            }
            Ok(read) => self.offset += read as u64,
            Err(error) => self.broken_off(error)?,
        }
        if self.line.is_empty() {
            return Ok(true);
        }
        self.remarks.lines += 1;
        let whole = self.line.pop_if(|&mut last| last == b'\n').is_some();
        if !whole && self.line.len() as u64 == LONGEST_LINE {
            self.remarks
                .first_too_long
                .get_or_insert(self.remarks.lines);
            self.skip_line()?;
            return Ok(true);
        }
        if self.remarks.lines == 1 && self.line.starts_with(BOM) {
            self.line.drain(..BOM.len());
        }
        Ok(whole)
    }

    /// Skips the rest of a line that is too long, and leaves what can't be read as one.
    fn skip_line(&mut self) -> Result<(), RecordingError> {
        self.line.clear();
        self.line.push(b'?');
        match self.input.skip_until(b'\n') {
            Ok(skipped) => {
                self.offset += skipped as u64;
                Ok(())
            }
            Err(error) => self.broken_off(error),
        }
    }

    /// Whether what can't be read is the rest of compressed data, or the file.
    fn broken_off(&mut self, error: io::Error) -> Result<(), RecordingError> {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut(Cut::InFrame),
            io::ErrorKind::InvalidData | io::ErrorKind::Other => self.cut(Cut::Damaged),
            _ => {
                return Err(RecordingError::Io {
                    name: visible(&self.name),
                    error,
                });
            }
        }
        Ok(())
    }

    fn cut(&mut self, cut: Cut) {
        self.ended = true;
        // What is behind the summary is of no importance.
        if self.remarks.cut.is_some() {
            self.remarks.cut = Some(cut);
        }
    }

    fn check(&mut self, line: &Line) -> Result<(), RecordingError> {
        match line {
            Line::Start(_) if self.known > 1 => Err(RecordingError::Mixed {
                name: visible(&self.name),
                line: self.remarks.lines,
            }),
            Line::Start(start) => {
                self.start = Some((**start).clone());
                Ok(())
            }
            Line::Summary(_) => {
                self.remarks.cut = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn not_a_recording(&self) -> RecordingError {
        RecordingError::NotARecording {
            name: visible(&self.name),
        }
    }
}

impl Iterator for Recording {
    type Item = Result<Line, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.advance(),
        };
        self.ended |= next.is_err();
        next.transpose()
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests;
