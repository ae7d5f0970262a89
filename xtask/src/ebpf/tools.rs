//! The compiler and the linker together.

use anyhow::{Context, Result, bail};

use super::linker::{self, Linker};
use super::provenance::Provenance;
use super::toolchain::{self, Toolchain};
use crate::packages;

/// Debian's compilers with a prebuilt core for eBPF: the one of the stable releases, kept current
/// for browsers, then the one of later releases.
const DEBIAN_COMPILERS: [[&str; 2]; 2] = [
    ["rustc-web", "libstd-rust-web-dev-bpf"],
    ["rustc", "libstd-rust-dev-bpf"],
];

/// A compiler and a linker that fit together.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) toolchain: Toolchain,
    pub(crate) linker: Linker,
}

/// The tools of this machine: those that made the committed object if they are here, else the
/// first that fit together.
pub(crate) fn find() -> Result<Tools> {
    detect().context(
        "no Rust compiler for eBPF with a fitting bpf-linker here: run `cargo xtask setup`",
    )
}

/// The tools of this machine, after installing what is missing.
pub(crate) fn find_or_install() -> Result<Tools> {
    if let Some(tools) = detect() {
        return Ok(tools);
    }
    if toolchain::detect().is_empty() {
        install_compiler().context(
            "found no Rust compiler for eBPF (a rustup nightly with the rust-src component, or \
             Debian's rustc-web with libstd-rust-web-dev-bpf), and could not install one",
        )?;
    }
    install_linker()?;
    find()
}

fn detect() -> Option<Tools> {
    let recorded = Provenance::read().ok();
    let linkers = linker::detect();
    let mut found: Vec<_> = toolchain::detect()
        .into_iter()
        .filter_map(|toolchain| pair(toolchain, &linkers))
        .collect();
    let index = recorded
        .and_then(|made| {
            found
                .iter()
                .position(|tools| made.is_made_with(&tools.toolchain, &tools.linker))
        })
        .unwrap_or(0);
    (index < found.len()).then(|| found.swap_remove(index))
}

fn pair(toolchain: Toolchain, linkers: &[Linker]) -> Option<Tools> {
    let llvm = toolchain.version.llvm_major()?;
    let linker = linkers.iter().find(|linker| linker.fits(llvm))?.clone();
    Some(Tools { toolchain, linker })
}

fn install_compiler() -> Result<()> {
    packages::install(packages::first_available(&DEBIAN_COMPILERS))
}

/// Installs bpf-linker for the first compiler for which that succeeds.
fn install_linker() -> Result<()> {
    let mut failures = Vec::new();
    for toolchain in toolchain::detect() {
        let installed = toolchain
            .version
            .llvm_major()
            .with_context(|| format!("strange LLVM version {:?}", toolchain.version.llvm))
            .and_then(|llvm| linker::install(llvm, None));
        match installed {
            Ok(()) => return Ok(()),
            Err(error) => failures.push(format!("for rustc {toolchain}: {error:#}")),
        }
    }
    if failures.is_empty() {
        bail!("the installed Rust compiler has no core library for eBPF, or is too old");
    }
    bail!("cannot install bpf-linker: {}", failures.join("; "))
}
