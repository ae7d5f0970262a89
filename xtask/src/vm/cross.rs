//! Building for an architecture that is not this machine's, with the distribution's packages alone.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::arch::Arch;
use crate::apt::Apt;
use crate::e2e::Target;
use crate::packages;
use crate::process::{find_program, output, probe};

/// The distribution's compiler, and its package. rustup's would get another standard library from
/// rustup's own servers.
const COMPILER: (&str, &str) = ("/usr/bin/rustc", "rustc-web");

/// The package with the standard library.
const LIBRARY: &str = "libstd-rust-web-dev";

/// The packages with the linker and the C library.
const C_PACKAGES: [&str; 2] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];
/// The linker, which is in the first of them.
const LINKER: &str = "aarch64-linux-gnu-gcc";
/// What shows that the second is there.
const LIBC: &str = "/usr/aarch64-linux-gnu/lib/libc.a";

/// Finds or fetches what cargo needs to build for `arch`.
pub(super) fn target(arch: &Arch, apt: &Apt, directory: &Path) -> Result<Target> {
    if find_program(LINKER).is_none() || !Path::new(LIBC).is_file() {
        packages::install(&C_PACKAGES)?;
    }
    if !Path::new(COMPILER.0).is_file() {
        packages::install(&[COMPILER.1])?;
    }
    let sysroot = sysroot(arch, apt, directory)?;
    let variable = |name| {
        let target = arch.target.to_uppercase().replace('-', "_");
        format!("CARGO_TARGET_{target}_{name}")
    };
    let mut flags = OsString::from("--sysroot=");
    flags.push(&sysroot);
    flags.push("\x1f-Ctarget-feature=+crt-static");
    Ok(Target {
        name: arch.target,
        envs: vec![
            ("RUSTC".into(), COMPILER.0.into()),
            (variable("LINKER"), LINKER.into()),
            ("CARGO_ENCODED_RUSTFLAGS".into(), flags),
        ],
    })
}

/// A sysroot with the compiler's own libraries, for macros, and those of the target.
fn sysroot(arch: &Arch, apt: &Apt, directory: &Path) -> Result<PathBuf> {
    let version =
        output(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", COMPILER.1]))
            .with_context(|| format!("{} is not that of the package {}", COMPILER.0, COMPILER.1))?;
    // A compiler takes the library of its very own version alone.
    let sysroot = directory.join(format!("sysroot-{version}"));
    if sysroot.is_dir() {
        return Ok(sysroot);
    }
    let new = directory.join("sysroot.part");
    apt.unpack(&format!("{LIBRARY}={version}"), &new)?;
    let rustlib = new.join("lib/rustlib");
    fs::create_dir_all(&rustlib).with_context(|| format!("{}", rustlib.display()))?;
    fs::rename(
        new.join("usr/lib/rustlib").join(arch.target),
        rustlib.join(arch.target),
    )
    .with_context(|| format!("{LIBRARY} {version} holds no library for {}", arch.target))?;
    let host = probe(Command::new(COMPILER.0).args(["--print", "sysroot"]))
        .context("no rustc")?
        .trim()
        .to_owned();
    let version_info = probe(Command::new(COMPILER.0).arg("-vV")).unwrap_or_default();
    let host_target = version_info
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    let own = Path::new(&host).join("lib/rustlib").join(host_target);
    symlink(&own, rustlib.join(host_target)).with_context(|| format!("{}", own.display()))?;
    fs::rename(&new, &sysroot).with_context(|| format!("{}", sysroot.display()))?;
    Ok(sysroot)
}
