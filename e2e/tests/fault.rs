//! What happens around the tracer must not hurt it, nor the machine through it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test,
    check::{self, Truths},
    context, ensure,
    kernel_objects::{self, Object},
    pty::until,
    report::number,
    residue,
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("fault::killed-in-a-storm", killed_in_a_storm)
            .long("is a storm")
            .alone(STORM),
        Test::new("fault::command-tree-killed", command_tree_killed),
        Test::new("fault::clock-step", clock_step)
            .unless(
                (!context::is_emulated())
                    .then(|| "moves everybody's clock: for the test kernels".to_owned()),
            )
            .unless(no_clock_setting()),
        Test::new("fault::fork-bomb", fork_bomb)
            .unless(context::no_program("/bin/sh"))
            .unless(PidsCgroup::missing())
            .long("is a storm")
            .alone(STORM),
        Test::new("fault::started-and-stopped", started_and_stopped)
            .long("is a storm")
            .alone(STORM),
    ]
}

const STORM: &str = "keeps all CPUs busy with new processes";

/// A storm that ends with this.
pub(crate) struct Storm(Child);

impl Storm {
    /// Starts it, outside of any tracer's command.
    pub(crate) fn start() -> Result<Self, String> {
        Self::of(&["serial", "--spawn", "vfork"])
    }

    /// Of this kind.
    pub(crate) fn of(load: &[&str]) -> Result<Self, String> {
        Command::new(context::load())
            .args(load)
            .args(["--workers", "2", "--seconds", "600"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(|error| format!("load: {error}"))
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // SAFETY: no pointers; the group's leader is not waited for yet.
        unsafe { libc::kill(-(self.0.id() as libc::pid_t), libc::SIGKILL) };
        let _ = self.0.wait();
    }
}

/// At moments all over its life, from before it is attached on.
fn killed_in_a_storm() -> Outcome {
    let before = kernel_objects::all()?;
    let _storm = Storm::start()?;
    for delay_ms in [5, 30, 60, 90, 120, 150, 200, 333] {
        let mut tracer = Tracer::json([""; 0]).spawn()?;
        thread::sleep(Duration::from_millis(delay_ms));
        tracer.signal(libc::SIGKILL);
        tracer.finish()?;
    }
    gone(&before)
}

fn gone(before: &BTreeSet<Object>) -> Outcome {
    let made = kernel_objects::all()?.difference(before).copied().collect();
    residue::gone(&made)
}

/// The traced command and all its processes die at once, in the middle of their work.
fn command_tree_killed() -> Outcome {
    let mut tracer = Tracer::json([""; 0])
        .command([context::load()])
        .args(["burst", "--workers", "4", "--seconds", "600"])
        .args(["--rate", "4000"])
        .spawn()?;
    tracer.wait_attached()?;
    tracer.wait_line("the children of all workers", |line| {
        line["type"] == "zombie"
    })?;
    let mut victims = Vec::new();
    until("the workers", || {
        let command = children(tracer.pid());
        let workers = command.iter().flat_map(|load| children(*load));
        victims = command.iter().copied().chain(workers).collect();
        Ok(victims.len() >= 5)
    })?;
    for victim in victims {
        // SAFETY: no pointers. These live on until they are killed; their children end by themselves.
        unsafe { libc::kill(victim as libc::pid_t, libc::SIGKILL) };
    }
    let run = tracer.finish()?;
    run.expect_code(128 + libc::SIGKILL)?;
    sound(&run)
}

/// The children of a process of one thread, or of the main thread.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace();
    children.filter_map(|pid| pid.parse().ok()).collect()
}

/// The sums are right, and nothing was lost but what found no room while the tracer got no CPU.
fn sound(run: &Run) -> Outcome {
    let report = run.report()?;
    let problems = check::accounting_but_for_the_buffer(&report);
    let skips = check::skips_allowed(report.count("exits") as usize);
    if problems.is_empty() || skips > 0 && check::books(&report).is_empty() {
        Ok(())
    } else {
        run.fail(problems.join("\n"))
    }
}

/// The wall clock jumps to and fro: nothing that is measured may follow it.
fn clock_step() -> Outcome {
    const HOUR: i64 = 3600;
    let mut tracer = Tracer::json(["-i", "100ms"]).scenario(["hold"]).start()?;
    for _ in 0..20 {
        step_clock(HOUR);
        thread::sleep(Duration::from_millis(5));
        step_clock(-2 * HOUR);
        thread::sleep(Duration::from_millis(5));
        step_clock(HOUR);
    }
    tracer.wait_stdout("\"role\":\"command\"")?;
    let run = tracer.finish()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let truths = Truths::parse(&run.stdout)?;
    for truth in &truths.processes {
        let Some(record) = report
            .zombies()
            .find(|line| number(line, "pid") == u64::from(truth.pid))
        else {
            return run.fail(format!("no record of {}", truth.role));
        };
        let Some(zombie) = truth.zombie() else {
            continue;
        };
        let (time, slack) = (
            number(record, "zombie_ns"),
            number(record, "error_ns") + 1_000_000,
        );
        if time + slack < zombie.lo || time > zombie.hi + slack {
            return run.fail(format!("{}: {time} for {zombie:?}", truth.role));
        }
    }
    let duration = Duration::from_nanos(number(report.summary(), "duration_ns"));
    ensure!(duration < Duration::from_secs(60), "duration {duration:?}");
    let intervals = report.of_type("interval");
    let durations: u64 = intervals.map(|line| number(line, "duration_ns")).sum();
    ensure!(
        durations == number(report.summary(), "duration_ns"),
        "intervals of {durations} ns"
    );
    sound(&run)
}

/// By whole seconds, so that what is taken away comes back to the nanosecond, but for the time that
/// a step takes.
fn step_clock(seconds: i64) {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid to write to, and then to read from.
    let status = unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time);
        time.tv_sec += seconds;
        libc::clock_settime(libc::CLOCK_REALTIME, &raw const time)
    };
    assert_eq!(status, 0, "clock_settime");
}

fn no_clock_setting() -> Option<String> {
    // SAFETY: all zeroes are a valid timex, which asks for nothing to be changed but the status,
    // which stays what it is.
    let permitted = unsafe {
        let mut state: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut state);
        state.modes = libc::ADJ_STATUS;
        libc::adjtimex(&raw mut state) != -1
    };
    (!permitted).then(|| "not permitted to set the clock".into())
}

/// Every process forks without end, as many as the cgroup allows.
fn fork_bomb() -> Outcome {
    const PIDS: u32 = 200;
    let cgroup = PidsCgroup::create(PIDS)?;
    let procs = cgroup.0.join("cgroup.procs");
    let run = Tracer::json([""; 0])
        .command(["/bin/sh", "-c"])
        .args(["echo 0 > \"$1\" && exec \"$0\" bomb --seconds 1"])
        .args([context::load(), &procs])
        .run()?;
    run.expect_code(0)?;
    let exits = run.report()?.count("exits");
    ensure!(exits + 1 >= u64::from(PIDS), "no bomb: {exits} exits");
    sound(&run)
}

/// A cgroup that limits the number of its processes, v2 or v1; gone in the end.
struct PidsCgroup(PathBuf);

impl PidsCgroup {
    fn missing() -> Option<String> {
        Self::parent().err()
    }

    /// Where such a group can be made.
    fn parent() -> Result<PathBuf, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let v1 = mounts.lines().find_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let mut words = filesystem.split(' ');
            let is_pids = words.next() == Some("cgroup")
                && words.nth(1)?.split(',').any(|option| option == "pids");
            is_pids.then(|| mount.split(' ').nth(4).map(PathBuf::from))?
        });
        if let Some(mount) = v1 {
            return Ok(mount);
        }
        let mount = context::cgroup2_mount().ok_or("no cgroup mount")?;
        fs::write(mount.join("cgroup.subtree_control"), "+pids")
            .map_err(|error| format!("no pids controller: {error}"))?;
        Ok(mount)
    }

    fn create(limit: u32) -> Result<Self, String> {
        let path = Self::parent()?.join(format!("zt-bomb-{}", std::process::id()));
        let error = |error| format!("{}: {error}", path.display());
        fs::create_dir(&path).map_err(error)?;
        let group = Self(path.clone());
        fs::write(path.join("pids.max"), limit.to_string()).map_err(error)?;
        Ok(group)
    }
}

impl Drop for PidsCgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Path::new(&self.0).exists() && Instant::now() < deadline {
            let procs = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
            for pid in procs.lines().filter_map(|pid| pid.parse().ok()) {
                // SAFETY: no pointers.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            let _ = fs::remove_dir(&self.0);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Again and again while a storm goes on: no object and no memory stays behind.
fn started_and_stopped() -> Outcome {
    const TIMES: usize = 10;
    // One tracer's maps take more.
    const ALLOWED_KIB: u64 = 8 << 10;
    let before = kernel_objects::all()?;
    let storm = Storm::start()?;
    let memory_before = kernel_memory_kib()?;
    for _ in 0..TIMES {
        let run = Tracer::json([""; 0]).start()?.stop()?;
        run.expect_code(0)?;
        sound(&run)?;
    }
    gone(&before)?;
    drop(storm);
    if !context::is_emulated() {
        // Here others take and give back memory.
        return Ok(());
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let memory = kernel_memory_kib()?;
        if memory < memory_before + ALLOWED_KIB {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the kernel keeps {} KiB",
            memory - memory_before
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// What maps are made of: `VmallocUsed` and `Percpu` (proc_meminfo(5)).
fn kernel_memory_kib() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let fields = ["VmallocUsed:", "Percpu:"].map(field);
    match fields {
        [Some(vmalloc), Some(percpu)] => Ok(vmalloc + percpu),
        _ => Err("/proc/meminfo lacks VmallocUsed or Percpu".into()),
    }
}
