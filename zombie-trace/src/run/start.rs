//! The first line of a run.

use crate::{
    kernel::Backend,
    model::{FilterLine, ScopeLine, Start},
    system::{self, Release, monotonic_now, wall_clock},
};

/// What is known once the hooks are live. `command`: COMMAND, if there is one.
pub(crate) fn line(
    backend: Backend,
    command: Option<Vec<String>>,
    scope: ScopeLine,
    filter: FilterLine,
) -> Start {
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    Start {
        ts: wall_clock().timestamp(monotonic_now()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: Release::running().as_str().to_owned(),
        backend: backend.name().to_owned(),
        tracer_pid: std::process::id(),
        host: system::host_name(),
        boot_id: system::boot_id(),
        cpus: system::cpus_online(),
        pid_max: system::pid_max(),
        args: Some(args.collect()),
        command,
        scope: Some(scope),
        filter: Some(filter),
    }
}
