//! Chooses the eBPF object to embed: the committed one, or the one that
//! `ZOMBIE_TRACE_BPF_OBJECT` names.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=ZOMBIE_TRACE_BPF_OBJECT");
    let object = env::var_os("ZOMBIE_TRACE_BPF_OBJECT").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bpf/zombie-trace.bpf.o"),
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    println!(
        "cargo::rustc-env=ZOMBIE_TRACE_BPF_OBJECT={}",
        object.display()
    );
}
