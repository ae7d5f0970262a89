//! The repository's tasks, run as `cargo xtask TASK`.

mod apt;
mod arch;
mod artifact;
mod bench;
mod crates;
mod cross;
mod dependencies;
mod dist;
mod e2e;
mod ebpf;
mod engines;
mod library;
mod metadata;
mod packages;
mod paths;
mod privilege;
mod process;
mod run;
#[cfg(test)]
mod security_list;
mod series;
mod setup;
mod store;
mod test;
mod vm;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The tasks of this repository")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make this machine ready: eBPF toolchain, bpf-linker, what the tests need
    Setup,
    /// Rebuild the committed eBPF objects and their provenance
    BuildEbpf(ebpf::BuildArgs),
    /// Prove that the committed eBPF objects are what the source gives
    CheckEbpf,
    /// Build zombie-trace and run it as root
    Run {
        /// Arguments of zombie-trace
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run the end-to-end tests alone, as root
    E2e {
        /// Arguments of the test program, such as a part of a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run the recipes of docs/load-testing.md, and show there what they print
    Cookbook,
    /// Trace a real run and draw what the terminal shows, for the README
    Picture,
    /// Run the end-to-end tests on the distribution's kernels, with every backend
    Vm(vm::VmArgs),
    /// Measure what tracing costs, beside other tracers, into docs/benchmarks
    Bench {
        /// Arguments of the benchmark program, such as `--only cost`; with any, nothing is written
        /// unless `--output` says where
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Storms for hours, then 200 starts and stops: nothing lost, nothing grown
    Soak {
        /// How long the storms go on
        #[arg(long, default_value_t = 120)]
        minutes: u64,
    },
    /// Build the packages of a release into target/dist, and try each
    Dist(dist::DistArgs),
    /// Format, clippy, unit and command-line tests: needs no root, installs nothing
    Check,
    /// Everything that a change must pass; installs what it needs
    Test(test::TestArgs),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    if ebpf::rustc_wrapper::is_requested() {
        return ebpf::rustc_wrapper::exec();
    }
    match Cli::parse().task {
        Task::Setup => setup::run(),
        Task::BuildEbpf(args) => ebpf::build_committed(&args),
        Task::CheckEbpf => ebpf::check(),
        Task::Run { args } => run::run(&args),
        Task::E2e { args } => e2e::run(&args),
        Task::Cookbook => e2e::cookbook(),
        Task::Picture => e2e::picture(),
        Task::Vm(args) => vm::run(&args),
        Task::Bench { args } => bench::run(&args),
        Task::Soak { minutes } => bench::soak(minutes),
        Task::Dist(args) => dist::run(&args),
        Task::Check => test::check(),
        Task::Test(args) => test::run(&args),
    }
}
