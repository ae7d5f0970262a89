//! Shows how long each child process stayed a zombie, and who reaped it.

use std::{env, io::Write as _};

use anyhow::Context as _;
use zombie_trace::{
    cli::{Cli, Task},
    demo, diff, doctor,
    exit_code::ExitCode,
    inspect, notice, ps, report, run, serve, sink,
};

fn main() -> ExitCode {
    sink::use_locale();
    let cli = match Cli::from_args(env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    init_log(&cli);
    let outcome = match &cli.task {
        Some(Task::Doctor(args)) => doctor::run(args).context("cannot write to standard output"),
        Some(Task::Demo(args)) => demo::run(args),
        Some(Task::Diff(args)) => diff::run(args),
        Some(Task::Inspect(args)) => inspect::run(args),
        Some(Task::Ps(args)) => ps::run(args),
        Some(Task::Report(args)) => report::run(args),
        Some(Task::Serve(args)) => serve::run(args),
        None => run::run(&cli),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            notice::say(&format!("zombie-trace: {error:#}"));
            ExitCode::Error
        }
    }
}

/// Shows help, or what is wrong with the arguments. The message repeats them: where they hold anything
/// that must be escaped, all of it is, and has no colours.
fn usage(error: &clap::Error) -> ExitCode {
    let is_plain = |arg: std::ffi::OsString| {
        let text = arg.to_string_lossy();
        text.is_ascii() && notice::safe(&text) == text
    };
    if !error.use_stderr() || env::args_os().all(is_plain) {
        error.exit()
    }
    notice::say(error.render().to_string().trim_end());
    ExitCode::Usage
}

/// Messages for whoever looks into how the tool works: `-v` tells what is attached, `-vv` what the
/// programs in the kernel do.
fn init_log(cli: &Cli) {
    let level = match cli.verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    env_logger::Builder::new()
        .filter_module("zombie_trace", level)
        .format(|out, record| {
            let level = record.level();
            let text = notice::safe(&record.args().to_string());
            writeln!(out, "[{} {level:<5}] {text}", out.timestamp())
        })
        .init();
}
