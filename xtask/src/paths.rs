//! Where things are in the repository and on this machine.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        // Cargo sets it when it runs us. What was compiled in may be another clone that shares a
        // target directory with this one.
        let xtask = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        xtask
            .parent()
            .expect("xtask is a folder of the repository")
            .to_owned()
    });
    &ROOT
}

/// Cargo's target directory for the workspace.
pub(crate) fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => std::path::absolute(&dir).unwrap_or_else(|_| dir.into()),
        None => root().join("target"),
    }
}

/// The crate of the eBPF programs, which is no member of the workspace.
pub(crate) fn ebpf_crate() -> PathBuf {
    root().join("zombie-trace-ebpf")
}

/// The folder of the committed eBPF objects.
pub(crate) fn committed_objects() -> PathBuf {
    root().join("zombie-trace/bpf")
}

/// What the committed eBPF objects were made from, and with which tools.
pub(crate) fn provenance() -> PathBuf {
    root().join("zombie-trace/bpf/provenance.toml")
}

/// Cargo's own folder: the registry's sources and installed programs.
pub(crate) fn cargo_home() -> PathBuf {
    env::var_os("CARGO_HOME").map_or_else(|| home().join(".cargo"), PathBuf::from)
}

/// rustup's folder.
pub(crate) fn rustup_home() -> PathBuf {
    env::var_os("RUSTUP_HOME").map_or_else(|| home().join(".rustup"), PathBuf::from)
}

/// The user's home directory.
pub(crate) fn home() -> PathBuf {
    env::home_dir().unwrap_or_default()
}
