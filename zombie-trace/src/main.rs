//! Shows how long each child process stayed a zombie, and who reaped it.

use std::env;

use anyhow::Context as _;
use nix::sys::prctl;
use zombie_trace::{
    cli::{Cli, Task},
    demo, diff, doctor,
    exit_code::ExitCode,
    inspect, notice, ps, report, run, serve, signals,
};

fn main() -> ExitCode {
    let cli = match Cli::from_args(env::args_os()).and_then(Cli::with_distinct_files) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if !matches!(cli.task, Some(Task::Demo(_))) {
        keep_out_others();
    }
    init_log(&cli);
    if let Err(error) = signals::survive_file_size_limit() {
        log::debug!("SIGXFSZ keeps its disposition: {error}");
    }
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
            notice::fail(&error);
            ExitCode::Error
        }
    }
}

/// Nobody with our user id may trace us, or take our descriptors: with file capabilities that would be
/// a way to the kernel's memory. A demo has nothing to hide, and shows its processes to their user.
fn keep_out_others() {
    if let Err(error) = prctl::set_dumpable(false) {
        notice::warn(&format!(
            "cannot protect this process from its user: {error}"
        ));
    }
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
        .format_target(false)
        .target(env_logger::Target::Pipe(Box::new(notice::Stderr)))
        .init();
}
