use std::{fmt, io, path::PathBuf};

use aya::programs::ProgramError;
use nix::libc;

use super::btf::BtfError;
use crate::system::{ForeignKernel, Release, confinement};

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
    /// The kernel's registers are not where the programs look for them.
    #[error(transparent)]
    ForeignKernel(ForeignKernel),
    /// The kernel lacks what the programs need, and by its release it is too old for them.
    #[error("kernel {release} is too old: zombie-trace needs Linux 5.10 or later")]
    TooOld {
        /// `uname -r`.
        release: String,
        /// What it lacks.
        source: Box<KernelError>,
    },
    /// The kernel has no iterator that could copy the stack of one thread.
    #[error(
        "kernel {release} cannot copy the stack of another thread: --stacks needs Linux 6.1 or later"
    )]
    NoStacks {
        /// `uname -r`.
        release: String,
    },
    /// The kernel was built without BTF.
    #[error(
        "this kernel has no BTF type information ({} is missing): it needs CONFIG_DEBUG_INFO_BTF=y, \
         which distribution kernels have since about 2020",
        path.display()
    )]
    NoBtf {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// `--btf` differs from what the kernel itself says.
    #[error(
        "--btf {}: it differs from the running kernel's own BTF at {}; leave --btf out",
        path.display(), own.display()
    )]
    OtherBtf {
        /// What was given.
        path: PathBuf,
        /// The kernel's own.
        own: PathBuf,
    },
    /// Nothing vouches for the file of `--btf`.
    #[error(
        "--btf {}: only root may use it on a kernel without BTF of its own, as nothing shows that \
         it is true",
        path.display()
    )]
    UncheckedBtf {
        /// What was given.
        path: PathBuf,
    },
    /// The kernel's BTF can't be read.
    #[error("cannot read {}", path.display())]
    ReadBtf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel's BTF lacks a type or field, or is malformed.
    #[error("{}", path.display())]
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
    /// There is no room for threads and mappings.
    #[error(
        "the limit of virtual memory (RLIMIT_AS) is {limit_kib} KiB, and tracing needs \
         {needed_kib} KiB: run `ulimit -v {needed_kib}` first, or set LimitAS=infinity in a \
         systemd unit"
    )]
    AddressSpace {
        /// The soft limit.
        limit_kib: u64,
        /// What is enough.
        needed_kib: u64,
    },
    /// The procfs has no number for this process.
    #[error(
        "the procfs at /proc belongs to another pid namespace: mount one of this namespace first \
         (`mount -t proc proc /proc`)"
    )]
    ForeignProc,
    /// All capabilities are those of a user namespace.
    #[error(
        "this process is in a user namespace, such as a rootless container, whose capabilities do \
         not count for tracing: run it as root outside of that namespace"
    )]
    UserNamespace,
    /// No call of bpf(2) gets through.
    #[error("bpf(2) is refused ({reason}): {by}")]
    BpfRefused {
        /// What the call gave.
        reason: io::Error,
        /// Who refuses it, and what to do.
        by: &'static str,
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
    #[error("the kernel refuses {what}{}", hint(*restriction))]
    Refused {
        /// The program, hook or map.
        what: String,
        /// What may be behind it.
        restriction: Option<&'static str>,
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
    /// Whether another backend may work.
    pub(crate) fn is_of_a_backend(&self) -> bool {
        matches!(
            self,
            Self::NoKprobes
                | Self::Tracefs { .. }
                | Self::PerfParanoid { .. }
                | Self::Refused { .. }
        )
    }

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
        let reason = system_error(&*source);
        let what = what.into();
        let restriction = reason.and_then(|error| restriction(&what, error));
        let source: Box<dyn std::error::Error + Send + Sync> = match source.downcast() {
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
        };
        Self::Refused {
            what,
            restriction,
            source: match confinement::is_root() {
                true => source,
                false => without_addresses(source),
            },
        }
    }

    /// The same error, with the likely reason if the kernel names a release that is too old. Such a
    /// kernel can have what is needed all the same, so that is tried first.
    pub(super) fn of_release(self, release: &Release) -> Self {
        let lacks_something = matches!(
            self,
            Self::NoBtf { .. } | Self::Btf { .. } | Self::NoKprobes | Self::Refused { .. }
        );
        if lacks_something && release.is_at_least(5, 10) == Some(false) {
            Self::TooOld {
                release: release.as_str().to_owned(),
                source: Box::new(self),
            }
        } else {
            self
        }
    }

    pub(super) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }
}

fn hint(restriction: Option<&str>) -> String {
    restriction.map_or_else(String::new, |restriction| format!(" ({restriction})"))
}

/// The kernel's own error for what it can't do (include/linux/errno.h). The C library doesn't know it.
const ENOTSUPP: i32 = 524;

/// What can make the kernel refuse something, with this error, although all capabilities are there.
fn restriction(what: &str, error: i32) -> Option<&'static str> {
    let is_trampoline = what.starts_with("fentry/") || what.starts_with("fexit/");
    if error == ENOTSUPP && is_trampoline {
        return Some(
            "ENOTSUPP: this kernel can't attach BPF trampolines on this architecture; on arm64, \
             Linux 6.4 and later can",
        );
    }
    // To the verifier a helper that lockdown forbids is one that does not exist.
    if ![libc::EPERM, libc::EACCES, libc::EINVAL].contains(&error) {
        None
    } else if confinement::lockdown().as_deref() == Some("confidentiality") {
        Some("its lockdown mode is confidentiality, in which programs may not read its memory")
    } else if error != libc::EINVAL && confinement::is_filtered() {
        Some("a seccomp filter is in force")
    } else {
        None
    }
}

/// The number of the system call's error that all of it comes from.
fn system_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut errors = std::iter::successors(Some(error), |error| error.source());
    errors.find_map(|error| {
        let error = match error.downcast_ref::<LoadRefused>() {
            Some(refused) => &refused.reason,
            None => error.downcast_ref::<io::Error>()?,
        };
        error.raw_os_error()
    })
}

/// The same error without the verifier's log, which has kernel addresses: they are for root only.
fn without_addresses(
    source: Box<dyn std::error::Error + Send + Sync>,
) -> Box<dyn std::error::Error + Send + Sync> {
    let mut errors = std::iter::successors(Some(&*source as &dyn std::error::Error), |error| {
        error.source()
    });
    let has_log = errors.any(|error| {
        let text = error.to_string();
        text.contains('\n') || text.to_ascii_lowercase().contains("verifier")
    });
    if !has_log {
        return source;
    }
    let reason = system_error(&*source).map_or_else(
        || io::Error::other("the verifier rejects it"),
        io::Error::from_raw_os_error,
    );
    Box::new(LoadRefused {
        reason,
        log: "(the verifier's log is shown to root only)".to_owned(),
    })
}

fn first_line(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified() -> Box<dyn std::error::Error + Send + Sync> {
        Box::new(LoadRefused {
            reason: io::Error::from_raw_os_error(libc::EACCES),
            log: "R1=ptr_task_struct(off=0) 0xffff888004f2a000\nprocessed 12 insns".to_owned(),
        })
    }

    #[test]
    fn an_old_release_is_named_only_where_something_is_lacking() {
        let of = |error: KernelError, release: &str| error.of_release(&Release::named(release));
        let no_btf = || KernelError::NoBtf {
            path: "/sys/kernel/btf/vmlinux".into(),
        };
        let old = of(no_btf(), "4.18.0-80.el8");
        assert_eq!(
            old.in_a_line(),
            "kernel 4.18.0-80.el8 is too old: zombie-trace needs Linux 5.10 or later: \
             this kernel has no BTF type information (/sys/kernel/btf/vmlinux is missing): it needs \
             CONFIG_DEBUG_INFO_BTF=y, which distribution kernels have since about 2020"
        );
        for release in ["5.14.0-570.el9", "unheard-of"] {
            let error = of(no_btf(), release);
            assert!(matches!(error, KernelError::NoBtf { .. }), "{error}");
        }
        let error = of(KernelError::UserNamespace, "4.18.0");
        assert!(matches!(error, KernelError::UserNamespace), "{error}");
    }

    #[test]
    fn the_log_is_for_root_only() {
        let text = without_addresses(verified()).to_string();
        assert!(text.starts_with("Permission denied"), "{text}");
        assert!(!text.contains("ffff888004f2a000"), "{text}");
        assert!(text.contains("root only"), "{text}");
        let plain = without_addresses(Box::new(io::Error::from_raw_os_error(libc::EPERM)));
        assert!(plain.to_string().starts_with("Operation not permitted"));
    }

    #[test]
    fn a_kernel_without_trampolines_is_explained() {
        let refused = |what| {
            let source = io::Error::from_raw_os_error(ENOTSUPP);
            KernelError::refused(what, source).to_string()
        };
        for what in ["fentry/release_task", "fexit/do_notify_parent"] {
            let text = refused(what);
            assert!(text.contains("can't attach BPF trampolines"), "{text}");
            assert!(text.contains("Linux 6.4 and later"), "{text}");
        }
        let text = refused("kprobe/release_task");
        assert!(!text.contains("trampolines"), "{text}");
    }

    #[test]
    fn the_system_call_is_found_behind_other_errors() {
        let behind = KernelError::io("map SLOTS", io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(system_error(&behind), Some(libc::EPERM));
        assert_eq!(system_error(&KernelError::NoKprobes), None);
    }
}
