//! OCI containers, which runc runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{Outcome, context, context::succeeds, ensure};

const PROGRAM: &str = "/usr/sbin/runc";

/// What runc calls each container, in a state of its own.
const NAME: &str = "box";

/// Why no container can run here, if so.
pub(crate) fn missing() -> Option<String> {
    context::no_program(PROGRAM)
}

/// A container's configuration and its files. Whatever runs in it ends when this is dropped.
pub(crate) struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    /// One whose root, still empty, is `rootfs`.
    pub(crate) fn new(config: &Value) -> Result<Self, String> {
        let directory = context::fresh_path("bundle");
        fs::create_dir_all(directory.join("rootfs"))
            .and_then(|()| fs::write(directory.join("config.json"), config.to_string()))
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        Ok(Self { directory })
    }

    /// What the container sees as its root.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    fn runc(&self, action: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--root")
            .arg(self.directory.join("state"))
            .arg(action)
            .stdin(Stdio::null());
        command
    }

    /// What runs it to its end.
    pub(crate) fn run(&self) -> Command {
        let mut command = self.runc("run");
        command.arg("--bundle").arg(&self.directory).arg(NAME);
        command
    }

    /// What runs one more program in it.
    pub(crate) fn exec(&self, args: &[&str]) -> Command {
        let mut command = self.runc("exec");
        command.arg(NAME).args(args);
        command
    }

    /// Sends its first process a signal.
    pub(crate) fn kill(&self, signal: &str) -> Outcome {
        succeeds(self.runc("kill").args([NAME, signal])).map(drop)
    }

    /// Its first process.
    pub(crate) fn pid(&self) -> Result<u64, String> {
        let state = succeeds(self.runc("state").arg(NAME))?;
        let state: Value =
            serde_json::from_slice(&state.stdout).map_err(|error| error.to_string())?;
        state["pid"]
            .as_u64()
            .ok_or_else(|| format!("no pid: {state}"))
    }

    /// Whether runc has cleaned up behind itself.
    pub(crate) fn no_residue(&self) -> Outcome {
        let state = self.directory.join("state");
        let left = fs::read_dir(state).map_or(0, |entries| entries.count());
        ensure!(left == 0, "{left} containers are left");
        Ok(())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.runc("delete").args(["--force", NAME]).output();
    }
}

/// A file or directory of this machine at the same place, or at another, to be read alone.
pub(crate) fn bound(source: &Path, destination: &Path) -> Value {
    let options = ["rbind", "ro"];
    json!({
        "destination": destination, "type": "bind", "source": source, "options": options,
    })
}
