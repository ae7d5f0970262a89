use std::{fmt, io, path::PathBuf};

use aya::programs::ProgramError;

use super::btf::BtfError;

/// The system call's error and, on lines of its own, what the verifier says, if anything.
#[derive(Debug)]
struct LoadRefused {
    reason: io::Error,
    log: String,
}

impl fmt::Display for LoadRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        match self.log.trim() {
            "" => Ok(()),
            log => write!(f, "\n{log}"),
        }
    }
}

impl std::error::Error for LoadRefused {}

/// Why tracing can't work here. Each message says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The process lacks capabilities.
    #[error(
        "missing {missing}\n  \
         run it as root:           sudo {program} …\n  \
         or allow it once for all: sudo setcap {all}=ep {program}"
    )]
    Privileges {
        /// The capabilities that are missing.
        missing: String,
        /// All that are needed, as setcap(8) takes them.
        all: &'static str,
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
    /// The kernel was built without kprobes.
    #[error("this kernel has no kprobes: it needs CONFIG_KPROBE_EVENTS=y")]
    NoKprobes,
    /// There is no procfs.
    #[error("no /proc/self/status: mount procfs first (`mount -t proc proc /proc`)")]
    NoProc {
        /// Why it can't be read.
        source: io::Error,
    },
    /// Not even the maps could all be open.
    #[error(
        "the limit of open files (RLIMIT_NOFILE) is {limit}, and tracing needs {needed}: \
         run `ulimit -n {needed}` first, or set LimitNOFILE={needed} in a systemd unit"
    )]
    OpenFiles {
        /// The soft limit.
        limit: u64,
        /// What is enough.
        needed: u64,
    },
    /// Perf events are for CAP_SYS_ADMIN alone: distributions have a level of that above the
    /// kernel's own.
    #[error(
        "the kernel refuses {what}, as kernel.perf_event_paranoid is {level}: \
         run it as root, or `sudo sysctl kernel.perf_event_paranoid=2` first"
    )]
    PerfParanoid {
        /// The hook.
        what: String,
        /// The setting.
        level: i32,
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
    /// The whole reason without a verifier's log, which is many lines long.
    pub fn in_a_line(&self) -> String {
        let mut parts = vec![first_line(self)];
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let part = first_line(error);
            // Some errors tell their source's text as part of their own.
            if !parts.iter().any(|known| known.contains(&part)) {
                parts.push(part);
            }
            source = error.source();
        }
        parts.join(": ")
    }

    pub(super) fn refused(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = source.into();
        Self::Refused {
            what: what.into(),
            source: match source.downcast() {
                Ok(error) => match *error {
                    ProgramError::LoadError {
                        io_error,
                        verifier_log,
                    } => Box::new(LoadRefused {
                        reason: io_error,
                        log: verifier_log.to_string(),
                    }),
                    other => Box::new(other),
                },
                Err(source) => source,
            },
        }
    }

    pub(super) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }
}

fn first_line(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
