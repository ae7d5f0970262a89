//! Building and checking the eBPF object.
//!
//! The object is committed, so that zombie-trace builds with stable Rust and nothing else. What is
//! here makes it in such a way that everyone with the same rustc, LLVM and bpf-linker gets the same
//! bytes, and proves that the committed one is what the source gives.

mod build;
mod check;
mod linker;
mod object;
mod provenance;
pub(crate) mod rustc_wrapper;
mod rustflags;
mod sources;
mod toolchain;
pub(crate) mod tools;

pub(crate) use build::{BuildArgs, build_committed};
pub(crate) use check::{Verdict, check, verdict};
pub(crate) use sources::sha256;

/// The target that the eBPF programs are compiled for.
const TARGET: &str = "bpfel-unknown-none";

/// An eBPF object: one for each binary of the crate `zombie-trace-ebpf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// The name of the binary.
    pub(crate) binary: &'static str,
    /// The name of the object's file.
    pub(crate) file: &'static str,
    /// The variable that makes a build of zombie-trace embed another file.
    pub(crate) variable: &'static str,
}

/// All of them.
pub(crate) const OBJECTS: [Object; 2] = [
    Object {
        binary: "zombie-trace",
        file: "zombie-trace.bpf.o",
        variable: "ZOMBIE_TRACE_BPF_OBJECT",
    },
    Object {
        binary: "stacks",
        file: "stacks.bpf.o",
        variable: "ZOMBIE_TRACE_STACKS_OBJECT",
    },
];

/// The bytes of each of [`OBJECTS`].
pub(crate) type Built = [Vec<u8>; OBJECTS.len()];
