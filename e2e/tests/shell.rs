//! A recipe of a document, run as it is written.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use zombie_trace_e2e::Recipe;

use crate::context;

/// Where a recipe is followed.
pub(crate) struct Shell<'a> {
    /// The directory that it begins in.
    pub(crate) current: &'a Path,
    /// Directories that are on PATH before all others.
    pub(crate) programs: &'a [&'a Path],
    /// It does not take longer.
    pub(crate) limit: Duration,
}

impl Shell<'_> {
    /// All steps in one shell, which ends at the first command that fails. Gives what each has
    /// printed.
    pub(crate) fn run(&self, recipe: &Recipe) -> Result<Vec<String>, String> {
        let directory = context::fresh_path("recipe");
        let made = |error| format!("{}: {error}", directory.display());
        fs::create_dir(&directory).map_err(made)?;
        let output = |step: usize| directory.join(format!("step-{step}"));
        let mut script = "set -euo pipefail\n".to_owned();
        for (number, step) in recipe.steps.iter().enumerate() {
            script += &format!("exec >{} 2>&1\n", output(number).display());
            script += step.commands;
        }
        let file = directory.join("script");
        fs::write(&file, script).map_err(made)?;

        let path = env::var_os("PATH").unwrap_or_default();
        let programs = self.programs.iter().map(PathBuf::from);
        let path = env::join_paths(programs.chain(env::split_paths(&path)));
        let mut shell = Command::new("/bin/bash");
        shell
            .arg(&file)
            .current_dir(self.current)
            .env("PATH", path.map_err(|error| error.to_string())?)
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
        let status = run_alone(shell, self.limit);
        let outputs: Vec<_> = (0..recipe.steps.len())
            .map(|step| fs::read(output(step)).unwrap_or_default())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect();
        match status {
            Ok(status) if status.success() => Ok(outputs),
            Ok(status) => Err(format!("{status}\n{}", outputs.join("----\n"))),
            Err(error) => Err(format!("{error}\n{}", outputs.join("----\n"))),
        }
    }
}

/// Runs it to its end, or to the limit, and ends whatever it leaves behind.
fn run_alone(mut command: Command, limit: Duration) -> Result<ExitStatus, String> {
    let mut child = command
        .process_group(0)
        .spawn()
        .map_err(|error| format!("bash: {error}"))?;
    let status = wait(&mut child, limit);
    // SAFETY: no pointers. The group is ours; where it is empty, this fails.
    unsafe { libc::kill(-(child.id() as libc::pid_t), libc::SIGKILL) };
    let _ = child.wait();
    status
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, String> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(format!("still runs after {limit:?}"))
}
