//! `cargo xtask run`: the release build, as root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::e2e;
use crate::privilege::Privilege;

/// Builds zombie-trace and becomes it.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let binary = e2e::build_release("zombie-trace", "zombie-trace")?;
    let mut command = Privilege::detect()
        .command(&binary, &[])
        .with_context(|| format!("as root, run {}", binary.display()))?;
    command.args(args);
    Err(command.exec()).with_context(|| format!("cannot run {}", binary.display()))
}
