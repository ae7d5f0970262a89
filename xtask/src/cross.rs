//! Building for an architecture that is not this machine's, with the distribution's packages alone.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::process::{find_program, output, probe};
use crate::store::Store;
use crate::{apt, packages};

/// What programs are built for.
pub(crate) struct Target {
    /// Rust's name for it.
    pub(crate) name: &'static str,
    /// What cargo needs in its environment.
    pub(crate) envs: Vec<(String, OsString)>,
}

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

/// The compiler with the sysroot beside it. Flags would do too, but cargo makes the names of symbols from
/// them: each folder would give another program.
const WRAPPER: &str = "#!/bin/sh\nexec /usr/bin/rustc --sysroot=\"${0%/bin/rustc}\" \"$@\"\n";

/// Finds or fetches what cargo needs to build for `arch`.
pub(crate) fn target(arch: &'static Arch) -> Result<Target> {
    if arch.is_native() {
        return Ok(Target {
            name: arch.target,
            envs: Vec::new(),
        });
    }
    if let Some(reason) = apt::missing() {
        bail!(
            "cannot build programs for {}: {reason}; `--arch amd64` does without",
            arch.name
        );
    }
    if find_program(LINKER).is_none() || !Path::new(LIBC).is_file() {
        packages::install(&C_PACKAGES)?;
    }
    if !Path::new(COMPILER.0).is_file() {
        packages::install(&[COMPILER.1])?;
    }
    let compiler = sysroot(&Store::open(arch)?)?.join("bin/rustc");
    let target = arch.target.to_uppercase().replace('-', "_");
    Ok(Target {
        name: arch.target,
        envs: vec![
            ("RUSTC".into(), compiler.into()),
            (format!("CARGO_TARGET_{target}_LINKER"), LINKER.into()),
        ],
    })
}

/// A sysroot with the compiler's own libraries, for macros, and those of the target.
fn sysroot(store: &Store) -> Result<PathBuf> {
    let version =
        output(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", COMPILER.1]))
            .with_context(|| format!("{} is not that of the package {}", COMPILER.0, COMPILER.1))?;
    // A compiler takes the library of its very own version alone.
    let sysroot = store.directory.join(format!("sysroot-{version}"));
    if sysroot.join("bin/rustc").is_file() {
        return Ok(sysroot);
    }
    let _ = fs::remove_dir_all(&sysroot);
    let target = store.arch.target;
    let new = store.directory.join("sysroot.part");
    store.apt.unpack(&format!("{LIBRARY}={version}"), &new)?;
    let rustlib = new.join("lib/rustlib");
    for dir in [&rustlib, &new.join("bin")] {
        fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
    }
    fs::rename(
        new.join("usr/lib/rustlib").join(target),
        rustlib.join(target),
    )
    .with_context(|| format!("{LIBRARY} {version} holds no library for {target}"))?;
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
    let wrapper = new.join("bin/rustc");
    fs::write(&wrapper, WRAPPER).with_context(|| format!("{}", wrapper.display()))?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    fs::rename(&new, &sysroot).with_context(|| format!("{}", sysroot.display()))?;
    Ok(sysroot)
}
