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
