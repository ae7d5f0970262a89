//! Chooses the eBPF object to embed: the committed one, or the one that
//! `ZOMBIE_TRACE_BPF_OBJECT` names.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=ZOMBIE_TRACE_BPF_OBJECT");
    // Not by `env!`: a target directory can outlive a move of the sources.
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
    let object = env::var_os("ZOMBIE_TRACE_BPF_OBJECT")
        .map_or_else(|| package.join("bpf/zombie-trace.bpf.o"), PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    println!(
        "cargo::rustc-env=ZOMBIE_TRACE_BPF_OBJECT={}",
        object.display()
    );
}
