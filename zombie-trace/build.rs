//! Refuses targets that the eBPF programs do not support, and chooses the eBPF objects to embed: the
//! committed ones, or those that `ZOMBIE_TRACE_BPF_OBJECT` and `ZOMBIE_TRACE_STACKS_OBJECT` name.

use std::{env, path::PathBuf};

fn main() {
    let target = |key| env::var(key).unwrap_or_default();
    if let Some(reason) = refusal(
        &target("CARGO_CFG_TARGET_OS"),
        &target("CARGO_CFG_TARGET_ARCH"),
        &target("CARGO_CFG_TARGET_POINTER_WIDTH"),
        &target("CARGO_CFG_TARGET_ENDIAN"),
    ) {
        println!("cargo::error={reason}");
    }
    // Not by `env!`: a target directory can outlive a move of the sources.
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
    for (variable, file) in [
        ("ZOMBIE_TRACE_BPF_OBJECT", "bpf/zombie-trace.bpf.o"),
        ("ZOMBIE_TRACE_STACKS_OBJECT", "bpf/stacks.bpf.o"),
    ] {
        println!("cargo::rerun-if-env-changed={variable}");
        let object = env::var_os(variable).map_or_else(|| package.join(file), PathBuf::from);
        println!("cargo::rerun-if-changed={}", object.display());
        println!("cargo::rustc-env={variable}={}", object.display());
    }
}

/// Why a target can't be built for, if it can't. On another architecture the build would succeed, and
/// the figures would be wrong: the programs know the registers and system calls of these two alone.
pub(crate) fn refusal(os: &str, arch: &str, pointer_width: &str, endian: &str) -> Option<String> {
    if os != "linux" {
        return Some(format!("zombie-trace runs on Linux only, not on {os}"));
    }
    let supported = matches!(arch, "x86_64" | "aarch64");
    if !supported || (pointer_width, endian) != ("64", "little") {
        return Some(format!(
            "zombie-trace supports x86-64 and arm64 only, not {arch} with {pointer_width}-bit \
             pointers and {endian}-endian integers: its eBPF programs don't know the registers and \
             system call numbers of other architectures"
        ));
    }
    None
}
