//! What is measured, table by table.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use serde::Serialize;
use zombie_trace_e2e::LoadResult;

use crate::{
    Placement, bpf_stats,
    machine::Machine,
    run_load,
    statistics::median,
    subject::{self, Running, Subject},
    top::TopRow,
};

/// All tables; one that was not asked for is empty.
#[derive(Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) processes: u64,
    pub(crate) skipped: Vec<String>,
    pub(crate) cost: Vec<CostRow>,
    pub(crate) programs: Vec<ProgramRow>,
    pub(crate) syscalls: Vec<SyscallRow>,
    pub(crate) loads: Vec<LoadRow>,
    pub(crate) scale: Vec<ScaleRow>,
    pub(crate) sustained: Option<Sustained>,
    pub(crate) top: Vec<TopRow>,
    pub(crate) attach: Option<Attach>,
}

/// A tracer under a loop of fork, exit and wait.
#[derive(Serialize)]
pub(crate) struct CostRow {
    pub(crate) name: String,
    /// Run time of its BPF programs for one process.
    pub(crate) kernel_ns: Option<f64>,
    /// How long a cycle takes, as a ratio to the same without a tracer.
    pub(crate) cycle_ratio: f64,
    /// CPU time of the tracer itself for one process, user space and its system calls.
    pub(crate) user_ns: Option<f64>,
    /// Resident memory when the load is over.
    pub(crate) rss_mib: Option<f64>,
    /// The most that it ever was.
    pub(crate) peak_rss_mib: Option<f64>,
    pub(crate) seen: Option<u64>,
    pub(crate) expected: u64,
}

/// One of our programs.
#[derive(Serialize)]
pub(crate) struct ProgramRow {
    pub(crate) options: String,
    pub(crate) program: String,
    pub(crate) runs_per_process: f64,
    pub(crate) ns_per_process: f64,
}

#[derive(Serialize)]
pub(crate) struct SyscallRow {
    pub(crate) name: String,
    pub(crate) ns: f64,
}

/// A kind of load under no tracer, ours and exitsnoop.
#[derive(Serialize)]
pub(crate) struct LoadRow {
    pub(crate) load: String,
    pub(crate) untraced_per_second: f64,
    pub(crate) name: String,
    pub(crate) kernel_ns: f64,
    pub(crate) cycle_ratio: f64,
    pub(crate) seen: Option<u64>,
    pub(crate) expected: u64,
}

/// Cost beside so many zombies that live on.
#[derive(Serialize)]
pub(crate) struct ScaleRow {
    pub(crate) zombies: u64,
    /// Without the looks.
    pub(crate) kernel_ns: f64,
    /// Of one CPU, by walks over the zombies that live on.
    pub(crate) looks_percent: f64,
    pub(crate) listed: u64,
    pub(crate) stopping_ms: f64,
}

/// A minute at a steady rate, records written to disk.
#[derive(Serialize)]
pub(crate) struct Sustained {
    pub(crate) seconds: u64,
    pub(crate) per_second: f64,
    pub(crate) processes: u64,
    pub(crate) seen: u64,
    pub(crate) lost: u64,
    pub(crate) user_ns: f64,
    pub(crate) rss_mib: f64,
}

/// From exec to `attached`.
#[derive(Serialize)]
pub(crate) struct Attach {
    pub(crate) median_ms: f64,
    pub(crate) max_ms: f64,
}

impl Results {
    pub(crate) fn new(bench: &Bench) -> Self {
        Self {
            machine: Machine::this(),
            rounds: bench.rounds,
            processes: bench.processes,
            skipped: bench.skipped.clone(),
            cost: Vec::new(),
            programs: Vec::new(),
            syscalls: Vec::new(),
            loads: Vec::new(),
            scale: Vec::new(),
            sustained: None,
            top: Vec::new(),
            attach: None,
        }
    }
}

pub(crate) struct Bench {
    pub(crate) tracer: PathBuf,
    load: PathBuf,
    directory: Directory,
    pub(crate) rounds: usize,
    processes: u64,
    pub(crate) ours: Vec<Subject>,
    others: Vec<Subject>,
    skipped: Vec<String>,
}

/// Ours as the tables beside the first have it.
const JSON: usize = 1;
pub(crate) const SUMMARY: usize = 2;
const MINIMUM: usize = 3;

impl Bench {
    pub(crate) fn new(
        tracer: &Path,
        load: &Path,
        rounds: usize,
        processes: u64,
    ) -> Result<Self, String> {
        let (others, skipped) = subject::others();
        Ok(Self {
            tracer: tracer.to_owned(),
            load: load.to_owned(),
            directory: Directory::create()?,
            rounds: rounds.max(1),
            processes,
            ours: subject::ours(tracer),
            others,
            skipped,
        })
    }

    pub(crate) fn start(&self, subject: &Subject, options: &[&str]) -> Result<Running, String> {
        subject.start(&self.directory.0, options)
    }

    pub(crate) fn load(&self, args: &[&str]) -> Result<LoadResult, String> {
        run_load(&self.load, Placement::Anywhere, args)
    }

    /// What a tracer costs, by tracer.
    pub(crate) fn cost(&self) -> Result<Vec<CostRow>, String> {
        let count = self.processes.to_string();
        let args = ["serial", "--count", &count];
        let subjects: Vec<_> = self.ours.iter().chain(&self.others).collect();
        let mut turns = vec![Turns::default(); subjects.len()];
        for round in 0..self.rounds {
            progress("cost", round, self.rounds);
            let untraced = self.load(&args)?.elapsed_ns as f64;
            for (subject, turns) in subjects.iter().zip(&mut turns) {
                let running = self.start(subject, &[])?;
                let cpu = running.cpu_ns();
                let elapsed = self.load(&args)?.elapsed_ns as f64;
                turns.cycle_ratio.push(elapsed / untraced);
                running.settle();
                let used_cpu = (running.cpu_ns() - cpu) as f64;
                turns.user_ns.push(used_cpu / self.processes as f64);
                let used = running.stop()?;
                turns.rss_mib.push(used.rss_kib as f64 / 1024.0);
                turns.peak_rss_mib.push(used.peak_rss_kib as f64 / 1024.0);
                turns.seen = used
                    .seen
                    .map(|seen| seen.min(turns.seen.unwrap_or(u64::MAX)));
            }
        }
        // Apart, as the account itself takes time.
        for round in 0..self.rounds {
            progress("cost in the kernel", round, self.rounds);
            for (subject, turns) in subjects.iter().zip(&mut turns) {
                let (ns, seen, _) = self.kernel_ns(subject, Placement::LastCpu, &args)?;
                turns.kernel_ns.push(ns);
                turns.seen = seen.map(|seen| seen.min(turns.seen.unwrap_or(u64::MAX)));
            }
        }
        Ok(subjects
            .iter()
            .zip(&turns)
            .map(|(subject, turns)| CostRow {
                name: subject.name.into(),
                kernel_ns: median(&turns.kernel_ns),
                cycle_ratio: median(&turns.cycle_ratio).unwrap_or(f64::NAN),
                user_ns: median(&turns.user_ns),
                rss_mib: median(&turns.rss_mib),
                peak_rss_mib: median(&turns.peak_rss_mib),
                seen: turns.seen,
                expected: self.processes,
            })
            .collect())
    }

    /// Run time of a tracer's programs for each process of a load, and what it saw of it.
    fn kernel_ns(
        &self,
        subject: &Subject,
        placement: Placement,
        args: &[&str],
    ) -> Result<(f64, Option<u64>, u64), String> {
        let _enabled = bpf_stats::Enabled::new()?;
        let running = self.start(subject, &[])?;
        let before = running.run_time_ns();
        let processes = run_load(&self.load, placement, args)?.processes;
        let after = running.run_time_ns();
        let used = running.stop()?;
        Ok((
            (after - before) as f64 / processes as f64,
            used.seen,
            processes,
        ))
    }

    /// What each of our programs costs.
    pub(crate) fn programs(&self) -> Result<Vec<ProgramRow>, String> {
        let _enabled = bpf_stats::Enabled::new()?;
        let mut rows = Vec::new();
        for subject in [&self.ours[JSON], &self.ours[MINIMUM]] {
            let running = self.start(subject, &[])?;
            let before = running.costs();
            let count = self.processes.to_string();
            let args = ["serial", "--count", &count];
            let load = run_load(&self.load, Placement::LastCpu, &args)?;
            let processes = load.processes as f64;
            let after = running.costs();
            let names = bpf_stats::names(after.keys().copied());
            for (id, cost) in after {
                let earlier = before.get(&id).copied().unwrap_or_default();
                let runs = (cost.run_count - earlier.run_count) as f64 / processes;
                if runs < 0.01 {
                    continue;
                }
                rows.push(ProgramRow {
                    options: subject.name.into(),
                    program: names.get(&id).cloned().unwrap_or_else(|| id.to_string()),
                    runs_per_process: runs,
                    ns_per_process: (cost.run_time_ns - earlier.run_time_ns) as f64 / processes,
                });
            }
            running.stop()?;
        }
        Ok(rows)
    }

    /// How long a system call takes that has nothing to do with processes.
    pub(crate) fn syscalls(&self) -> Result<Vec<SyscallRow>, String> {
        const COUNT: u64 = 2_000_000;
        let count = COUNT.to_string();
        let args = ["syscalls", "--count", &count];
        let ours = &self.ours[JSON];
        let subjects: Vec<_> = [None, Some(ours)]
            .into_iter()
            .chain(self.others.iter().map(Some))
            .collect();
        let mut times = vec![Vec::new(); subjects.len()];
        for round in 0..self.rounds {
            progress("syscalls", round, self.rounds);
            for (subject, times) in subjects.iter().zip(&mut times) {
                let running = subject
                    .map(|subject| self.start(subject, &[]))
                    .transpose()?;
                times.push(self.load(&args)?.elapsed_ns as f64 / COUNT as f64);
                running.map(Running::stop).transpose()?;
            }
        }
        Ok(subjects
            .iter()
            .zip(&times)
            .map(|(subject, times)| SyscallRow {
                name: subject.map_or("no tracer", |subject| subject.name).into(),
                ns: median(times).unwrap_or(f64::NAN),
            })
            .collect())
    }

    /// Other kinds of load.
    pub(crate) fn loads(&self) -> Result<Vec<LoadRow>, String> {
        let count = self.processes.to_string();
        let fewer = (self.processes / 5).to_string();
        let loads: [(&str, Vec<&str>); 6] = [
            (
                "vfork",
                vec!["serial", "--spawn", "vfork", "--count", &count],
            ),
            (
                "posix_spawn",
                vec!["serial", "--spawn", "posix-spawn", "--count", &fewer],
            ),
            (
                "fork, 2 workers",
                vec!["serial", "--workers", "2", "--count", &count],
            ),
            (
                "vfork, 2 workers",
                vec![
                    "serial",
                    "--spawn",
                    "vfork",
                    "--workers",
                    "2",
                    "--count",
                    &count,
                ],
            ),
            (
                "fork, bursts of 100",
                vec!["burst", "--size", "100", "--count", &count],
            ),
            (
                "chains of 50",
                vec!["tree", "--depth", "50", "--count", &fewer],
            ),
        ];
        let exitsnoop = self.others.iter().find(|other| other.name == "exitsnoop");
        let subjects: Vec<_> = [&self.ours[JSON]].into_iter().chain(exitsnoop).collect();
        let mut rows = Vec::new();
        for (index, (load, args)) in loads.iter().enumerate() {
            progress("loads", index, loads.len());
            let mut ratios = vec![Vec::new(); subjects.len()];
            let mut rates = Vec::new();
            for _ in 0..self.rounds {
                let untraced = self.load(args)?;
                rates.push(untraced.processes as f64 * 1e9 / untraced.elapsed_ns as f64);
                for (subject, ratios) in subjects.iter().zip(&mut ratios) {
                    let running = self.start(subject, &[])?;
                    let elapsed = self.load(args)?.elapsed_ns as f64;
                    ratios.push(elapsed / untraced.elapsed_ns as f64);
                    running.settle();
                    running.stop()?;
                }
            }
            for (subject, ratios) in subjects.iter().zip(&ratios) {
                let (kernel_ns, seen, expected) =
                    self.kernel_ns(subject, Placement::Anywhere, args)?;
                rows.push(LoadRow {
                    load: (*load).into(),
                    untraced_per_second: median(&rates).unwrap_or(f64::NAN),
                    name: subject.name.into(),
                    kernel_ns,
                    cycle_ratio: median(ratios).unwrap_or(f64::NAN),
                    seen,
                    expected,
                });
            }
        }
        Ok(rows)
    }

    /// Cost of a process, and time to end, beside many zombies.
    pub(crate) fn scale(&self) -> Result<Vec<ScaleRow>, String> {
        const ZOMBIES: [u64; 6] = [0, 10, 100, 1_000, 10_000, 30_000];
        /// The program that walks over all tasks.
        const LOOK: &str = "list_tasks";
        let ours = &self.ours[JSON];
        let count = self.processes.to_string();
        let args = ["serial", "--count", &count];
        let mut rows = Vec::new();
        for (index, zombies) in ZOMBIES.into_iter().enumerate() {
            progress("scale", index, ZOMBIES.len());
            let mut costs = Vec::new();
            let mut looks = Vec::new();
            let mut stopping = Vec::new();
            let mut listed = u64::MAX;
            for _ in 0..self.rounds {
                let _enabled = bpf_stats::Enabled::new()?;
                let running = self.start(ours, &[])?;
                let held = Held::start(&self.load, zombies)?;
                let before = running.costs();
                let load = self.load(&args)?;
                let names = bpf_stats::names(before.keys().copied());
                let (mut hooks_ns, mut looks_ns) = (0, 0);
                for (id, cost) in running.costs() {
                    let time =
                        cost.run_time_ns - before.get(&id).map_or(0, |cost| cost.run_time_ns);
                    if names.get(&id).is_some_and(|name| name == LOOK) {
                        looks_ns += time;
                    } else {
                        hooks_ns += time;
                    }
                }
                costs.push(hooks_ns as f64 / load.processes as f64);
                looks.push(looks_ns as f64 / load.elapsed_ns as f64 * 100.0);
                running.settle();
                let used = running.stop()?;
                held.release()?;
                stopping.push(used.stopping.as_secs_f64() * 1e3);
                let alive = used
                    .summary
                    .as_ref()
                    .and_then(|summary| summary["alive"].as_u64());
                listed = listed.min(alive.unwrap_or(0));
            }
            rows.push(ScaleRow {
                zombies,
                kernel_ns: median(&costs).unwrap_or(f64::NAN),
                looks_percent: median(&looks).unwrap_or(f64::NAN),
                listed,
                stopping_ms: median(&stopping).unwrap_or(f64::NAN),
            });
        }
        Ok(rows)
    }

    /// 30,000 processes a second for a minute.
    pub(crate) fn sustained(&self) -> Result<Sustained, String> {
        const SECONDS: u64 = 60;
        progress("sustained", 0, 1);
        let running = self.start(&self.ours[JSON], &[])?;
        let cpu = running.cpu_ns();
        let result = self.load(&[
            "serial",
            "--spawn",
            "vfork",
            "--workers",
            "2",
            "--seconds",
            &SECONDS.to_string(),
            "--rate",
            "30000",
        ])?;
        running.settle();
        let user_ns = (running.cpu_ns() - cpu) as f64 / result.processes as f64;
        let used = running.stop()?;
        let summary = used.summary.ok_or("no summary")?;
        let lost = ["ring_full", "map_full", "missed"]
            .iter()
            .filter_map(|name| summary["lost"][name].as_u64())
            .sum();
        Ok(Sustained {
            seconds: SECONDS,
            per_second: result.processes as f64 * 1e9 / result.elapsed_ns as f64,
            processes: result.processes,
            seen: used.seen.unwrap_or(0),
            lost,
            user_ns,
            rss_mib: used.rss_kib as f64 / 1024.0,
        })
    }

    /// How long a start takes.
    pub(crate) fn attach(&self) -> Result<Attach, String> {
        const STARTS: usize = 21;
        progress("attach", 0, 1);
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let begin = Instant::now();
            let mut child = Command::new(&self.tracer)
                .args(["--json", "-o", "/dev/null"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| format!("{}: {error}", self.tracer.display()))?;
            let messages = BufReader::new(child.stderr.take().ok_or("no standard error")?);
            let attached = messages
                .lines()
                .map_while(Result::ok)
                .find(|line| line.starts_with("attached"));
            let elapsed = begin.elapsed();
            // SAFETY: the pid is that of a child that has not been waited for.
            unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
            child.wait().map_err(|error| error.to_string())?;
            attached.ok_or("it did not attach")?;
            times.push(elapsed.as_secs_f64() * 1e3);
        }
        Ok(Attach {
            median_ms: median(&times).unwrap_or(f64::NAN),
            max_ms: times.iter().copied().fold(0.0, f64::max),
        })
    }
}

/// What the rounds gave for one tracer.
#[derive(Clone, Default)]
struct Turns {
    kernel_ns: Vec<f64>,
    cycle_ratio: Vec<f64>,
    user_ns: Vec<f64>,
    rss_mib: Vec<f64>,
    peak_rss_mib: Vec<f64>,
    seen: Option<u64>,
}

/// Zombies that wait for us.
struct Held(Child);

impl Held {
    fn start(load: &Path, count: u64) -> Result<Self, String> {
        let mut child = Command::new(load)
            .args(["held", "--count", &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        let output = child.stdout.as_mut().ok_or("no standard output")?;
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        if line.trim() == "held" {
            Ok(Self(child))
        } else {
            Err(format!("{count} zombies can't be held here"))
        }
    }

    fn release(mut self) -> Result<(), String> {
        // The result that it prints then is for nobody: let it have its pipe.
        drop(self.0.stdin.take());
        let status = self
            .0
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        if status.status.success() {
            Ok(())
        } else {
            Err(format!("load held: {}", status.status))
        }
    }
}

/// Where the subjects write; gone in the end.
struct Directory(PathBuf);

impl Directory {
    fn create() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("zombie-trace-bench-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing can be done about a failure here.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn progress(table: &str, done: usize, of: usize) {
    // Who does not look need not be told.
    let _ = writeln!(std::io::stderr(), "{table}: {}/{of}", done + 1);
}
