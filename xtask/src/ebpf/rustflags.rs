//! What the eBPF crate is compiled with.

/// rustc's flags, without the path remappings.
pub(super) const RUSTFLAGS: [&str; 3] = [
    // Without it for every crate, bpf-linker writes incomplete BTF (aya-rs/aya#1649).
    "-Cdebuginfo=2",
    "-Clinker=bpf-linker",
    "-Clink-arg=--btf",
];
