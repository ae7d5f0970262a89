//! A wrapper around rustc that makes symbol names the same everywhere.
//!
//! Cargo tells crates apart with `-C metadata=HASH`, and rustc puts that hash into every mangled
//! name. The hash covers the absolute path of crates outside the workspace (zombie-trace-common),
//! cargo's own version and our version number. For the eBPF target this wrapper puts the package's
//! name and version there instead, so that an object depends on its sources and tools alone.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

use anyhow::{Context, Result};

use super::TARGET;

const REQUEST: &str = "ZOMBIE_TRACE_XTASK_AS_RUSTC_WRAPPER";

/// Lets cargo call this program in front of every rustc.
pub(crate) fn install(cargo: &mut Command) {
    // Not by its path: an earlier step of the test command may have built another xtask there.
    let this = format!("/proc/{}/exe", process::id());
    cargo.env("RUSTC_WRAPPER", this).env(REQUEST, "1");
}

/// Whether cargo called us as its wrapper.
pub(crate) fn is_requested() -> bool {
    env::var_os(REQUEST).is_some()
}

/// Becomes rustc.
pub(crate) fn exec() -> Result<()> {
    let mut args = env::args_os().skip(1);
    let rustc = args
        .next()
        .context("as rustc's wrapper, xtask needs the path of rustc")?;
    // Cargo's first questions to rustc are not about a package.
    let package = env::var("CARGO_PKG_NAME").unwrap_or_default();
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let args = with_stable_metadata(args.collect(), &package, &version);
    Err(Command::new(&rustc).args(args).exec())
        .with_context(|| format!("cannot run {}", rustc.display()))
}

fn with_stable_metadata(mut args: Vec<OsString>, package: &str, version: &str) -> Vec<OsString> {
    let for_ebpf = args.windows(2).any(|pair| pair == ["--target", TARGET]);
    if !for_ebpf {
        return args;
    }
    let ours = package.starts_with("zombie-trace");
    let identity = if ours {
        package.to_owned()
    } else {
        format!("{package}-{version}")
    };
    for index in 1..args.len() {
        let is_metadata = args[index - 1] == "-C" && starts_with(&args[index], "metadata=");
        if is_metadata {
            args[index] = format!("metadata={identity}").into();
        }
    }
    args
}

fn starts_with(arg: &OsStr, prefix: &str) -> bool {
    arg.as_encoded_bytes().starts_with(prefix.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str, package: &str) -> Vec<OsString> {
        let args = line.split(' ').map(OsString::from).collect();
        with_stable_metadata(args, package, "0.2.1")
    }

    #[test]
    fn metadata_becomes_the_package() {
        let args = rewritten(
            "--target bpfel-unknown-none -C metadata=5f1 -C opt-level=3",
            "aya-ebpf",
        );
        assert_eq!(args[3], "metadata=aya-ebpf-0.2.1");
        assert_eq!(args[5], "opt-level=3");
    }

    #[test]
    fn our_own_version_does_not_count() {
        let args = rewritten(
            "--target bpfel-unknown-none -C metadata=5f1",
            "zombie-trace-common",
        );
        assert_eq!(args[3], "metadata=zombie-trace-common");
    }

    #[test]
    fn crates_for_the_host_are_left_alone() {
        let args = rewritten(
            "--crate-name build_script_build -C metadata=5f1",
            "aya-ebpf",
        );
        assert_eq!(args[3], "metadata=5f1");
    }
}
