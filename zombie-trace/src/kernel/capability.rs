//! Whether this process may trace at all.

use std::{env, fs, io, path::Path};

use caps::{CapSet, Capability, CapsHashSet};
use nix::{
    errno::Errno,
    libc,
    sys::{
        resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit},
        statfs::{PROC_SUPER_MAGIC, statfs},
    },
};
use serde::Serialize;

use super::KernelError;
use crate::system::confinement::{has_seccomp_filter, in_initial_user_namespace};

const NEEDED: [(Capability, &str); 2] = [
    (Capability::CAP_BPF, "CAP_BPF"),
    (Capability::CAP_PERFMON, "CAP_PERFMON"),
];
const USEFUL: [(Capability, &str); 1] = [(Capability::CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH")];

/// The capabilities that this process lacks for tracing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Tracing can't work without these; CAP_SYS_ADMIN stands for them.
    pub missing: Vec<&'static str>,
    /// Without these the tracepoint backend can't find its tracepoints' numbers in tracefs, where
    /// that is for root alone.
    pub missing_for_tracefs: Vec<&'static str>,
}

/// What keeps capabilities from being of use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Confinement {
    /// This process is in a user namespace of its own, whose capabilities count only inside.
    pub user_namespace: bool,
    /// A seccomp filter decides which system calls this process may make.
    pub seccomp_filter: bool,
    /// Why bpf(2) is refused altogether, if it is; null also if it was not tried.
    pub bpf_refused: Option<String>,
}

impl Confinement {
    /// That of the running process; what can't be read is taken for none.
    pub(super) fn found() -> Self {
        let status = status().unwrap_or_default();
        let seccomp_filter = has_seccomp_filter(&status);
        // It says what is missing, and not what would come then.
        let is_capable = missing(&read(CapSet::Effective)).is_empty();
        let user_namespace = !in_initial_user_namespace();
        let bpf = match is_capable && !user_namespace {
            true => try_bpf(seccomp_filter),
            false => Ok(()),
        };
        Self {
            user_namespace,
            seccomp_filter,
            bpf_refused: bpf.err().map(|error| error.in_a_line()),
        }
    }
}

const STATUS: &str = "/proc/self/status";

fn status() -> Result<String, KernelError> {
    fs::read_to_string(STATUS).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound if is_procfs(Path::new("/proc")) => KernelError::ForeignProc,
        io::ErrorKind::NotFound => KernelError::NoProc { source },
        _ => KernelError::io(STATUS, source),
    })
}

fn is_procfs(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC)
}

/// Those of the running process.
///
/// # Errors
/// /proc does not show them.
pub(super) fn held() -> Result<Capabilities, KernelError> {
    status()?;
    Ok(Capabilities {
        missing: missing(&read(CapSet::Effective)),
        // In force only while tracefs is read.
        missing_for_tracefs: absent(&USEFUL, &read(CapSet::Permitted)),
    })
}

/// Fails with the names of the capabilities that are missing, or with what makes them useless.
/// CAP_SYS_ADMIN includes them.
pub(super) fn check() -> Result<(), KernelError> {
    let status = status()?;
    // Neither sudo nor setcap would help there.
    if !in_initial_user_namespace() {
        return Err(KernelError::UserNamespace);
    }
    let missing = missing(&read(CapSet::Effective));
    if !missing.is_empty() {
        return Err(lacking(&missing.join(" and ")));
    }
    try_bpf(has_seccomp_filter(&status))
}

/// Makes a bpf(2) call that has no effect, to find out whether it gets as far as the kernel's own
/// code. Without this, the first map that happens to be created would be blamed.
fn try_bpf(seccomp_filter: bool) -> Result<(), KernelError> {
    const MAP_LOOKUP_ELEM: libc::c_int = 1;
    refusal(error_of(MAP_LOOKUP_ELEM), seccomp_filter)
}

/// What the kernel says to a command for a descriptor that is not there.
fn error_of(command: libc::c_int) -> Option<Errno> {
    // `union bpf_attr`, in which the descriptor comes first.
    let mut attributes = [0_u32; 8];
    attributes[0] = u32::MAX;
    // SAFETY: the attributes live longer than the call, which reads no more than their size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    Errno::result(result).err()
}

/// Whether reading an iterator that is attached already needs a capability: all of bpf(2) does before
/// 5.19 unless kernel.unprivileged_bpf_disabled is 0, later only what creates (kernel/bpf/syscall.c).
///
/// It tries that without any. If it can't give them up for a moment, they are said to be needed.
pub fn iterating_needs_capability() -> bool {
    const ITER_CREATE: libc::c_int = 33;
    let Ok(held) = caps::read(None, CapSet::Effective) else {
        return true;
    };
    if caps::clear(None, CapSet::Effective).is_err() {
        return true;
    }
    let error = error_of(ITER_CREATE);
    if let Err(error) = caps::set(None, CapSet::Effective, &held) {
        log::warn!("cannot take capabilities back: {error}");
    }
    error != Some(Errno::EBADF)
}

fn refusal(error: Option<Errno>, seccomp_filter: bool) -> Result<(), KernelError> {
    let by = match error {
        None | Some(Errno::EBADF | Errno::EINVAL) => return Ok(()),
        _ if seccomp_filter => {
            "a seccomp filter forbids it; allow bpf and perf_event_open in the seccomp profile of \
             this container or service"
        }
        Some(Errno::ENOSYS) => "it was built without CONFIG_BPF_SYSCALL",
        _ => "a security module forbids it; allow bpf in its policy",
    };
    Err(KernelError::BpfRefused {
        reason: error.unwrap_or(Errno::EPERM).into(),
        by,
    })
}

/// Programs, their links and maps are descriptors: some 60, and as many again for looks into /proc,
/// COMMAND and outputs.
const OPEN_FILES: rlim_t = 128;

/// Fails if the limit of open files or of virtual memory is too low for tracing. Anything could fail
/// then, with messages that lead nowhere.
///
/// # Errors
/// The limit, and how to raise it.
pub fn check_limits() -> Result<(), KernelError> {
    check_address_space()?;
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((limit, _)) if limit < OPEN_FILES => Err(KernelError::OpenFiles {
            limit,
            needed: OPEN_FILES,
        }),
        _ => Ok(()),
    }
}

/// What threads and mappings need, bytes. The C library ends this program where it can't allocate.
const ADDRESS_SPACE: u64 = 256 << 20;

/// Whether there is room for threads and mappings (`ulimit -v`).
fn check_address_space() -> Result<(), KernelError> {
    match getrlimit(Resource::RLIMIT_AS) {
        Ok((limit, _)) if limit < ADDRESS_SPACE => Err(KernelError::AddressSpace {
            limit_kib: limit >> 10,
            needed_kib: ADDRESS_SPACE >> 10,
        }),
        _ => Ok(()),
    }
}

fn read(set: CapSet) -> CapsHashSet {
    caps::read(None, set).unwrap_or_default()
}

/// Before 5.11 maps count as locked memory, and this lifts its limit.
const SYS_RESOURCE: &str = "CAP_SYS_RESOURCE";

/// The limit of locked memory, lifted while this lives: the traced command has its own again.
pub(super) struct LockedMemory {
    before: Option<(rlim_t, rlim_t)>,
}

impl LockedMemory {
    /// Lifts the limit where maps count as locked memory.
    pub(super) fn lift(maps_count: bool) -> Result<Self, KernelError> {
        let limits = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or((0, 0));
        if !maps_count || limits.0 == RLIM_INFINITY {
            return Ok(Self { before: None });
        }
        setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)
            .map_err(|_| lacking(SYS_RESOURCE))?;
        Ok(Self {
            before: Some(limits),
        })
    }
}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        if let Some((soft, hard)) = self.before {
            // Lowering a limit needs no privilege.
            let _ = setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard);
        }
    }
}

/// The error for missing capabilities, with how to get them.
pub(super) fn lacking(missing: &str) -> KernelError {
    let program = env::current_exe().map_or_else(
        |_| "zombie-trace".to_owned(),
        |path| path.display().to_string(),
    );
    KernelError::Privileges {
        missing: missing.to_owned(),
        all: if missing == SYS_RESOURCE {
            "cap_bpf,cap_perfmon,cap_dac_read_search,cap_sys_resource"
        } else {
            "cap_bpf,cap_perfmon,cap_dac_read_search"
        },
        program,
    }
}

fn missing(effective: &CapsHashSet) -> Vec<&'static str> {
    if effective.contains(&Capability::CAP_SYS_ADMIN) {
        return Vec::new();
    }
    absent(&NEEDED, effective)
}

fn absent(wanted: &[(Capability, &'static str)], held: &CapsHashSet) -> Vec<&'static str> {
    let absent = wanted.iter().filter(|(it, _)| !held.contains(it));
    absent.map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_refuses_bpf() {
        let refused = |error, filtered| refusal(Some(error), filtered).unwrap_err().to_string();
        assert!(refusal(None, true).is_ok() && refusal(Some(Errno::EBADF), true).is_ok());
        assert!(refused(Errno::EPERM, true).contains("seccomp"));
        assert!(refused(Errno::ENOSYS, true).contains("seccomp"));
        assert!(refused(Errno::ENOSYS, false).contains("CONFIG_BPF_SYSCALL"));
        assert!(refused(Errno::EPERM, false).contains("security module"));
        assert!(has_seccomp_filter(
            "NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"
        ));
        assert!(!has_seccomp_filter("Seccomp:\t0\nSeccomp_filters:\t2\n"));
    }

    #[test]
    fn names_what_is_missing() {
        use Capability::{CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN};
        let missing = |held: &[Capability]| missing(&held.iter().copied().collect());
        assert_eq!(missing(&[]), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(&[CAP_BPF]), ["CAP_PERFMON"]);
        assert!(missing(&[CAP_BPF, CAP_PERFMON]).is_empty());
        assert!(missing(&[CAP_SYS_ADMIN]).is_empty());
    }
}
