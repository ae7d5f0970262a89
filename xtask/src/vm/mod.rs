//! `cargo xtask vm`: the end-to-end tests on the distribution's kernels, with every backend.

mod boot;
mod initramfs;
mod kernels;
mod results;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::apt::Apt;
use crate::process::find_program;
use crate::{apt, packages, paths};
use kernels::Kernel;
use results::{Cell, Results};

/// Which kernels, which backends and which tests.
#[derive(Args, Default)]
pub(crate) struct VmArgs {
    /// A series such as 6.1 (repeatable); the oldest and the newest if none is given
    #[arg(long)]
    kernel: Vec<String>,

    /// One kernel of each series that is supported
    #[arg(long, conflicts_with = "kernel")]
    all: bool,

    /// Only this backend, forced (repeatable)
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(BACKENDS))]
    backend: Vec<String>,

    /// Write the table to docs/kernels.md
    #[arg(long)]
    document: bool,

    /// Only tests with this in their names, with each backend; those of `backend::` choose it
    filter: Option<String>,
}

impl VmArgs {
    /// Every kernel with every backend.
    pub(crate) fn all() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }
}

/// The kernels above allow all of them: one that does not load has failed.
const BACKENDS: [&str; 3] = ["fentry", "kprobe", "tracepoint"];

/// The suites that have the kernels.
const SUITES: [&str; 4] = ["bullseye", "bookworm", "trixie", "trixie-backports"];

/// Stands for all backends, in the run of the tests about them.
const EACH: &str = "each other";
/// Not about a backend, but why zombies are still there.
const CAUSES: &str = "causes";

/// What the test kernels need, by the program that shows that it is there.
const PACKAGES: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("strace", "strace"),
];

/// One run to be made.
struct Job {
    kernel: Kernel,
    backend: &'static str,
    filter: String,
}

impl Job {
    fn arguments(&self) -> String {
        let filter = &self.filter;
        if [EACH, CAUSES].contains(&self.backend) {
            format!("zt.filter={filter}")
        } else {
            format!("zt.filter={filter} zt.backend={}", self.backend)
        }
    }
}

/// Why no test kernel can run here, if so.
pub(crate) fn missing() -> Option<String> {
    if cfg!(not(target_arch = "x86_64")) {
        return Some("the test kernels are for x86-64".into());
    }
    apt::missing()
}

/// Runs the tests; an error if any failed.
pub(crate) fn run(args: &VmArgs) -> Result<()> {
    if let Some(reason) = missing() {
        bail!("no test kernels: {reason}");
    }
    let needed: Vec<_> = PACKAGES
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !needed.is_empty() {
        packages::install(&needed)?;
    }
    let directory = paths::target_dir().join("vm");
    let images = directory.join("kernels");
    fs::create_dir_all(&images).with_context(|| format!("{}", images.display()))?;
    let apt = Apt::new(&directory.join("apt"), &SUITES)?;
    let known = kernels::newest_of_each_series(&apt.package_names()?);
    let chosen = kernels::choose(&known, &args.kernel, args.all)?;
    for kernel in &chosen {
        kernel.image(&apt, &images)?;
    }
    let initramfs = initramfs::make(&directory)?;

    let jobs = jobs(args, &chosen);
    let one = |job: &Job| {
        let image = job.kernel.image(&apt, &images)?;
        let lines = boot::run(&image, &initramfs, &job.arguments())?;
        Results::parse(&lines, &job.filter).with_context(|| boot::tail(&lines))
    };
    let mut cells = run_all(&jobs, one);
    // The emulators take each other's time, and cases of milliseconds come out otherwise then. What is
    // really wrong fails again.
    for (job, cell) in jobs
        .iter()
        .zip(&mut cells)
        .filter(|(_, cell)| !cell.passed())
    {
        println!("once more, alone:");
        *cell = run_one(job, one);
    }
    let table = results::markdown(&cells);
    println!("\n{table}");
    if args.document {
        document(&table)?;
    }
    let failed = cells.iter().filter(|cell| !cell.passed()).count();
    if failed > 0 {
        bail!("{failed} of {} runs failed", cells.len());
    }
    Ok(())
}

fn jobs(args: &VmArgs, kernels: &[Kernel]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for kernel in kernels {
        let mut add = |backend, filter: &str| {
            jobs.push(Job {
                kernel: kernel.clone(),
                backend,
                filter: filter.to_owned(),
            });
        };
        // These choose their backends.
        if let (Some(filter), []) = (&args.filter, &args.backend[..])
            && filter.starts_with("backend::")
        {
            add(EACH, filter);
            continue;
        }
        // The longest first.
        if args.backend.is_empty() && args.filter.is_none() {
            add(EACH, "backend::");
            add(CAUSES, "cause::");
        }
        for backend in BACKENDS {
            if args.backend.is_empty() || args.backend.iter().any(|asked| asked == backend) {
                add(backend, args.filter.as_deref().unwrap_or("catalogue"));
            }
        }
    }
    jobs
}

/// As many at a time as there are CPUs, each of which emulates one.
fn run_all(jobs: &[Job], one: impl Fn(&Job) -> Result<Results> + Sync) -> Vec<Cell> {
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

fn run_one(job: &Job, one: impl Fn(&Job) -> Result<Results>) -> Cell {
    let start = Instant::now();
    let outcome = one(job).map_err(|error| format!("{error:#}"));
    let seconds = start.elapsed().as_secs();
    let name = format!("{} {}", job.kernel.release, job.backend);
    match &outcome {
        Ok(results) => {
            println!(
                "{name}: {} passed, {} failed, {} skipped in {seconds} s",
                results.passed, results.failed, results.skipped
            );
            if results.failed > 0 {
                println!("{}", results.failures);
            }
        }
        Err(error) => println!("{name}: {error}"),
    }
    Cell {
        kernel: job.kernel.release.clone(),
        backend: job.backend,
        seconds,
        outcome,
    }
}

/// Puts the table into the document, in the place of the last one.
fn document(table: &str) -> Result<()> {
    const BEGIN: &str = "<!-- table: begin -->\n";
    const END: &str = "<!-- table: end -->\n";
    let path = paths::root().join("docs/kernels.md");
    let path: &Path = &path;
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        bail!("{} has no place for the table", path.display());
    };
    let text = format!(
        "{}\n{table}\n{}",
        &text[..begin + BEGIN.len()],
        &text[end..]
    );
    fs::write(path, text).with_context(|| format!("{}", path.display()))
}
