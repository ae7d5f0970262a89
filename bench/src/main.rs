//! `bench`: what tracing costs the traced machine, ours and other tracers side by side.
//!
//! All figures of a table come from one run on one machine: in each round every subject takes its
//! turn under the same load, and cycle times are compared with the untraced turn of their round.

mod bpf_stats;
mod floor;
mod machine;
mod measure;
mod report;
mod soak;
mod statistics;
mod subject;
mod terminal;
mod top;
mod tracefs;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use clap::{Parser, Subcommand};
use zombie_trace_e2e::LoadResult;

use floor::Floor;
use measure::{Bench, Results};

/// Measures what tracing costs, ours and other tracers in turns
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    task: Option<Task>,
    /// The zombie-trace to measure
    #[arg(long, value_name = "PROGRAM", required = true)]
    tracer: Option<PathBuf>,
    /// The load generator
    #[arg(long, value_name = "PROGRAM", required = true)]
    load: Option<PathBuf>,
    /// Turns of every subject; figures are medians of them
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Processes of a turn
    #[arg(long, default_value_t = 20_000)]
    processes: u64,
    /// Only these tables (cost, programs, loads, scale, sustained, top, attach, syscalls)
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// No benchmark, but so many minutes of storms, then starts and stops
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// How many starts and stops a soak ends with
    #[arg(long, default_value_t = 200)]
    restarts: usize,
    /// Write NAME.md and NAME.json
    #[arg(long, value_name = "NAME")]
    output: Option<PathBuf>,
}

/// What the benchmark runs itself as.
#[derive(Clone, Copy, Subcommand)]
enum Task {
    /// Attach programs that do nothing, until SIGINT
    Floor {
        /// Four of the five read the clock
        #[arg(long)]
        clocks: bool,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    if let Some(Task::Floor { clocks }) = cli.task {
        return floor::run(match clocks {
            true => Floor::Clocks,
            false => Floor::Empty,
        });
    }
    let (Some(tracer), Some(load)) = (&cli.tracer, &cli.load) else {
        return Err("--tracer and --load are needed".to_owned());
    };
    let _tracefs = tracefs::Tracefs::mounted()?;
    let bench = Bench::new(tracer, load, cli.rounds, cli.processes)?;
    if let Some(minutes) = cli.soak {
        return bench.soak(minutes, cli.restarts);
    }
    let wanted = |table: &str| cli.only.is_empty() || cli.only.iter().any(|name| name == table);
    let mut results = Results::new(&bench);
    if wanted("cost") {
        results.cost = bench.cost()?;
    }
    if wanted("programs") {
        results.programs = bench.programs()?;
    }
    if wanted("syscalls") {
        results.syscalls = bench.syscalls()?;
    }
    if wanted("loads") {
        results.loads = bench.loads()?;
    }
    if wanted("scale") {
        results.scale = bench.scale()?;
    }
    if wanted("sustained") {
        results.sustained = Some(bench.sustained()?);
    }
    if wanted("top") {
        results.top = bench.top()?;
    }
    if wanted("attach") {
        results.attach = Some(bench.attach()?);
    }
    let markdown = report::markdown(&results);
    print!("{markdown}");
    if let Some(output) = &cli.output {
        let write = |extension: &str, text: &str| {
            let path = output.with_extension(extension);
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        write("md", &markdown)?;
        let json = serde_json::to_string_pretty(&results).map_err(|error| error.to_string())?;
        write("json", &(json + "\n"))?;
    }
    Ok(())
}

/// Where the load generator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placement {
    /// Wherever the scheduler puts it.
    Anywhere,
    /// On the last CPU alone, at real-time priority: nothing else fills its caches meanwhile, so that
    /// what programs cost can be compared. On a machine of one CPU, anywhere, as the tracer would
    /// starve.
    LastCpu,
}

impl Placement {
    fn command(self, program: &Path) -> Command {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        if self == Self::Anywhere || cpus == 1 {
            return Command::new(program);
        }
        // Both are of util-linux.
        let mut command = Command::new("chrt");
        command
            .args(["--fifo", "50", "taskset", "--cpu-list"])
            .arg((cpus - 1).to_string())
            .arg(program);
        command
    }
}

/// Runs the load generator and gives what it says.
fn run_load(program: &Path, placement: Placement, args: &[&str]) -> Result<LoadResult, String> {
    let output = placement
        .command(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match LoadResult::parse(&text) {
        Some(result) if output.status.success() => Ok(result),
        _ => Err(format!("load {}: {}", args.join(" "), output.status)),
    }
}
