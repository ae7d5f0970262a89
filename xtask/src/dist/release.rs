use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, process};

/// The version and the date of all packages.
pub(super) struct Release {
    pub(super) version: String,
    /// Of the commit, in seconds: the newest that any packaged file may be.
    pub(super) date: u64,
}

impl Release {
    pub(super) fn of_commit() -> Result<Self> {
        let date = process::output(
            Command::new("git")
                .args(["log", "-1", "--format=%ct"])
                .current_dir(paths::root()),
        )?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            date: date.trim().parse().context("the commit's date")?,
        })
    }
}
