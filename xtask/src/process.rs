//! Running other programs.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// The cargo that runs this task, or else the first on `PATH`.
pub(crate) fn cargo() -> Command {
    Command::new(cargo_path())
}

/// The path of the cargo that [`cargo`] runs.
pub(crate) fn cargo_path() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs a program that writes to our terminal and reads nothing.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", describe(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", describe(command));
    }
    Ok(())
}

/// Runs a program for what it writes to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    String::from_utf8(output_bytes(command)?)
        .with_context(|| format!("{} did not print UTF-8", describe(command)))
}

/// As [`output`], but it need not be text.
pub(crate) fn output_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", describe(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", describe(command), output.status);
    }
    Ok(output.stdout)
}

/// Runs a program that turns its standard input into its standard output.
pub(crate) fn filter(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = command.spawn();
    let failure = || format!("cannot run {}", describe(command));
    let mut child = child.with_context(failure)?;
    let mut stdin = child.stdin.take().with_context(failure)?;
    let output = thread::scope(|scope| {
        // Neither pipe may fill up while the other is waited for.
        let writer = scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output();
        writer.join().unwrap_or(Ok(())).and(output)
    });
    let output = output.with_context(failure)?;
    if !output.status.success() {
        bail!("{} failed: {}", describe(command), output.status);
    }
    Ok(output.stdout)
}

/// Asks a program that may be missing or may fail; nothing reaches our terminal.
pub(crate) fn probe(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

/// The command line of `command`, for messages.
pub(crate) fn describe(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// The folders of `PATH`.
pub(crate) fn path_dirs() -> Vec<PathBuf> {
    env::var_os("PATH").map_or_else(Vec::new, |path| env::split_paths(&path).collect())
}

/// The first program of that name on `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    path_dirs()
        .into_iter()
        .map(|dir| dir.join(name))
        .find(|path| is_program(path))
}

/// Whether `path` is a file that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-here").is_none());
    }

    #[test]
    fn a_filter_gets_more_than_a_pipe_holds() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(filter(&mut Command::new("cat"), &input).unwrap(), input);
        assert!(filter(&mut Command::new("false"), b"").is_err());
    }

    #[test]
    fn a_failure_names_the_command_line() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.to_string().starts_with("sh -c exit 3 failed"));
    }
}
