//! Compiling, linking and stripping the eBPF programs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::provenance::Provenance;
use super::rustflags::RUSTFLAGS;
use super::toolchain::{CoreLibrary, path_with, source_prefix};
use super::tools::{self, Tools};
use super::{Built, OBJECTS, TARGET, object, rustc_wrapper};
use crate::paths;
use crate::process::run;

/// The options of `cargo xtask build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct BuildArgs {
    /// Write the objects to this folder and leave the committed ones alone
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Makes the objects and says with what; writes the provenance too unless they go elsewhere.
pub(crate) fn build_committed(args: &BuildArgs) -> Result<()> {
    let tools = tools::find()?;
    println!("rustc       {}", tools.toolchain);
    println!("bpf-linker  {}", tools.linker);
    let built = build(&tools, &paths::ebpf_crate().join("target"))?;
    let folder = args.out.clone().unwrap_or_else(paths::committed_objects);
    for (object, bytes) in OBJECTS.iter().zip(&built) {
        let out = folder.join(object.file);
        write(&out, bytes)?;
        println!("object      {} bytes: {}", bytes.len(), out.display());
    }
    if args.out.is_none() {
        Provenance::of(&built, &tools.toolchain, &tools.linker)?.write()?;
    }
    Ok(())
}

/// Writes an object, and the folders above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Builds the objects in that target directory and gives their stripped bytes.
pub(crate) fn build(tools: &Tools, target_dir: &Path) -> Result<Built> {
    let core_sources = source_prefix(&tools.toolchain);
    if core_sources.starts_with('/') && Path::new(&core_sources).exists() {
        bail!(
            "{core_sources} exists, from which LLVM would copy lines into the object, so that it \
             would differ from what other machines build: remove the package rust-web-src or \
             rust-src"
        );
    }
    // The registry's folders, whose names are to be remapped, exist only once something is in them.
    run(cargo(tools).args(["fetch", "--locked"]))?;

    let mut command = cargo(tools);
    command
        .args(["build", "--release", "--locked", "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .env("RUSTC", &tools.toolchain.rustc)
        // aya-ebpf uses asm_experimental_arch, which stable compilers reserve.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", encoded_rustflags(tools));
    if tools.toolchain.core == CoreLibrary::BuildStd {
        command.args(["-Z", "build-std=core"]);
    }
    if let Some(folder) = tools.linker.path.parent() {
        command.env("PATH", path_with(folder));
    }
    rustc_wrapper::install(&mut command);
    run(&mut command)?;

    let linked = target_dir.join(TARGET).join("release");
    let mut built = Built::default();
    for (object, bytes) in OBJECTS.iter().zip(&mut built) {
        *bytes = stripped(&linked.join(object.binary), &core_sources)?;
    }
    Ok(built)
}

fn stripped(linked: &Path, core_sources: &str) -> Result<Vec<u8>> {
    let bytes = fs::read(linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let stripped =
        object::strip(&bytes).with_context(|| format!("cannot strip {}", linked.display()))?;
    if let Some(path) = object::absolute_path(&stripped, core_sources)? {
        bail!("the object would hold the path {path}, which differs between machines");
    }
    Ok(stripped)
}

/// A cargo whose result depends on nothing in our environment.
fn cargo(tools: &Tools) -> Command {
    let mut command = Command::new(&tools.toolchain.cargo);
    command.current_dir(paths::ebpf_crate());
    for (name, _) in env::vars_os() {
        if changes_the_build(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

fn changes_the_build(name: &str) -> bool {
    let prefixes = ["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_"];
    let names = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
    ];
    names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The flags in the form of `CARGO_ENCODED_RUSTFLAGS`. Of several remappings that fit, rustc takes
/// the last.
fn encoded_rustflags(tools: &Tools) -> OsString {
    let mut flags: Vec<OsString> = RUSTFLAGS.into_iter().map(OsString::from).collect();
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    };
    remap(&paths::home(), "home");
    remap(&paths::cargo_home(), "cargo");
    // The registry's folder is named after its host, which a mirror changes.
    for folder in registry_sources(&paths::cargo_home()) {
        remap(&folder, "registry");
    }
    remap(
        &tools.toolchain.sysroot.join("lib/rustlib/src/rust"),
        &source_prefix(&tools.toolchain),
    );
    remap(paths::root(), ".");
    flags.join("\x1f".as_ref())
}

fn registry_sources(cargo_home: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(cargo_home.join("registry/src"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_change_code_are_dropped() {
        assert!(changes_the_build("RUSTFLAGS"));
        assert!(changes_the_build("CARGO_PROFILE_RELEASE_OPT_LEVEL"));
        assert!(!changes_the_build("CARGO_HOME"));
        assert!(!changes_the_build("CARGO_NET_OFFLINE"));
    }
}
