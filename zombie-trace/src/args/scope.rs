use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::{
    container::ContainerQuery,
    kernel::KernelScope,
    model::ScopeLine,
    stderr,
    system::{Cgroup, CgroupPaths, proc},
    text,
    value::{Pid, PidError},
};

/// Which processes it is about.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct ScopeArgs {
    /// Only this exiting process (repeatable)
    #[arg(short, long, value_name = "PID", allow_hyphen_values = true)]
    #[arg(value_parser = process, help_heading = "Scope")]
    pub pid: Vec<Pid>,

    /// Only children of this parent (repeatable)
    #[arg(short = 'P', long, value_name = "PID", allow_hyphen_values = true)]
    #[arg(value_parser = parent, help_heading = "Scope")]
    pub ppid: Vec<Pid>,

    /// Only descendants of PID, even if reparented
    #[arg(
        long,
        value_name = "PID",
        allow_hyphen_values = true,
        help_heading = "Scope"
    )]
    pub tree: Option<Pid>,

    /// Only this cgroup v2 and those below it
    #[arg(short, long, value_name = "PATH", help_heading = "Scope")]
    pub cgroup: Option<PathBuf>,

    /// Only containers with this ID, ID prefix, name or host name (repeatable)
    #[arg(long, value_name = "ID|NAME", help_heading = "Scope")]
    pub container: Vec<ContainerQuery>,
}

fn process(text: &str) -> Result<Pid, String> {
    pid_or_name(text, "-p", "-n")
}

fn parent(text: &str) -> Result<Pid, String> {
    pid_or_name(text, "-P", "--parent-comm")
}

/// The pid; or what to do where a name was given.
fn pid_or_name(text: &str, option: &str, for_names: &str) -> Result<Pid, String> {
    text.parse().map_err(|error| match error {
        PidError::NotANumber
            if !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            format!("{option} takes a pid; for a name use {for_names} {text}")
        }
        error => error.to_string(),
    })
}

impl ScopeArgs {
    /// As in the first line of JSON, without the command.
    pub fn line(&self) -> ScopeLine {
        let pids = |pids: &[Pid]| pids.iter().map(|pid| pid.get()).collect();
        let cgroup = self.cgroup.as_ref();
        ScopeLine {
            pid: pids(&self.pid),
            ppid: pids(&self.ppid),
            tree: self.tree.map(Pid::get),
            cgroup: cgroup.map(|path| path.to_string_lossy().into_owned()),
            container: self
                .container
                .iter()
                .map(|container| container.as_str().to_owned())
                .collect(),
            command: false,
        }
    }

    /// The scope as the kernel side decides it. Warns of what does not exist yet.
    ///
    /// # Errors
    /// `--cgroup` names no cgroup v2.
    pub fn resolve(&self) -> anyhow::Result<KernelScope> {
        let warn = |flag: &str, pid: Pid| {
            if !proc::exists(pid.get()) {
                stderr::warn(&format!(
                    "{flag} {pid}: there is no such process now; waiting for it"
                ));
            }
            pid.get()
        };
        let cgroup = match &self.cgroup {
            Some(path) => Some(
                Cgroup::from_path(path)
                    .with_context(|| format!("--cgroup {}", text::path(path)))?,
            ),
            None => None,
        };
        self.warn_of_no_cgroup("; waiting for one");
        self.warn_of_no_container("; waiting for one");
        Ok(KernelScope {
            pids: self.pid.iter().map(|pid| warn("--pid", *pid)).collect(),
            ppids: self.ppid.iter().map(|pid| warn("--ppid", *pid)).collect(),
            tree: self.tree.map(|pid| warn("--tree", pid)),
            cgroup,
            containers: self.container.clone(),
        })
    }

    /// Warns if nothing runs in the cgroup.
    pub(crate) fn warn_of_no_cgroup(&self, what_now: &str) {
        if let Some(path) = self
            .cgroup
            .as_ref()
            .filter(|path| !Cgroup::is_populated(path))
        {
            stderr::warn(&format!(
                "--cgroup {}: no process runs in it now{what_now}",
                text::path(path)
            ));
        }
    }

    /// Warns of each container that no cgroup v2 is of.
    pub(crate) fn warn_of_no_container(&self, what_now: &str) {
        let mut known = CgroupPaths::new();
        if !self.container.is_empty() {
            known.add_containers();
        }
        for wanted in &self.container {
            let mut paths = known.paths();
            if paths.any(|path| wanted.matches_path(path)) {
                continue;
            }
            // A host name is known once a process of it ends.
            let kinds = match wanted.is_id_begin() {
                true => "ID",
                false => "ID or name",
            };
            stderr::warn(&format!(
                "--container {}: no container with this {kinds} runs now{what_now}",
                wanted.as_str()
            ));
        }
    }
}
