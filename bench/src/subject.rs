//! The tracers that are compared.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    bpf_stats::{self, Cost},
    terminal::Terminal,
};

/// A tracer, and how it is run.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    count: Counting,
    stage: Stage,
}

/// Where it writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    File,
    Terminal,
}

/// Where the events that it has seen stand in its output.
#[derive(Clone, Copy)]
enum Counting {
    /// A line each, which names the load's program; one of them is the load itself.
    Lines,
    /// A line each, which names the load's program as its parent too.
    Children,
    /// Our summary.
    Summary,
    /// Not one by one.
    None,
}

/// The same life as everybody else's one-liner measures it, an event each.
const BPFTRACE_PRINTF: &str = "\
    tracepoint:sched:sched_process_exit { @exit[pid] = nsecs; @comm[pid] = comm; } \
    tracepoint:sched:sched_process_free /@exit[args->pid]/ { \
    printf(\"%s %d %d\\n\", @comm[args->pid], args->pid, nsecs - @exit[args->pid]); \
    delete(@exit[args->pid]); delete(@comm[args->pid]); }";

const BPFTRACE_HISTOGRAM: &str = "\
    tracepoint:sched:sched_process_exit { @exit[pid] = nsecs; } \
    tracepoint:sched:sched_process_free /@exit[args->pid]/ { \
    @ns = hist(nsecs - @exit[args->pid]); delete(@exit[args->pid]); }";

/// How long a tracer may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ours as a user has it in mind: what each way of running it is called, and its options.
pub(crate) fn ours(tracer: &Path) -> Vec<Subject> {
    let subject = |name, args: &[&str], count| Subject {
        name,
        program: tracer.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        count,
        stage: Stage::File,
    };
    vec![
        subject("zombie-trace -m 0", &["-m", "0"], Counting::Children),
        subject(JSON, &["--json"], Counting::Children),
        subject("zombie-trace -s", &["-s", "--json"], Counting::Summary),
        subject(
            "zombie-trace -m 10ms",
            &["-m", "10ms", "--json"],
            Counting::None,
        ),
        subject(
            "zombie-trace serve",
            &["serve", "--listen", "127.0.0.1:0"],
            Counting::None,
        ),
    ]
}

/// The live view, on a terminal.
pub(crate) fn top(tracer: &Path) -> Subject {
    Subject {
        name: "zombie-trace top",
        program: tracer.to_owned(),
        args: vec!["top".into()],
        count: Counting::None,
        stage: Stage::Terminal,
    }
}

/// Ours with every record.
pub(crate) const JSON: &str = "zombie-trace --json";
/// The floor, as its table and its ratios name it.
pub(crate) const FLOOR: &str = "floor: 5 programs, 4 clock reads";
/// The cheapest script that measures how long zombies last.
pub(crate) const HISTOGRAM: &str = "bpftrace hist";

/// The others, and why those that are not here can't take part.
pub(crate) fn others() -> (Vec<Subject>, Vec<String>) {
    let mut subjects = Vec::new();
    let mut skipped = Vec::new();
    match std::env::current_exe() {
        Ok(program) => {
            for (name, args) in [
                ("floor: 5 empty programs", &["floor"][..]),
                (FLOOR, &["floor", "--clocks"]),
            ] {
                subjects.push(Subject {
                    name,
                    program: program.clone(),
                    args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                    count: Counting::None,
                    stage: Stage::File,
                });
            }
        }
        Err(error) => skipped.push(format!("the floor: {error}")),
    }
    match find("exitsnoop") {
        Some(program) => subjects.push(Subject {
            name: "exitsnoop",
            program,
            args: Vec::new(),
            count: Counting::Lines,
            stage: Stage::File,
        }),
        None => skipped.push("exitsnoop: not installed (Debian package libbpf-tools)".into()),
    }
    match find("bpftrace") {
        Some(program) => {
            for (name, script, count) in [
                ("bpftrace printf", BPFTRACE_PRINTF, Counting::Lines),
                (HISTOGRAM, BPFTRACE_HISTOGRAM, Counting::None),
            ] {
                subjects.push(Subject {
                    name,
                    program: program.clone(),
                    args: vec!["-e".into(), script.into()],
                    count,
                    stage: Stage::File,
                });
            }
        }
        None => skipped.push("bpftrace: not installed (Debian package bpftrace)".into()),
    }
    (subjects, skipped)
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// A tracer at work.
pub(crate) struct Running {
    child: Child,
    output: PathBuf,
    count: Counting,
    terminal: Option<Terminal>,
}

/// What a tracer had used when it was stopped, and told.
pub(crate) struct Used {
    /// The processes of the load that it told of; the load itself is not counted.
    pub(crate) seen: Option<u64>,
    pub(crate) peak_rss_kib: u64,
    /// At the end, not counting what it needs to begin.
    pub(crate) rss_kib: u64,
    /// From the signal to its end.
    pub(crate) stopping: Duration,
    /// Our summary, if it is ours.
    pub(crate) summary: Option<Value>,
    /// All that it has written.
    pub(crate) text: String,
}

impl Subject {
    /// Starts it, with options besides, and waits until its programs are attached.
    pub(crate) fn start(&self, directory: &Path, options: &[&str]) -> Result<Running, String> {
        let output = directory.join("output");
        let error = |error| format!("{}: {error}", self.name);
        let file = File::create(&output).map_err(error)?;
        let messages = directory.join("messages");
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .args(options)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(File::create(&messages).map_err(error)?);
        let terminal = match self.stage {
            Stage::File => None,
            Stage::Terminal => Some(Terminal::of(&mut command).map_err(error)?),
        };
        let child = command.spawn().map_err(error)?;
        // It keeps our side of the terminal open.
        drop(command);
        let mut running = Running {
            child,
            output,
            count: self.count,
            terminal,
        };
        let deadline = Instant::now() + PATIENCE;
        while running.costs().is_empty() {
            if let Some(status) = running.child.try_wait().map_err(error)? {
                let said = fs::read_to_string(&messages).unwrap_or_default();
                return Err(format!("{}: {status}: {}", self.name, said.trim()));
            }
            if Instant::now() > deadline {
                return Err(format!("{}: no program after {PATIENCE:?}", self.name));
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Between the first program and the last link.
        thread::sleep(Duration::from_millis(700));
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A measurement that failed must not leave its tracer behind; harmless if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn costs(&self) -> std::collections::BTreeMap<u32, Cost> {
        bpf_stats::of_process(self.pid())
    }

    pub(crate) fn run_time_ns(&self) -> u64 {
        self.costs().values().map(|cost| cost.run_time_ns).sum()
    }

    /// CPU time of all its threads, user and kernel, ns. Those that have ended count, so it only grows.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let mut clock = 0;
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: both are valid to write to. The child has not been waited for, so the pid is its.
        let failed = unsafe {
            libc::clock_getcpuclockid(self.pid() as libc::pid_t, &raw mut clock) != 0
                || libc::clock_gettime(clock, &raw mut time) != 0
        };
        assert!(!failed, "a child has a CPU clock");
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    fn status(&self) -> String {
        fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default()
    }

    /// Its resident memory now.
    pub(crate) fn rss_kib(&self) -> u64 {
        memory_kib(&self.status(), "VmRSS:")
    }

    /// How many bytes it has written to its terminal.
    pub(crate) fn drawn(&self) -> usize {
        self.terminal.as_ref().map_or(0, Terminal::written)
    }

    /// Waits until it has nothing to do any more.
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut before = self.cpu_ns();
        while Instant::now() < deadline {
            thread::sleep(Duration::from_millis(250));
            let now = self.cpu_ns();
            // Ticks alone.
            if now - before < 3_000_000 {
                return;
            }
            before = now;
        }
    }

    /// As Ctrl-C does.
    pub(crate) fn stop(mut self) -> Result<Used, String> {
        let status = self.status();
        let begin = Instant::now();
        // SAFETY: the pid is that of a child that has not been waited for.
        unsafe { libc::kill(self.pid() as libc::pid_t, libc::SIGINT) };
        let ended = self.child.wait().map_err(|error| error.to_string())?;
        let stopping = begin.elapsed();
        // bpftrace dies of some signals' handling with a status of its own.
        if ended.code().is_none() {
            return Err(format!("a tracer ended with {ended}"));
        }
        let text = match self.terminal.take() {
            Some(terminal) => terminal.text(),
            None => fs::read_to_string(&self.output).unwrap_or_default(),
        };
        let summary = text
            .lines()
            .last()
            .and_then(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["type"] == "summary");
        let seen = match self.count {
            Counting::None => None,
            Counting::Lines => Some(lines_naming(&text, 1).saturating_sub(1)),
            Counting::Children => Some(lines_naming(&text, 2)),
            Counting::Summary => summary.as_ref().map(|summary| {
                let parents = summary["by_parent"].as_array();
                parents
                    .into_iter()
                    .flatten()
                    .filter(|parent| parent["comm"] == "load")
                    .filter_map(|parent| parent["reaped"].as_u64())
                    .sum()
            }),
        };
        Ok(Used {
            seen,
            peak_rss_kib: memory_kib(&status, "VmHWM:"),
            rss_kib: memory_kib(&status, "VmRSS:"),
            stopping,
            summary,
            text,
        })
    }
}

/// Lines of a process that has the load's name so many times: its own, its parent's.
fn lines_naming(text: &str, times: usize) -> u64 {
    let words = |line: &str| {
        let quoted = line.matches("comm\":\"load\"").count();
        let plain = line.split_whitespace().filter(|word| *word == "load");
        // The summary has such names too.
        if line.starts_with('{') && !line.contains("\"type\":\"zombie\"") {
            0
        } else {
            // A reaper's name is the third.
            (quoted + plain.count()).min(times)
        }
    };
    text.lines().filter(|line| words(line) == times).count() as u64
}

fn memory_kib(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_that_fails_leaves_no_tracer_behind() {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let directory = format!("/proc/{}", child.id());
        let measure = || -> Result<(), String> {
            let _running = Running {
                child,
                output: PathBuf::new(),
                count: Counting::None,
                terminal: None,
            };
            Err("something was lost".to_owned())
        };
        assert!(measure().is_err());
        assert!(!Path::new(&directory).exists());
    }
}
