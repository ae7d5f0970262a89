//! `cargo xtask vm`: the end-to-end tests on the distribution's kernels, with every backend.

mod boot;
mod initramfs;
mod job;
mod kernels;
mod results;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use crate::arch::Arch;
use crate::process::find_program;
use crate::store::Store;
use crate::{apt, arch, packages, paths};
use boot::Clock;
use job::Job;
use kernels::Kernel;
use results::{Cell, Results, Run};

/// Which kernels, which backends and which tests.
#[derive(Args, Default)]
pub(crate) struct VmArgs {
    /// What the kernels are for, by Debian's name
    #[arg(long, default_value = "amd64")]
    arch: arch::Name,

    /// A series such as 6.1, or 6.12-16k for pages of 16 KiB (repeatable) [default: the oldest and the newest]
    #[arg(long)]
    kernel: Vec<String>,

    /// Every kernel with every backend and both shifts: the long test
    #[arg(long, conflicts_with = "kernel")]
    all: bool,

    /// Force this backend (repeatable)
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(BACKENDS))]
    backend: Vec<String>,

    /// An emulated instruction takes 2^SHIFT ns (repeatable) [default: 1; 0 and 1 with --all]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=1))]
    shift: Vec<u8>,

    /// What the emulated machine's random numbers start from [default: 1]
    #[arg(long)]
    seed: Option<u32>,

    /// Write the results to docs/kernels.md
    #[arg(long)]
    document: bool,

    /// Only tests with FILTER in their names; each backend is forced, unless FILTER starts with
    /// `backend::` or `cause::`
    filter: Option<String>,
}

impl VmArgs {
    /// Every kernel of each architecture with every backend.
    pub(crate) fn all() -> [Self; 2] {
        [arch::Name::Amd64, arch::Name::Arm64].map(|arch| Self {
            arch,
            all: true,
            ..Self::default()
        })
    }
}

/// One that the kernel is known to lack ([`arch::Arch::lacks`]) is left out. Any other that does not load has
/// failed.
const BACKENDS: [&str; 3] = ["fentry", "kprobe", "tracepoint"];

/// The tests that compare the backends.
const AGREE: &str = "backend::agree";
/// The tests about the backends, which choose them.
const OF_BACKENDS: &str = "backend::";
/// The tests about the causes of zombies, which no backend changes.
const OF_CAUSES: &str = "cause::";
/// The attacks, which no backend may fall for.
const OF_ATTACKS: &str = "attack::";
/// Moves everybody's clock.
const CLOCK_STEP: &str = "fault::clock-step";
/// The tests that run with each backend in turn.
const OF_PROCESSES: &str = "catalogue::";

/// What the test kernels need, by the program that shows that it is there.
const PACKAGES: [(&str, &str); 2] = [("busybox", "busybox-static"), ("cpio", "cpio")];

/// What the tests need besides.
const STRACE: (&str, &str) = ("strace", "strace");

/// Why no test kernel can run here, if so.
pub(crate) fn missing() -> Option<String> {
    if cfg!(not(target_arch = "x86_64")) {
        return Some("their programs are built on x86-64 machines only".into());
    }
    apt::missing()
}

/// Runs the tests; an error if any failed.
pub(crate) fn run(args: &VmArgs) -> Result<()> {
    if let Some(reason) = missing() {
        bail!("no test kernels: {reason}");
    }
    let arch = args.arch.arch();
    install_missing(&[arch.emulator, STRACE])?;
    let store = Store::open(arch)?;
    let known = kernels::newest_of_each_series(&store.apt.package_names()?, arch);
    let chosen = kernels::choose(&known, &args.kernel, args.all)?;
    for kernel in &chosen {
        kernel.image(&store)?;
    }
    let jobs = jobs(args, &chosen)?;
    let initramfs = initramfs::of_tests(&store)?;

    let cells = run_all(&jobs, |job| {
        let image = job.kernel.image(&store)?;
        let (lines, cpu_time) =
            boot::run(&job.kernel, &image, &initramfs, job.clock, &job.arguments())?;
        let results = Results::parse(&lines, &job.filter)
            .map_err(|error| anyhow!("{error:#}:\n{}", boot::tail(&lines)))?;
        Ok((results, cpu_time))
    });
    let table = results::markdown(&cells);
    println!("\n{table}");
    if args.document {
        document(&table, arch.name)?;
    }
    let failed = cells.iter().filter(|cell| !cell.passed()).count();
    if failed > 0 {
        bail!("{failed} of {} runs failed", cells.len());
    }
    Ok(())
}

/// Installs what is missing of [`PACKAGES`] and of these.
fn install_missing(more: &[(&str, &'static str)]) -> Result<()> {
    let needed: Vec<_> = more
        .iter()
        .chain(&PACKAGES)
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    match needed.is_empty() {
        true => Ok(()),
        false => packages::install(&needed),
    }
}

/// The kernel that [`boot()`] takes, the newest of those with long support.
const LONGTERM: &str = "6.12";

/// Boots a kernel with `folders` below `/packages` and `init` as the first process, and returns all that it prints.
pub(crate) fn boot(arch: &'static Arch, folders: &Path, init: &str) -> Result<Vec<String>> {
    install_missing(&[arch.emulator])?;
    let store = Store::open(arch)?;
    let known = kernels::newest_of_each_series(&store.apt.package_names()?, arch);
    let kernels = kernels::choose(&known, &[LONGTERM.to_owned()], false)?;
    let kernel = kernels.first().context("no kernel")?;
    let image = kernel.image(&store)?;
    let initramfs = initramfs::of_folders(&store, folders, init)?;
    let clock = Clock { shift: 1, seed: 1 };
    let (lines, _) = boot::run(kernel, &image, &initramfs, clock, "")?;
    Ok(lines)
}

fn jobs(args: &VmArgs, kernels: &[Kernel]) -> Result<Vec<Job>> {
    let shifts = match &args.shift[..] {
        [] if args.all => &[1, 0],
        [] => &[1][..],
        asked => asked,
    };
    let seed = args.seed.unwrap_or(1);
    let mut jobs = Vec::new();
    for (index, kernel) in kernels.iter().enumerate() {
        let is_last = index + 1 == kernels.len();
        for (backend, filter) in runs(args, is_last) {
            let lacks = |backend| kernel.arch.lacks(backend, kernel.series());
            if let Some(reason) = backend.and_then(lacks) {
                if args
                    .backend
                    .iter()
                    .any(|asked| Some(asked.as_str()) == backend)
                {
                    bail!("--backend: {reason}, and the kernel is {}", kernel.release);
                }
                println!("left out on {}: {reason}", kernel.release);
                continue;
            }
            jobs.extend(shifts.iter().map(|&shift| Job {
                kernel: kernel.clone(),
                backend,
                filter: filter.to_owned(),
                clock: Clock { shift, seed },
            }));
        }
    }
    Ok(jobs)
}

/// Backends to force, and the tests for each. `is_last`: on the last kernel of all.
fn runs(args: &VmArgs, is_last: bool) -> Vec<(Option<&'static str>, &str)> {
    let forced = |filter| {
        BACKENDS
            .into_iter()
            .filter(|backend| args.backend.is_empty() || args.backend.iter().any(|b| b == backend))
            .map(move |backend| (Some(backend), filter))
    };
    match args.filter.as_deref() {
        Some(filter) if args.backend.is_empty() && chooses_backend(filter) => vec![(None, filter)],
        Some(filter) => forced(filter).collect(),
        None if !args.backend.is_empty() => forced(OF_PROCESSES).collect(),
        // The longest first.
        None if args.all => [(None, OF_BACKENDS), (None, OF_CAUSES)]
            .into_iter()
            .chain(forced(OF_PROCESSES))
            .chain(forced(OF_ATTACKS))
            .chain(is_last.then_some((None, CLOCK_STEP)))
            .collect(),
        // What every change has to pass. The whole catalogue passes by while the backends are compared.
        None if is_last => vec![(None, OF_CAUSES), (None, AGREE)],
        None => vec![(None, AGREE)],
    }
}

fn chooses_backend(filter: &str) -> bool {
    [OF_BACKENDS, OF_CAUSES, CLOCK_STEP]
        .iter()
        .any(|tests| filter.starts_with(tests))
}

/// As many at a time as there are CPUs, each of which emulates one.
fn run_all(jobs: &[Job], one: impl Fn(&Job) -> Result<Run> + Sync) -> Vec<Cell> {
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let count = jobs.len();
    let next = Mutex::new(jobs.iter().enumerate());
    let cells = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once.min(count) {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().expect("no thread panics with it").next();
                    let Some((index, job)) = taken else { break };
                    let cell = run_one(job, &one);
                    let mut cells = cells.lock().expect("no thread panics with it");
                    cells.push((index, cell));
                }
            });
        }
    });
    let mut cells = cells.into_inner().expect("no thread panics with it");
    cells.sort_by_key(|(index, _)| *index);
    cells.into_iter().map(|(_, cell)| cell).collect()
}

fn run_one(job: &Job, one: impl Fn(&Job) -> Result<Run>) -> Cell {
    let start = Instant::now();
    let outcome = one(job).map_err(|error| format!("{error:#}"));
    match &outcome {
        Ok((results, cpu_time)) => {
            println!(
                "{job}: {} passed, {} failed, {} skipped in {} s, {} s of CPU time",
                results.passed,
                results.failed,
                results.skipped,
                start.elapsed().as_secs(),
                cpu_time.as_secs()
            );
            if results.failed > 0 {
                println!("{}", results.failures);
            }
        }
        Err(error) => println!("{job}: {error}"),
    }
    let cell = Cell {
        job: job.clone(),
        outcome,
    };
    if !cell.passed() {
        println!("repeat it with: {}", job.command());
    }
    cell
}

/// Puts the table into the document, in the place of the architecture's last one.
fn document(table: &str, arch: &str) -> Result<()> {
    let begin_mark = format!("<!-- table {arch}: begin -->\n");
    let end_mark = format!("<!-- table {arch}: end -->\n");
    let path = paths::root().join("docs/kernels.md");
    let path: &Path = &path;
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let (Some(begin), Some(end)) = (text.find(&begin_mark), text.find(&end_mark)) else {
        bail!("{} has no place for the table of {arch}", path.display());
    };
    let text = format!(
        "{}\n{table}\n{}",
        &text[..begin + begin_mark.len()],
        &text[end..]
    );
    fs::write(path, text).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(args: &VmArgs) -> Vec<String> {
        let kernels = ["5.10.0-32", "7.3.4+deb13"]
            .map(|release| format!("linux-image-{release}-cloud-{}", args.arch.arch().name))
            .map(|package| Kernel::from_package(&package, args.arch.arch()));
        jobs(args, &kernels.map(Option::unwrap))
            .unwrap()
            .iter()
            .map(Job::command)
            .collect()
    }

    #[test]
    fn every_change_runs_the_comparison_and_once_the_causes() {
        assert_eq!(
            commands(&VmArgs::default()),
            [
                "cargo xtask vm --kernel 5.10 --shift 1 --seed 1 backend::agree",
                "cargo xtask vm --kernel 7.3 --shift 1 --seed 1 cause::",
                "cargo xtask vm --kernel 7.3 --shift 1 --seed 1 backend::agree",
            ]
        );
    }

    #[test]
    fn the_long_test_runs_everything_with_both_shifts() {
        let all = commands(&VmArgs {
            all: true,
            ..VmArgs::default()
        });
        assert_eq!(all.len(), 2 * (2 * 8 + 1));
        for command in [
            "cargo xtask vm --kernel 5.10 --shift 0 --seed 1 backend::",
            "cargo xtask vm --kernel 5.10 --shift 1 --seed 1 cause::",
            "cargo xtask vm --kernel 7.3 --backend kprobe --shift 0 --seed 1 catalogue::",
        ] {
            assert!(all.iter().any(|one| one == command), "{command}: {all:?}");
        }
    }

    #[test]
    fn what_a_kernel_lacks_is_left_out_or_refused() {
        let on_arm64 = |backend: Vec<String>| VmArgs {
            arch: arch::Name::Arm64,
            filter: Some(OF_PROCESSES.into()),
            backend,
            ..VmArgs::default()
        };
        let commands = commands(&on_arm64(vec![]));
        let fentry: Vec<_> = commands
            .iter()
            .filter(|command| command.contains("fentry"))
            .collect();
        assert_eq!(
            fentry,
            [
                "cargo xtask vm --arch arm64 --kernel 7.3 --backend fentry --shift 1 --seed 1 catalogue::"
            ]
        );
        assert_eq!(commands.len(), 5);
        let package = "linux-image-5.10.0-32-cloud-arm64";
        let oldest = Kernel::from_package(package, arch::Name::Arm64.arch()).unwrap();
        let error = jobs(&on_arm64(vec!["fentry".into()]), &[oldest]).unwrap_err();
        assert!(error.to_string().contains("6.4 or later"), "{error}");
    }

    #[test]
    fn a_printed_command_makes_the_same_run() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: VmArgs,
        }
        for args in [
            VmArgs {
                seed: Some(7),
                shift: vec![0],
                ..VmArgs::default()
            },
            VmArgs {
                all: true,
                ..VmArgs::default()
            },
            VmArgs {
                arch: arch::Name::Arm64,
                ..VmArgs::default()
            },
        ] {
            for command in commands(&args) {
                let words = command.split(' ').skip(2);
                let cli: Cli = clap::Parser::try_parse_from(words).unwrap();
                let series = cli.args.kernel.concat();
                let repeated = commands(&cli.args);
                let repeated: Vec<_> = repeated
                    .iter()
                    .filter(|again| again.contains(&format!("--kernel {series} ")))
                    .collect();
                assert_eq!(repeated, [&command]);
            }
        }
    }
}
