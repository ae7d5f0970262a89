//! What this machine allows, found by trying.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    Backend, Capabilities, Config, Confinement, KernelError, Tracer, capability,
    facts::KernelTypes, tracefs,
};
use crate::system::{Cgroups, Release, confinement::lockdown, pid_max};

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// `uname -r`.
    pub kernel: String,
    /// Whether that is 5.10 or later; null if it can't be told. An older one can work if its
    /// distribution has brought it what is needed.
    pub kernel_is_new_enough: Option<bool>,
    /// The kernel's own description of its types.
    pub btf: BtfCheck,
    /// What this process may do; null if /proc does not show it.
    pub capabilities: Option<Capabilities>,
    /// What keeps its capabilities from being of use.
    pub confinement: Confinement,
    /// `none`, `integrity` or `confidentiality` (kernel_lockdown(7)), null if securityfs does not
    /// tell. With `confidentiality` programs may not read the kernel's memory.
    pub lockdown: Option<String>,
    /// Where tracefs is mounted; where it is not, the tracepoint backend mounts it for itself.
    pub tracefs: Option<PathBuf>,
    /// Whether what is mounted there can be read.
    pub tracefs_is_readable: bool,
    /// How cgroups are mounted, by which containers are told; null if /proc does not show it.
    pub cgroups: Option<Cgroups>,
    /// The best first.
    pub backends: Vec<BackendCheck>,
    /// What `--backend auto` would take; null if nothing loads.
    pub would_use: Option<&'static str>,
    /// More processes can't exist at once (/proc/sys/kernel/pid_max).
    pub pid_max: Option<u32>,
    /// The room for dying processes and zombies (`--max-zombies`).
    pub max_zombies: u32,
    /// The size of the ring buffer (`--buffer`).
    pub buffer_bytes: u32,
    /// What both, and the smaller maps, take of the kernel's memory; null if nothing loads.
    pub map_bytes: Option<u64>,
}

/// The kernel's BTF.
#[derive(Clone, Debug, Serialize)]
pub struct BtfCheck {
    /// The file, if it can be read and has all that is needed.
    pub path: Option<PathBuf>,
    /// Its length.
    pub bytes: Option<usize>,
    /// What is wrong otherwise.
    pub problem: Option<String>,
}

/// A backend, loaded and attached for a moment.
#[derive(Clone, Debug, Serialize)]
pub struct BackendCheck {
    /// As `--backend` takes it.
    pub name: &'static str,
    /// Whether all of it could be attached.
    pub works: bool,
    /// Why not.
    pub problem: Option<String>,
    /// Bound on the error of an exact lifetime.
    pub error_ns: u64,
    /// What it adds to every system call of the machine.
    pub syscall_tax_ns: u64,
}

impl Examination {
    /// Tries every backend with the rest of this configuration.
    pub fn new(config: &Config) -> Self {
        let release = Release::running();
        let mut map_bytes = None;
        let backends: Vec<_> = Backend::ALL
            .into_iter()
            .map(|backend| {
                let tracer = Tracer::start(&Config {
                    backend: Some(backend),
                    ..config.clone()
                });
                if let Ok(tracer) = &tracer {
                    map_bytes.get_or_insert(tracer.map_bytes());
                }
                BackendCheck {
                    name: backend.name(),
                    works: tracer.is_ok(),
                    problem: tracer.err().map(|error| error.in_a_line()),
                    error_ns: backend.error_ns(),
                    syscall_tax_ns: backend.syscall_tax_ns(),
                }
            })
            .collect();
        Self {
            kernel_is_new_enough: release.is_at_least(5, 10),
            kernel: release.as_str().to_owned(),
            btf: BtfCheck::new(KernelTypes::read(config.btf.as_deref())),
            capabilities: capability::held().ok(),
            confinement: Confinement::found(),
            lockdown: lockdown(),
            tracefs: tracefs::mount_point().map(Path::to_owned),
            tracefs_is_readable: tracefs::mount_point().is_some_and(tracefs::is_readable),
            cgroups: Cgroups::read().ok(),
            would_use: backends
                .iter()
                .find(|backend| backend.works)
                .map(|backend| backend.name),
            backends,
            pid_max: pid_max(),
            max_zombies: config.max_zombies,
            buffer_bytes: config.buffer,
            map_bytes,
        }
    }
}

impl BtfCheck {
    fn new(types: Result<KernelTypes, KernelError>) -> Self {
        match types {
            Ok(types) => Self {
                path: Some(types.path),
                bytes: Some(types.bytes),
                problem: None,
            },
            Err(error) => Self {
                path: None,
                bytes: None,
                problem: Some(error.in_a_line()),
            },
        }
    }
}
