//! The program `zombie-trace`: its `main`, which reads as a table of contents.

use std::{env, io::Write as _};

#[cfg(feature = "serve")]
use crate::commands::serve;
#[cfg(feature = "top")]
use crate::commands::top;
#[cfg(feature = "report")]
use crate::commands::{record, report};
#[cfg(feature = "stacks")]
use crate::stacks::symbolizer;
use crate::{
    cli::{Cli, Task},
    commands::{completions, demo, diff, doctor, inspect, ps, trace},
    exit_code::ExitCode,
    run::signals,
    stderr,
    system::privilege::{self, Purpose},
    text,
};
use anyhow::Context as _;
use clap::CommandFactory as _;
use jiff::Timestamp;

/// Does what the command line asks for, and gives the exit status.
pub fn main() -> ExitCode {
    #[cfg(feature = "stacks")]
    if let Some(code) = symbolizer::main() {
        return code;
    }
    text::use_locale();
    let cli = match Cli::from_args(env::args_os()).and_then(Cli::with_distinct_files) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    // Before any file is opened, or a thread started.
    let outcome = privilege::restrict(purpose(&cli)).and_then(|()| {
        init_log(&cli);
        if let Err(error) = signals::survive_file_size_limit() {
            log::debug!("SIGXFSZ keeps its disposition: {error}");
        }
        perform(&cli)
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            stderr::fail(&error);
            ExitCode::Error
        }
    }
}

/// Which privileges the task has a use for.
fn purpose(cli: &Cli) -> Purpose {
    match &cli.task {
        None | Some(Task::Doctor(_)) => Purpose::Trace,
        #[cfg(feature = "report")]
        Some(Task::Record(_)) => Purpose::Trace,
        Some(Task::Inspect(args)) if args.duration.is_some() => Purpose::Trace,
        Some(Task::Inspect(_) | Task::Ps(_)) => Purpose::ReadProcesses,
        #[cfg(feature = "top")]
        Some(Task::Top(args)) if args.file.is_none() => Purpose::Trace,
        #[cfg(feature = "serve")]
        Some(Task::Serve(_)) => Purpose::Serve,
        Some(_) => Purpose::Unprivileged,
    }
}

fn perform(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.task {
        Some(Task::Doctor(args)) => doctor::run(args).context("cannot write to standard output"),
        Some(Task::Completions(args)) => {
            completions::run(args, &mut Cli::command()).context("cannot write to standard output")
        }
        Some(Task::Demo(args)) => demo::run(args),
        Some(Task::Diff(args)) => diff::run(args),
        Some(Task::Inspect(args)) => inspect::run(args),
        Some(Task::Ps(args)) => ps::run(args),
        #[cfg(feature = "report")]
        Some(Task::Record(args)) => record::run(args),
        #[cfg(feature = "report")]
        Some(Task::Report(args)) => report::run(args),
        #[cfg(feature = "serve")]
        Some(Task::Serve(args)) => serve::run(args),
        #[cfg(feature = "top")]
        Some(Task::Top(args)) => top::run(args),
        None => trace::run(&cli.trace),
    }
}

/// Shows help, or what is wrong with the arguments. The message repeats them: where they hold anything
/// that must be escaped, all of it is, and has no colours.
fn usage(error: &clap::Error) -> ExitCode {
    let is_plain = |arg: std::ffi::OsString| {
        let text = arg.to_string_lossy();
        text.is_ascii() && stderr::safe(&text) == text
    };
    if !error.use_stderr() || env::args_os().all(is_plain) {
        error.exit()
    }
    stderr::say(error.render().to_string().trim_end());
    ExitCode::Usage
}

/// Messages for whoever looks into how the tool works: `-v` tells what is attached, `-vv` what the
/// programs in the kernel do.
fn init_log(cli: &Cli) {
    let verbose = match &cli.task {
        #[cfg(feature = "report")]
        Some(Task::Record(args)) => args.run.verbose,
        #[cfg(feature = "top")]
        Some(Task::Top(args)) => args.run.verbose,
        _ => cli.trace.run.verbose,
    };
    let level = match verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    env_logger::Builder::new()
        .filter_module("zombie_trace", level)
        .target(env_logger::Target::Pipe(Box::new(stderr::Stderr)))
        .format(|out, record| {
            let (now, level) = (Timestamp::now(), record.level());
            let text = stderr::safe(&record.args().to_string());
            writeln!(out, "[{now:.3} {level:<5}] {text}")
        })
        .init();
}
