//! `zombie-trace completions`: a shell learns our commands and options.

mod args;

use std::io::{self, Write as _};

use clap_complete::Shell;

pub use args::CompletionsArgs;

use crate::exit_code::ExitCode;

/// bash's script for a name with a dash looks for options under a name that it never sets.
const WRONG_IN_BASH: &str = "zombie__subcmd__trace__subcmd__";
const RIGHT_IN_BASH: &str = "zombie__trace__subcmd__";

/// Writes the script that completes `command` in a shell.
///
/// # Errors
/// Standard output can't be written.
pub fn run(args: &CompletionsArgs, command: &mut clap::Command) -> io::Result<ExitCode> {
    match io::stdout().write_all(script(args.shell, command).as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(ExitCode::Success),
    }
}

fn script(shell: Shell, command: &mut clap::Command) -> String {
    let name = command.get_name().to_owned();
    // The generator panics where it can't write, so it gets a buffer.
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    let script = String::from_utf8_lossy(&script);
    match shell {
        Shell::Bash => script.replace(WRONG_IN_BASH, RIGHT_IN_BASH),
        _ => script.into_owned(),
    }
}
