use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::arch::Arch;
use crate::process::{cargo, run};
use crate::{cross, paths};

/// Builds the static program. Paths of this machine do not get into it.
pub(super) fn static_binary(arch: &'static Arch, target_dir: &Path) -> Result<PathBuf> {
    let remap = |from: &Path, to| format!("--remap-path-prefix={}={to}", from.display());
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        remap(paths::root(), "zombie-trace"),
        remap(target_dir, "target"),
        remap(&paths::cargo_home(), "cargo"),
    ];
    let target = cross::target(arch)?;
    run(cargo()
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "zombie-trace",
        ])
        .args(["--target", target.name, "--target-dir"])
        .arg(target_dir)
        .envs(target.envs)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .current_dir(paths::root()))?;
    Ok(target_dir.join(target.name).join("release/zombie-trace"))
}
