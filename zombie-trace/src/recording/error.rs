use std::io;

use thiserror::Error;

use crate::model::SCHEMA;

/// Why a recording can't be read, or not further.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// It can't be opened or read.
    #[error("cannot read {name}")]
    Io {
        /// The file.
        name: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// There is nothing in it.
    #[error("{name}: the file is empty: record a run with --json -o FILE")]
    Empty {
        /// The file.
        name: String,
    },
    /// It holds something else.
    #[error("{name}: not a recording: expected what zombie-trace writes with --json -o FILE")]
    NotARecording {
        /// The file.
        name: String,
    },
    /// It is of a later format.
    #[error(
        "{name}: written by zombie-trace {version} in schema {schema}, but zombie-trace {} reads \
         schema {SCHEMA}: use a newer zombie-trace",
        env!("CARGO_PKG_VERSION")
    )]
    Schema {
        /// The file.
        name: String,
        /// What it says it is.
        schema: u64,
        /// The version that wrote it, or `?`.
        version: String,
    },
    /// A second run begins.
    #[error("{name}: a second run begins at line {line}: give each run a file of its own")]
    Mixed {
        /// The file.
        name: String,
        /// From 1.
        line: u64,
    },
}
