//! Whether this process may trace at all.

use std::{env, fs, io};

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit};
use serde::Serialize;

use super::{KernelError, Release};

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

/// Those of the running process.
pub(super) fn held() -> Capabilities {
    Capabilities {
        missing: missing(&read(CapSet::Effective)),
        // In force only while tracefs is read.
        missing_for_tracefs: absent(&USEFUL, &read(CapSet::Permitted)),
    }
}

/// Fails with the names of the capabilities that are missing. CAP_SYS_ADMIN includes them.
pub(super) fn check() -> Result<(), KernelError> {
    // Much else is read there.
    const STATUS: &str = "/proc/self/status";
    fs::metadata(STATUS).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KernelError::NoProc { source },
        _ => KernelError::io(format!("cannot read {STATUS}"), source),
    })?;
    let missing = missing(&read(CapSet::Effective));
    if missing.is_empty() {
        return Ok(());
    }
    Err(lacking(&missing.join(" and ")))
}

/// Programs, their links and maps are descriptors: some 60, and as many again for looks into /proc,
/// COMMAND and outputs.
const OPEN_FILES: rlim_t = 128;

/// Fails if the limit of open files is too low for tracing. Anything could fail then, with messages
/// that lead nowhere.
///
/// # Errors
/// The limit, and how to raise it.
pub fn check_open_files() -> Result<(), KernelError> {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((limit, _)) if limit < OPEN_FILES => Err(KernelError::OpenFiles {
            limit,
            needed: OPEN_FILES,
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
    pub(super) fn lift(release: &Release) -> Result<Self, KernelError> {
        let limits = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or((0, 0));
        if release.is_at_least(5, 11) != Some(false) || limits.0 == RLIM_INFINITY {
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
    fn names_what_is_missing() {
        use Capability::{CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN};
        let missing = |held: &[Capability]| missing(&held.iter().copied().collect());
        assert_eq!(missing(&[]), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(&[CAP_BPF]), ["CAP_PERFMON"]);
        assert!(missing(&[CAP_BPF, CAP_PERFMON]).is_empty());
        assert!(missing(&[CAP_SYS_ADMIN]).is_empty());
    }
}
