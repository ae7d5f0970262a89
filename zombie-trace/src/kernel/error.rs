use std::{io, path::PathBuf};

use super::btf::BtfError;

/// Why tracing can't work here. Each message says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The process lacks capabilities.
    #[error(
        "missing {missing}\n  \
         run it as root:           sudo {program} …\n  \
         or allow it once for all: sudo setcap cap_bpf,cap_perfmon,cap_dac_read_search=ep {program}"
    )]
    Privileges {
        /// The capabilities that are missing.
        missing: String,
        /// This program's path.
        program: String,
    },
    /// The kernel is older than what the programs need.
    #[error("kernel {release} is too old: zombie-trace needs Linux 5.10 or later")]
    TooOld {
        /// `uname -r`.
        release: String,
    },
    /// The kernel was built without BTF.
    #[error(
        "this kernel has no BTF type information ({path} is missing): it needs CONFIG_DEBUG_INFO_BTF=y, \
         which distribution kernels have since about 2020"
    )]
    NoBtf {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The kernel's BTF can't be read.
    #[error("cannot read {path}")]
    ReadBtf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel's BTF lacks a type or field, or is malformed.
    #[error("{path}")]
    Btf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BtfError,
    },
    /// tracefs is neither mounted nor can it be.
    #[error(
        "tracefs is not mounted and cannot be mounted for the tracer alone ({reason}): \
         run `sudo mount -t tracefs nodev /sys/kernel/tracing`"
    )]
    Tracefs {
        /// Why.
        reason: io::Error,
    },
    /// A program or map was refused.
    #[error("the kernel refuses {what}")]
    Refused {
        /// The program, hook or map.
        what: String,
        /// The kernel's reason, with the verifier's log if there is one.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something else went wrong with the operating system.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl KernelError {
    pub(super) fn refused(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Refused {
            what: what.into(),
            source: source.into(),
        }
    }

    pub(super) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }
}
