//! The other tracers do not mount tracefs themselves.

use std::{path::Path, process::Command};

const TRACEFS: &str = "/sys/kernel/tracing";

/// Mounted while this lives, if it was not before.
pub(crate) struct Tracefs {
    ours: bool,
}

impl Tracefs {
    pub(crate) fn mounted() -> Result<Self, String> {
        if Path::new(TRACEFS).join("events").exists() {
            return Ok(Self { ours: false });
        }
        run(&["mount", "-t", "tracefs", "tracefs", TRACEFS])?;
        Ok(Self { ours: true })
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = run(&["umount", TRACEFS])
        {
            eprintln!("bench: {error}");
        }
    }
}

fn run(command: &[&str]) -> Result<(), String> {
    let status = Command::new(command[0]).args(&command[1..]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", command.join(" "))),
        Err(error) => Err(format!("{}: {error}", command.join(" "))),
    }
}
