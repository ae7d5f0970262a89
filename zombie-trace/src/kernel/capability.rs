//! Whether this process may trace at all.

use std::{env, fs, io};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit};
use serde::Serialize;

use super::{KernelError, Release};

/// Bits of `CapEff` (include/uapi/linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;
const NEEDED: [(u32, &str); 2] = [(39, "CAP_BPF"), (38, "CAP_PERFMON")];
const USEFUL: [(u32, &str); 1] = [(2, "CAP_DAC_READ_SEARCH")];

/// The capabilities of this process that tracing has a use for.
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
    let effective = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| effective(&status))
        .unwrap_or(0);
    Capabilities {
        missing: missing(effective),
        missing_for_tracefs: absent(&USEFUL, effective),
    }
}

/// Fails with the names of the capabilities that are missing. CAP_SYS_ADMIN includes them.
pub(super) fn check() -> Result<(), KernelError> {
    const STATUS: &str = "/proc/self/status";
    let status = fs::read_to_string(STATUS).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KernelError::NoProc { source },
        _ => KernelError::io(format!("cannot read {STATUS}"), source),
    })?;
    let missing = missing(effective(&status).unwrap_or(0));
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

/// The error that tells of missing capabilities, and how to come by them.
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

fn effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing(effective: u64) -> Vec<&'static str> {
    if effective & 1 << CAP_SYS_ADMIN != 0 {
        return Vec::new();
    }
    absent(&NEEDED, effective)
}

fn absent(wanted: &[(u32, &'static str)], effective: u64) -> Vec<&'static str> {
    wanted
        .iter()
        .filter(|(bit, _)| effective & 1 << bit == 0)
        .map(|(_, name)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_effective_set() {
        assert_eq!(
            effective("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            Some(0x1ff_ffff_ffff)
        );
        assert_eq!(effective("Name:\tx\n"), None);
    }

    #[test]
    fn names_what_is_missing() {
        assert_eq!(missing(0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(1 << 39), ["CAP_PERFMON"]);
        assert!(missing(1 << 39 | 1 << 38).is_empty());
        assert!(missing(1 << 21).is_empty());
    }
}
