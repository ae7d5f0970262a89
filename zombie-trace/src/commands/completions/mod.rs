//! `zombie-trace completions`: a shell learns our commands and options.

mod args;

use std::io::{self, Write as _};

pub use args::CompletionsArgs;

use crate::exit_code::ExitCode;

/// Writes the script that completes `command` in a shell.
///
/// # Errors
/// Standard output can't be written.
pub fn run(args: &CompletionsArgs, command: &mut clap::Command) -> io::Result<ExitCode> {
    let name = command.get_name().to_owned();
    // The generator panics where it can't write, so it gets a buffer.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, name, &mut script);
    match io::stdout().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(ExitCode::Success),
    }
}
