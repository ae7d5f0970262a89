use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::paths;
use crate::process::{cargo, run};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the static program. Paths of this machine do not get into it.
pub(super) fn static_binary(target_dir: &Path) -> Result<PathBuf> {
    let remap = |from: &Path, to| format!("--remap-path-prefix={}={to}", from.display());
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        remap(paths::root(), "zombie-trace"),
        remap(target_dir, "target"),
        remap(&paths::cargo_home(), "cargo"),
    ];
    run(cargo()
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "zombie-trace",
        ])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .current_dir(paths::root()))?;
    Ok(target_dir.join(TARGET).join("release/zombie-trace"))
}
