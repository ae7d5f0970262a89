//! Why zombies are still there: each kind of demonstration is a parent in a known state, of which
//! `ps`, `inspect` and the tracer itself have to tell the cause.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead, BufReader, Write},
    mem,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Outcome, Test, context, ensure,
    pty::until,
    puppet::Puppet,
    report::number,
    serve,
    tracer::{Tracer, json_lines},
};

/// The kinds of `zombie-trace demo`, and the cause that is right.
const KINDS: &[(&str, &str)] = &[
    ("classic", "never-waits"),
    ("never-waits", "never-waits"),
    ("coalesced", "handler-leaves-it"),
    ("blocked", "blocks-sigchld"),
    ("ignored-late", "ignores-sigchld"),
    ("stopped", "parent-stopped"),
    ("debugged", "parent-traced"),
    ("frozen", "parent-frozen"),
    ("uninterruptible", "parent-in-vfork"),
    ("busy", "parent-busy"),
    ("starved", "parent-starved"),
    ("waits-for-other", "waits-for-other"),
    ("waits-without-flags", "waits-without-flags"),
    ("other-thread", "waits-without-flags"),
    ("no-sigchld", "no-sigchld"),
    ("init", "init-never-waits"),
    ("traced", "held-by-tracer"),
    ("subreaper", "never-waits"),
    ("burst", "never-waits"),
    ("in-system", "waits-for-other"),
];

pub(crate) fn tests() -> Vec<Test> {
    let kinds = KINDS.iter().map(|&(kind, cause)| {
        let test =
            Test::new(format!("cause::{kind}"), move || told(kind, cause)).unless(cannot_run(kind));
        match kind {
            "busy" | "starved" => test.alone("is about who gets a CPU"),
            _ => test,
        }
    });
    kinds
        .chain([
            Test::new("cause::thread-leader", thread_leader),
            Test::new("cause::autoreap", autoreap),
            Test::new("cause::foreign-child", || {
                seen_by_run("foreign-child", "foreign-child")
            }),
            Test::new("cause::one-at-a-time", || {
                seen_by_run("one-at-a-time", "reaps-late")
            }),
            Test::new("cause::dying", dying),
            Test::new("cause::lost-failures", lost_failures),
            Test::new("cause::parent-exiting", parent_exiting)
                .unless(too_little_memory())
                .alone("keeps CPU 0 busy"),
            Test::new("cause::frozen-above", || held_above(&FREEZE)).unless(lacks(&FREEZE)),
            Test::new("cause::frozen-v1-above", || held_above(&FREEZER)).unless(lacks(&FREEZER)),
            Test::new("cause::throttled-v1-above", || held_above(&QUOTA)).unless(lacks(&QUOTA)),
            Test::new("cause::killed-while-frozen-v1", killed_while_frozen).unless(lacks(&FREEZER)),
            Test::new("cause::short-lived", short_lived),
            Test::new("cause::unprivileged", unprivileged),
            Test::new("cause::fail-if", fail_if),
            Test::new("cause::filters", filters),
            Test::new("cause::ps-by-parent", ps_by_parent),
            Test::new("cause::ps-watches", ps_watches),
            Test::new("cause::of-the-living", of_the_living),
            Test::new("cause::inspect-watches", inspect_watches),
            Test::new("cause::inspect-threads", inspect_threads),
            Test::new("cause::inspect-namespace", inspect_namespace)
                .unless(context::no_program("/usr/bin/perl"))
                .unless(context::no_program("/usr/bin/unshare")),
            Test::new("cause::while-it-lasts", while_it_lasts),
            Test::new("cause::coalesced-while-traced", coalesced_while_traced),
            Test::new("cause::growth", growth).unless(context::no_program("/usr/bin/perl")),
            Test::new("cause::demo-all", demo_all)
                .long("each kind is a test of its own")
                .unless(too_slow()),
            Test::new("cause::ten-thousand", ten_thousand),
        ])
        .collect()
}

/// Each kind is a test of its own there, too.
fn too_slow() -> Option<String> {
    context::is_emulated().then(|| "all kinds in a row take too long when emulated".to_owned())
}

/// What a parent has to give back when it ends, which takes it tens of ms at full speed.
const PARENT_MIB: u64 = 512;

fn too_little_memory() -> Option<String> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available: u64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0);
    let needed = PARENT_MIB * 3 / 2;
    (available / 1024 < needed)
        .then(|| format!("{} MiB of memory free, {needed} needed", available / 1024))
}

/// What the kernel lacks, if so.
fn cannot_run(kind: &str) -> Option<String> {
    let mount = context::cgroup2_mount();
    match kind {
        "frozen" if mount.is_none() => Some("cgroup v2 is not mounted".to_owned()),
        "starved" => {
            let has_cpu = |file: &str| {
                let mount = mount.as_ref()?;
                let names = fs::read_to_string(mount.join(file)).ok()?;
                names
                    .split_whitespace()
                    .any(|name| name == "cpu")
                    .then_some(())
            };
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let v1 = mounts.lines().any(|line| {
                line.split_once(" - cgroup ")
                    .is_some_and(|(_, options)| options.contains("cpu"))
            });
            (has_cpu("cgroup.subtree_control").is_none() && !v1)
                .then(|| "no cgroup has the cpu controller".to_owned())
        }
        _ => None,
    }
}

fn zombie_trace(args: &[&str]) -> Command {
    let mut command = Command::new(context::zombie_trace());
    command
        .args(args)
        .stdin(Stdio::null())
        .env_remove("NO_COLOR");
    command
}

fn output(mut command: Command) -> Result<Output, String> {
    command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))
}

/// A running `zombie-trace demo`.
struct Demo {
    child: Child,
    parent: u32,
}

impl Demo {
    fn start(kind: &str) -> Result<Self, String> {
        let mut child = zombie_trace(&["demo", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("demo: {error}"))?;
        let stdout = child.stdout.take().expect("piped");
        let mut parent = None;
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(|error| error.to_string())?;
            if let Some((_, rest)) = line.split_once("The parent is process ") {
                parent = rest.split('.').next().and_then(|pid| pid.parse().ok());
            }
            if line.starts_with("All of it ends") {
                break;
            }
        }
        match parent {
            Some(parent) => Ok(Self { child, parent }),
            None => {
                let status = child.wait();
                Err(format!("demo {kind} did not start: {status:?}"))
            }
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `ps` says of its processes.
    fn ps(&self) -> Result<Vec<Value>, String> {
        let output = output(zombie_trace(&[
            "ps",
            "--json",
            "--tree",
            &self.pid().to_string(),
        ]))?;
        ensure!(output.status.success(), "ps: {output:?}");
        lines(&output.stdout)
    }

    /// Enter ends it, and nothing stays behind.
    fn end(mut self) -> Outcome {
        let mut stdin = self.child.stdin.take().expect("piped");
        stdin.write_all(b"\n").map_err(|error| error.to_string())?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        ensure!(status.success(), "demo ended with {status}");
        ensure!(
            !fs::exists(format!("/proc/{}", self.parent)).unwrap_or(true),
            "the parent {} is still there",
            self.parent
        );
        let cgroup = context::cgroup2_mount()
            .map(|mount| mount.join(format!("zombie-trace-demo-{}", self.pid())));
        ensure!(
            cgroup.is_none_or(|path| !path.exists()),
            "its cgroup is still there"
        );
        Ok(())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(bytes: &[u8]) -> Result<Vec<Value>, String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")))
        .collect()
}

/// The causes of the parent's zombies, once the parent has come to where it stays.
fn settled(demo: &Demo, cause: &str) -> Result<Vec<Value>, String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let zombies = demo.ps()?;
        let right = |zombie: &Value| zombie["cause"] == cause && zombie["ppid"] == demo.parent;
        if !zombies.is_empty() && zombies.iter().all(right) {
            return Ok(zombies);
        }
        ensure!(
            Instant::now() < deadline,
            "{cause} expected of the children of {}, but: {zombies:#?}",
            demo.parent
        );
        thread::sleep(Duration::from_millis(50));
    }
}

fn told(kind: &str, cause: &str) -> Outcome {
    let begin = Instant::now();
    let demo = Demo::start(kind)?;
    let zombies = settled(&demo, cause)?;
    let age = u128::from(number(&zombies[0], "age_ns"));
    let error = u128::from(number(&zombies[0], "error_ns"));
    ensure!(
        age <= begin.elapsed().as_nanos() + error,
        "{age} ns is older than the demonstration"
    );

    // The tracer says the same.
    let tree = demo.pid().to_string();
    let mut tracer = Tracer::json(["--tree", &tree, "--alive-after", "100ms"]).start()?;
    tracer.wait_line(cause, |line| {
        line["type"] == "alive" && line["cause"] == cause
    })?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let is_right = |zombie: &&Value| {
        let text = zombie["cause_text"].as_str().unwrap_or_default();
        let is_new = zombie["cause"] == "unknown" && text.starts_with("has had only ");
        // Who runs all the time gets no CPU either where others take it.
        let is_starved = cause == "parent-busy" && zombie["cause"] == "parent-starved";
        !text.is_empty() && (zombie["cause"] == cause || is_new || is_starved)
    };
    if let Some(wrong) = report.alive().find(|zombie| !is_right(zombie)) {
        return run.fail(format!("{cause} expected of {wrong:#}"));
    }

    let zombie = zombies[0]["pid"].to_string();
    let mut text = String::new();
    until("inspect says why", || {
        let output = output(zombie_trace(&["inspect", &zombie]))?;
        text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(output.status.success() && text.contains(cause) && text.contains(&zombie))
    })
    .map_err(|error| format!("{error}: {text}"))?;
    ensure!(
        text.contains(&format!("{} (demo-parent)", demo.parent)) || kind == "init",
        "inspect does not name the parent: {text}"
    );
    demo.end()
}

/// How a cgroup holds its processes back.
struct Hold {
    /// The file system type of the hierarchy, and its controller.
    hierarchy: (&'static str, &'static str),
    file: &'static str,
    value: &'static str,
    free: &'static str,
    cause: &'static str,
    /// What is in the advice before the file's path.
    advice: &'static str,
}

const FREEZE: Hold = Hold {
    hierarchy: ("cgroup2", ""),
    file: "cgroup.freeze",
    value: "1",
    free: "0",
    cause: "parent-frozen",
    advice: "thaw its cgroup: echo 0 | sudo tee ",
};

const FREEZER: Hold = Hold {
    hierarchy: ("cgroup", "freezer"),
    file: "freezer.state",
    value: "FROZEN",
    free: "THAWED",
    cause: "parent-frozen",
    advice: "thaw its cgroup: echo THAWED | sudo tee ",
};

/// A hundredth of a CPU.
const QUOTA: Hold = Hold {
    hierarchy: ("cgroup", "cpu"),
    file: "cpu.cfs_quota_us",
    value: "1000",
    free: "-1",
    cause: "parent-starved",
    advice: "raise the limit in ",
};

impl Hold {
    fn mount(&self) -> Option<PathBuf> {
        let (kind, controller) = self.hierarchy;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        mounts.lines().find_map(|line| {
            let (place, options) = line.split_once(" - ")?;
            let mut options = options.split(' ');
            let is_kind = options.next() == Some(kind);
            let has = options.nth(1)?.split(',').any(|name| name == controller);
            let point = place.split(' ').nth(4)?;
            (is_kind && (controller.is_empty() || has)).then(|| point.into())
        })
    }
}

fn lacks(hold: &Hold) -> Option<String> {
    let (kind, controller) = hold.hierarchy;
    let none = format!("no {kind} hierarchy {controller} is mounted");
    let missing = hold.mount().is_none().then_some(none);
    missing.or_else(|| context::no_program("/usr/bin/perl"))
}

/// A process in a cgroup below one that holds it back. The end of this frees and kills it.
struct Held<'a> {
    hold: &'a Hold,
    above: PathBuf,
    child: Child,
}

impl<'a> Held<'a> {
    fn start(hold: &'a Hold, program: &str) -> Result<Self, String> {
        let child = Command::new("perl")
            .args(["-e", program])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("perl: {error}"))?;
        let mount = hold.mount().ok_or("it was mounted")?;
        let above = mount.join(format!("zombie-trace-e2e-{}", child.id()));
        let held = Self { hold, above, child };
        let within = held.above.join("within");
        let pid = held.child.id().to_string();
        fs::create_dir_all(&within)
            .and_then(|()| fs::write(within.join("cgroup.procs"), pid))
            .map_err(|error| format!("{}: {error}", within.display()))?;
        Ok(held)
    }

    fn file(&self) -> PathBuf {
        self.above.join(self.hold.file)
    }

    fn hold(&self) -> Outcome {
        fs::write(self.file(), self.hold.value)
            .map_err(|error| format!("{}: {error}", self.file().display()))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.file(), self.hold.free);
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The zombie's heir reaps it sooner or later, or never.
        let root = self.above.parent().map(|mount| mount.join("cgroup.procs"));
        let within = self.above.join("within");
        let left = fs::read_to_string(within.join("cgroup.procs")).unwrap_or_default();
        for pid in left.lines() {
            let _ = root.as_ref().map(|root| fs::write(root, pid));
        }
        let _ = fs::remove_dir(&within);
        let _ = fs::remove_dir(&self.above);
    }
}

/// The advice names the file that holds the parent back, which is not in its own cgroup.
fn held_above(hold: &Hold) -> Outcome {
    let held = Held::start(hold, "fork or exit; 1 while 1")?;
    let pid = held.child.id().to_string();
    let ps = || lines(&output(zombie_trace(&["ps", "--json", "--ppid", &pid]))?.stdout);
    let deadline = Instant::now() + Duration::from_secs(60);
    while ps()?.is_empty() {
        ensure!(Instant::now() < deadline, "there is no zombie");
    }
    held.hold()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let file = held.file().display().to_string();
    let advice = format!("{}{file}", hold.advice);
    loop {
        let zombies = ps()?;
        let right = |zombie: &Value| {
            let has = |key: &str, part: &str| {
                let text = zombie[key].as_str();
                text.is_some_and(|text| text.contains(part))
            };
            let finding = match hold.cause {
                "parent-starved" => has("cause_text", &format!("{file} has throttled its cgroup")),
                _ => true,
            };
            zombie["cause"] == hold.cause && has("advice", &advice) && finding
        };
        if !zombies.is_empty() && zombies.iter().all(right) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} and {advice:?} expected of {zombies:#?}",
            hold.cause
        );
    }
}

/// It is no driver and no file system that keeps it from its end.
fn killed_while_frozen() -> Outcome {
    let held = Held::start(&FREEZER, "sleep 600")?;
    held.hold()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let state = held.above.join("within/freezer.state");
    while fs::read_to_string(&state).is_ok_and(|state| state != "FROZEN\n") {
        ensure!(Instant::now() < deadline, "it does not freeze");
    }
    let pid = held.child.id().to_string();
    context::succeeds(Command::new("kill").args(["-KILL", &pid]))?;
    let output = output(zombie_trace(&["inspect", &pid]))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let advice = format!("{}{}", FREEZER.advice, held.file().display());
    ensure!(
        text.contains("killed") && text.contains("is frozen with its cgroup (D)"),
        "{text}"
    );
    ensure!(text.contains(&advice), "{advice:?} expected: {text}");
    Ok(())
}

/// A leader whose thread lives on is no zombie by our measure, but looks like one.
fn thread_leader() -> Outcome {
    let demo = Demo::start("thread-leader")?;
    let zombies = settled(&demo, "leader-with-threads")?;
    let text = zombies[0]["cause_text"].as_str().unwrap_or_default();
    ensure!(
        text.contains("1 thread lives on (demo-child)") || text.contains("(worker)"),
        "the thread is not named: {text}"
    );
    let tree = demo.pid().to_string();
    let listed = output(zombie_trace(&[
        "ps",
        "--tree",
        &tree,
        "--fail-if",
        "alive>0",
    ]))?;
    ensure!(listed.status.code() == Some(0), "{listed:?}");
    demo.end()
}

/// Only a run knows it: it takes the kernel's records.
fn seen_by_run(kind: &str, cause: &str) -> Outcome {
    let demo = Demo::start(kind)?;
    let mut tracer =
        Tracer::json(["--tree", &demo.pid().to_string(), "--alive-after", "2s"]).start()?;
    tracer.wait_line(cause, |line| {
        line["type"] == "alive" && line["cause"] == cause && line["ppid"] == demo.parent
    })?;
    let run = tracer.stop()?;
    let report = run.report()?;
    let link = format!("docs/causes.md#{cause}");
    // The youngest at the end of the run can be too young for a cause.
    let found = report.alive().find(|line| line["cause"] == cause);
    let found = found.ok_or("no zombie has this cause")?;
    ensure!(
        found["why"] == link && found["looked_at"].is_string(),
        "{found:#}"
    );
    demo.end()
}

/// It is no zombie yet.
fn dying() -> Outcome {
    let demo = Demo::start("dying")?;
    // It takes a second at least to say so.
    let listed = demo.ps()?;
    ensure!(
        listed.len() == 1
            && listed[0]["type"] == "dying"
            && listed[0]["threads"][0]["state"] == "t",
        "{listed:#?}"
    );
    let pid = listed[0]["pid"].to_string();
    let text = output(zombie_trace(&["inspect", &pid]))?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    ensure!(
        text.contains("is dying, and has not ended") && text.contains("cannot end: its tracer"),
        "{text}"
    );
    demo.end()
}

/// A parent that ignores SIGCHLD can't learn that its child failed: the summary says so.
fn lost_failures() -> Outcome {
    let run = Tracer::json([""; 0]).scenario(["ignore-idle"]).run()?;
    let report = run.report()?;
    let rows = report.summary()["by_parent"].as_array().cloned();
    let rows = rows.unwrap_or_default();
    let failed: u64 = rows
        .iter()
        .map(|row| number(row, "autoreaped_failed"))
        .sum();
    if failed != 1 {
        return run.fail("one child failed, and its parent ignores SIGCHLD");
    }
    let run = Tracer::new(["-s"])
        .into_file("out")
        .scenario(["ignore-idle"])
        .run()?;
    let text = String::from_utf8_lossy(&run.output).into_owned();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(
        text.contains("1 failure is lost: the parent ignores SIGCHLD") && text.contains(" 1 of 1"),
        "{text}"
    );
    Ok(())
}

fn autoreap() -> Outcome {
    let demo = Demo::start("autoreap")?;
    let zombies = demo.ps()?;
    ensure!(zombies.is_empty(), "autoreaped, and yet {zombies:#?}");
    let mut tracer = Tracer::json(["--tree", &demo.pid().to_string()]).start()?;
    tracer.wait_line("a child", |line| line["type"] == "zombie")?;
    let run = tracer.stop()?;
    let report = run.report()?;
    if report.count("autoreaped") == 0 || report.count("reaped") != 0 {
        return run.fail("children of a parent that ignores SIGCHLD are autoreaped");
    }
    demo.end()
}

/// A parent that takes long to end, with a zombie that nobody inherits before: it has much to give
/// back, and hardly ever a CPU. It can still be too fast, now and then.
fn parent_exiting() -> Outcome {
    let mut attempts = (0..20).map(|_| see_parent_exiting());
    let told = attempts.find(|attempt| !matches!(attempt, Err(error) if error == TOO_FAST));
    told.unwrap_or_else(|| Err(TOO_FAST.to_owned()))
}

const TOO_FAST: &str = "it has ended too soon to tell";

fn see_parent_exiting() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let zombie = puppet.obey("zombie child 3")?;
    puppet.obey(&format!("memory {PARENT_MIB}"))?;
    let parent = puppet.pid();
    let _hog = Hog::start();
    bind(parent.cast_signed())?;
    // SAFETY: it is our child, and not reaped yet.
    unsafe { libc::kill(parent.cast_signed(), libc::SIGKILL) };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_exiting(parent) {
        ensure!(Instant::now() < deadline, "{parent} does not begin to end");
        thread::sleep(Duration::from_millis(1));
    }
    starve(parent)?;
    let output = output(zombie_trace(&["ps", "--json", "-p", &zombie.to_string()]))?;
    ensure!(is_exiting(parent), "{TOO_FAST}");
    let zombies = lines(&output.stdout)?;
    let causes: Vec<_> = zombies.iter().map(|zombie| &zombie["cause"]).collect();
    ensure!(
        causes == ["parent-exiting"],
        "it ends, and yet {zombies:#?}"
    );
    Ok(())
}

/// `PF_EXITING` (include/linux/sched.h) in the flags of proc_pid_stat(5), and no zombie yet.
fn is_exiting(pid: u32) -> bool {
    const PF_EXITING: u32 = 0x4;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let mut fields = stat
        .rsplit_once(") ")
        .map_or("", |(_, fields)| fields)
        .split(' ');
    let (state, flags) = (fields.next(), fields.nth(5));
    state != Some("Z")
        && flags
            .and_then(|flags| flags.parse::<u32>().ok())
            .is_some_and(|flags| flags & PF_EXITING != 0)
}

/// The CPU of [`Hog`] and of whom it starves.
const HOGGED: usize = 0;

/// Keeps a CPU busy until this is dropped.
struct Hog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hog {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (runs, is_running) = mpsc::channel();
        let thread = thread::spawn(move || {
            bind(0).expect("CPU 0");
            let _ = runs.send(());
            // Without a pause instruction, which takes emulators very long.
            while !stopped.load(Ordering::Relaxed) {
                std::hint::black_box(());
            }
        });
        let _ = is_running.recv();
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Leaves a process what the hog leaves, some 0.3 % of its CPU (`SCHED_IDLE`, sched(7)).
fn starve(pid: u32) -> Outcome {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters are valid.
    let status = unsafe {
        libc::sched_setscheduler(pid.cast_signed(), libc::SCHED_IDLE, &raw const parameters)
    };
    let error = io::Error::last_os_error();
    // If it is gone already, that is told later.
    ensure!(
        status == 0 || error.raw_os_error() == Some(libc::ESRCH),
        "SCHED_IDLE: {error}"
    );
    Ok(())
}

/// Binds a thread, 0 for this one, to the hogged CPU.
fn bind(thread: libc::pid_t) -> Outcome {
    // SAFETY: all zeroes is an empty set, and a set is valid for the call.
    let status = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(HOGGED, &mut set);
        libc::sched_setaffinity(thread, size_of_val(&set), &raw const set)
    };
    ensure!(status == 0, "CPU 0: {}", io::Error::last_os_error());
    Ok(())
}

/// What a parent did while one child was a zombie says nothing about the next: of a parent that
/// waits for each at once it is never said that it doesn't.
fn short_lived() -> Outcome {
    let mut load = Command::new(context::load())
        .args(["serial", "--seconds", "60"])
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("load: {error}"))?;
    let tree = load.id().to_string();
    let wrong = ["waits-for-other", "never-waits", "waits-without-flags"];
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut result = Ok(());
    while result.is_ok() && Instant::now() < deadline {
        result = output(zombie_trace(&["ps", "--json", "--tree", &tree]))
            .and_then(|output| lines(&output.stdout))
            .and_then(|zombies| {
                let cause = |zombie: &&Value| wrong.iter().any(|cause| zombie["cause"] == *cause);
                match zombies.iter().find(cause) {
                    Some(zombie) => Err(format!("it waits at once, and yet {zombie}")),
                    None => Ok(()),
                }
            });
    }
    let _ = load.kill();
    let _ = load.wait();
    result
}

/// Without privileges the cause may be unknown, but is never wrong.
fn unprivileged() -> Outcome {
    for (kind, privileged, cause) in [
        ("classic", "never-waits", "unknown"),
        ("blocked", "blocks-sigchld", "blocks-sigchld"),
        ("stopped", "parent-stopped", "parent-stopped"),
        ("waits-for-other", "waits-for-other", "unknown"),
    ] {
        let demo = Demo::start(kind)?;
        settled(&demo, privileged)?;
        let mut command = zombie_trace(&["ps", "--json", "-P", &demo.parent.to_string()]);
        command.uid(65534).gid(65534);
        let output = output(command)?;
        ensure!(output.status.success(), "{output:?}");
        let zombies = lines(&output.stdout)?;
        ensure!(!zombies.is_empty(), "{kind}: none is seen");
        for zombie in &zombies {
            ensure!(
                zombie["cause"] == cause,
                "{kind}: {cause} expected of {zombie:#}"
            );
            ensure!(
                zombie["exit_code"].is_null(),
                "somebody else's exit code: {zombie:#}"
            );
        }
        demo.end()?;
    }
    Ok(())
}

fn fail_if() -> Outcome {
    let demo = Demo::start("coalesced")?;
    settled(&demo, "handler-leaves-it")?;
    let tree = demo.pid().to_string();
    for (condition, code, verdict) in [
        ("alive>8", 3, "FAIL alive = 9 (limit 8)"),
        ("alive>9", 0, "PASS alive = 9 (limit 9)"),
        ("alive<10", 3, "FAIL alive = 9 (at least 10)"),
        ("oldest>1", 2, "--fail-if"),
    ] {
        let output = output(zombie_trace(&[
            "ps",
            "--tree",
            &tree,
            "--fail-if",
            condition,
        ]))?;
        ensure!(
            output.status.code() == Some(code),
            "{condition}: {output:?}"
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            said.contains(verdict),
            "{condition}: not {verdict:?} on standard error: {said}"
        );
    }
    demo.end()
}

fn filters() -> Outcome {
    let demo = Demo::start("never-waits")?;
    let zombies = settled(&demo, "never-waits")?;
    let tree = demo.pid().to_string();
    let pid = zombies[0]["pid"].to_string();
    let parent = demo.parent.to_string();
    let count = |args: &[&str]| -> Result<usize, String> {
        let mut command = zombie_trace(&["ps", "--json", "--tree", &tree]);
        command.args(args);
        Ok(lines(&output(command)?.stdout)?.len())
    };
    ensure!(count(&["-p", &pid])? == 1, "-p");
    ensure!(count(&["-p", "1"])? == 0, "-p of another");
    ensure!(count(&["-P", &parent])? >= 1, "-P");
    ensure!(count(&["-P", "1"])? == 0, "-P of another");
    ensure!(count(&["-n", "demo-*"])? >= 1, "-n");
    ensure!(count(&["-n", "other"])? == 0, "-n of another");
    ensure!(
        count(&["--parent-comm", "demo-parent"])? >= 1,
        "--parent-comm"
    );
    ensure!(count(&["-x"])? >= 1, "-x");
    ensure!(
        count(&["--filter", "parent=demo-parent cause=never-waits"])? >= 1,
        "--filter"
    );
    ensure!(
        count(&["--filter", "cause!=never-waits"])? == 0,
        "--filter of other causes"
    );
    ensure!(count(&["-m", "1h"])? == 0, "-m");
    ensure!(count(&["-m", "1us"])? >= 1, "-m of little");
    let text = output(zombie_trace(&["ps", "--tree", &tree]))?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    ensure!(
        text.contains("demo-child <defunct>")
            && text.contains(&format!("\n{parent} zombie-trace demo")),
        "{text}"
    );
    demo.end()
}

/// Each parent is named once, with advice; of many zombies the oldest ten are listed.
fn ps_by_parent() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    for n in 0..13 {
        puppet.obey(&format!("zombie z{n} 0"))?;
    }
    let parent = puppet.pid().to_string();
    never_waits(&parent, 13)?;
    let ps = |args: &[&str]| -> Result<String, String> {
        let mut command = zombie_trace(&["ps", "-P", &parent]);
        command.args(args);
        let output = output(command)?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let text = ps(&[])?;
    ensure!(
        text.starts_with("13 zombies, the oldest ")
            && text.contains(&format!("\n{parent} scenario puppet: 13 zombies, "))
            && text.matches("What helps").count() == 1
            && text.matches("<defunct>").count() == 10
            && text.contains("… and 3 more\n"),
        "{text}"
    );
    let text = ps(&["--each"])?;
    ensure!(text.matches("<defunct>").count() == 13, "{text}");
    let zombies = lines(ps(&["--json"])?.as_bytes())?;
    let is_whole = |zombie: &Value| {
        let keys = [
            "cause",
            "cause_text",
            "advice",
            "runtime",
            "foreign",
            "watched_ns",
        ];
        let has = |key: &&str| zombie.get(key).is_some();
        keys.iter().all(has) && zombie["type"] == "alive" && zombie["watched_ns"].is_null()
    };
    ensure!(
        zombies.len() == 13 && zombies.iter().all(is_whole),
        "{zombies:#?}"
    );
    Ok(())
}

/// Waits until `ps` says that this parent waits for none of its zombies: it sleeps, and they are old enough.
fn never_waits(parent: &str, zombies: usize) -> Outcome {
    until("never-waits", || {
        let ps = output(zombie_trace(&["ps", "--json", "-P", parent]))?;
        let found = lines(&ps.stdout)?;
        let right = |zombie: &Value| zombie["cause"] == "never-waits";
        Ok(found.len() == zombies && found.iter().all(right))
    })
}

/// It looks again and again, and Ctrl-C is a normal end.
fn ps_watches() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let mut watch = zombie_trace(&["ps", "--watch=0.1", "-P", &puppet.pid().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("ps --watch: {error}"))?;
    let mut text = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut sees = |what: &str| {
        let mut lines = text.by_ref().map_while(Result::ok);
        lines.any(|line| line.starts_with(what))
    };
    ensure!(sees("no zombies"), "it does not look");
    puppet.obey("zombie one 0")?;
    ensure!(sees("1 zombie, "), "it does not look again");
    puppet.obey("reap one")?;
    ensure!(sees("no zombies"), "it does not see the reap");
    // SAFETY: no pointers; it is our child, and not waited for yet.
    unsafe { libc::kill(watch.id().cast_signed(), libc::SIGINT) };
    let status = watch.wait().map_err(|error| error.to_string())?;
    ensure!(status.success(), "Ctrl-C: {status}");
    for options in [
        ["--watch", "--json"],
        ["--watch=0", "-x"],
        ["--watch=50ms", "-x"],
    ] {
        let mut command = zombie_trace(&["ps"]);
        command.args(options);
        let output = output(command)?;
        ensure!(output.status.code() == Some(2), "{options:?}: {output:?}");
    }
    Ok(())
}

fn of_the_living() -> Outcome {
    let demo = Demo::start("coalesced")?;
    settled(&demo, "handler-leaves-it")?;
    let parent = output(zombie_trace(&["inspect", &demo.parent.to_string()]))?;
    let text = String::from_utf8_lossy(&parent.stdout).into_owned();
    ensure!(
        text.contains("9 of its 9 children are zombies") && text.contains("handler-leaves-it"),
        "{text}"
    );
    demo.end()?;
    let missing = output(zombie_trace(&["inspect", "4194304"]))?;
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    ensure!(
        missing.status.code() == Some(1) && said.contains("no process 4194304"),
        "{missing:?}"
    );
    Ok(())
}

/// How a parent reaps is told of what it does meanwhile.
/// Who waits comes before who sleeps, whatever the numbers of the threads.
fn inspect_threads() -> Outcome {
    let demo = Demo::start("other-thread")?;
    settled(&demo, "waits-without-flags")?;
    let text = output(zombie_trace(&["inspect", &demo.parent.to_string()]))?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let first = text.lines().find(|line| line.contains("threads  "));
    let first = first.ok_or_else(|| text.clone())?;
    ensure!(
        first.contains("(demo-parent) sleeps (S), waiting for any child"),
        "{text}"
    );
    let watch = format!("sudo zombie-trace inspect -d 10s {}", demo.parent);
    ensure!(
        text.contains("look further") && text.contains(&watch),
        "{text}"
    );
    demo.end()
}

/// A wait is for a number of the parent's own pid namespace: that means another process here.
fn inspect_namespace() -> Outcome {
    const PROGRAM: &str = "fork or exit 3; $other = fork; $other or sleep 600; waitpid($other, 0)";
    let mut unshare = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "perl", "-e", PROGRAM])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("unshare: {error}"))?;
    let found = waited_for(unshare.id());
    let _ = unshare.kill();
    let _ = unshare.wait();
    found
}

fn waited_for(unshare: u32) -> Outcome {
    let children = |pid: u32| -> Vec<u32> {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut text = String::new();
    while Instant::now() < deadline {
        if let [perl] = children(unshare)[..]
            && let [_, other] = children(perl)[..]
        {
            let inspected = output(zombie_trace(&["inspect", &perl.to_string()]))?;
            text = String::from_utf8_lossy(&inspected.stdout).into_owned();
            let ours = format!("waiting for process {other} (3 in its own pid namespace)");
            if text
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .contains(&ours)
            {
                return Ok(());
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(format!(
        "the process that it waits for is not named: {text}"
    ))
}

fn inspect_watches() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let mut watch = zombie_trace(&["inspect", "-d", "1h", &puppet.pid().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("inspect: {error}"))?;
    let said = BufReader::new(watch.stderr.take().expect("piped")).lines();
    let live = said
        .map_while(Result::ok)
        .any(|line| line.starts_with("watching "));
    ensure!(
        live,
        "inspect -d does not watch: {:?}",
        watch.wait_with_output()
    );
    let slow = puppet.obey("zombie slow 3")?;
    thread::sleep(Duration::from_millis(50));
    puppet.obey("reap slow")?;
    puppet.obey("autoreap quick 0")?;
    let left = puppet.obey("zombie left 0")?;
    never_waits(&puppet.pid().to_string(), 1)?;
    // SAFETY: no pointers; it is our child, and not waited for yet.
    unsafe { libc::kill(watch.id().cast_signed(), libc::SIGINT) };
    let output = watch
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |name: &str| {
        text.lines()
            .find(|line| line.trim_start().starts_with(name))
    };
    let has = |name, part: &str| line(name).is_some_and(|line| line.contains(part));
    ensure!(
        output.status.success()
            && has("children", "0 alive, 0 zombies")
            && text.contains("3 ended: 1 reaped, 1 autoreaped, 1 living")
            && has("zombies now", " 1")
            && has("its reaps", "1; the longest gap ")
            && has("how", "autoreap 1, wait4 1")
            && has("latest", &format!(" {slow} (slow) after "))
            && has("left", "never-waits: the parent"),
        "of {slow} and {left}: {text}"
    );
    Ok(())
}

/// A run reports a zombie when it passes an age, and again when that has doubled.
fn while_it_lasts() -> Outcome {
    const AFTER_NS: u64 = 400_000_000;
    let demo = Demo::start("blocked")?;
    settled(&demo, "blocks-sigchld")?;
    // Those from before count from their death on.
    let tree = demo.pid().to_string();
    let mut tracer = Tracer::json(["--tree", &tree, "--alive-after", "400ms"]).start()?;
    let doublings = |bytes: &[u8]| {
        let lines = json_lines(bytes);
        let alive = lines.iter().filter(|line| line["type"] == "alive");
        let ages = alive.map(|line| (number(line, "age_ns") / AFTER_NS).checked_ilog2());
        ages.collect::<BTreeSet<_>>().len()
    };
    tracer.wait_output("a doubling", |bytes| doublings(bytes) >= 2)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let ages: Vec<_> = report
        .alive()
        .map(|zombie| number(zombie, "age_ns"))
        .collect();
    // How often the age had doubled since 400 ms; the last report is that of the end.
    let mut doublings: Vec<_> = ages
        .iter()
        .map(|age| (age / AFTER_NS).checked_ilog2())
        .collect();
    let (Some(Some(first)), Some(Some(end))) = (doublings.first().copied(), doublings.pop()) else {
        return run.fail(format!("reported at the ages {ages:?}"));
    };
    // A look that is late may leave one out; none comes twice.
    let each_once = doublings.is_sorted_by(|one, next| one < next);
    if first == end || !each_once || doublings.last() > Some(&Some(end)) {
        return run.fail(format!("reported at the ages {ages:?}"));
    }
    let cause = |zombie: &Value| zombie["cause"] == "blocks-sigchld";
    if !report.alive().all(cause) {
        return run.fail("without the cause");
    }
    demo.end()
}

/// Ten deaths and one run of the handler, seen as they happen.
fn coalesced_while_traced() -> Outcome {
    let demo = [
        context::zombie_trace().to_str().expect("UTF-8"),
        "demo",
        "coalesced",
    ];
    let mut tracer = Tracer::json(["--alive-after", "300ms"])
        .command(demo)
        .start()?;
    // Those nine, before the end of the demonstration makes them orphans.
    let is_alive = |line: &Value| line["type"] == "alive";
    tracer.wait_output("nine alive lines", |bytes| {
        json_lines(bytes)
            .iter()
            .filter(|line| is_alive(line))
            .count()
            >= 9
    })?;
    let run = tracer.stop()?;
    let report = run.report()?;
    let alive: Vec<&Value> = report.alive().take(9).collect();
    let told = |zombie: &&Value| {
        zombie["cause"] == "signals-coalesced"
            && zombie["cause_text"]
                .as_str()
                .is_some_and(|text| text.contains("ran 1 time for 10 deaths"))
    };
    if alive.len() < 9 || !alive.iter().all(told) {
        return run.fail(format!("{} are reported: {:?}", alive.len(), alive.first()));
    }
    Ok(())
}

/// A parent that makes zombies at a known rate in a cgroup with a known limit.
fn growth() -> Outcome {
    const EACH_SECOND: f64 = 50.0;
    let mut makes = Command::new("perl")
        .args([
            "-e",
            "$|=1; while (1) { fork or exit; select undef, undef, undef, 0.02 }",
        ])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("perl: {error}"))?;
    let pid = makes.id();
    let about = format!("parent {pid} (perl) has ");
    let run = Tracer::json(["-P", &pid.to_string()])
        .start()
        .and_then(|mut tracer| {
            tracer.wait_stderr_part(&about)?;
            tracer.stop()
        });
    let _ = makes.kill();
    let _ = makes.wait();
    let run = run?;
    run.expect_code(0)?;
    let warned: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| line.contains(&about))
        .collect();
    let rate = |line: &&str| -> Option<f64> {
        let (_, rest) = line.split_once(" zombies, ")?;
        rest.split(' ').next()?.parse().ok()
    };
    // On a busy machine it is slower than it means to be, and never faster.
    let right = |rate: f64| rate > 0.0 && rate < EACH_SECOND * 1.5;
    let count = run.report()?.count("alive");
    // At each doubling at most.
    if warned.len() > count.max(1).ilog2() as usize + 1
        || warned.is_empty()
        || !warned.iter().all(|line| rate(line).is_some_and(right))
        || !warned.iter().all(|line| line.contains(" is reached in "))
    {
        return run.fail(format!("{warned:#?}"));
    }
    Ok(())
}

fn demo_all() -> Outcome {
    let alone = output(zombie_trace(&["demo", "all"]))?;
    ensure!(alone.status.code() == Some(1), "without --run: {alone:?}");
    let all = output(zombie_trace(&["demo", "all", "--run"]))?;
    let text = String::from_utf8_lossy(&all.stdout).into_owned();
    ensure!(all.status.success(), "{all:?}");
    for (kind, cause) in KINDS {
        let begin = format!("\n{kind}: ");
        let shown = format!("\n{text}");
        let shown = shown.split_once(&begin).map_or("", |(_, rest)| rest);
        let shown = shown.split("\n\n").next().unwrap_or_default();
        let left_out = shown.starts_with("left out: ") && cannot_run(kind).is_some();
        ensure!(shown.contains(cause) || left_out, "{kind}: {shown}");
    }
    Ok(())
}

/// As many zombies as a machine in trouble has.
fn ten_thousand() -> Outcome {
    let count = if context::is_emulated() {
        1_000
    } else {
        10_000
    };
    let _held = serve::Held::start(count as u64)?;
    let begin = Instant::now();
    let ourselves = std::process::id().to_string();
    let output = output(zombie_trace(&["ps", "--json", "--tree", &ourselves]))?;
    let took = begin.elapsed();
    let listed = lines(&output.stdout)?.len();
    ensure!(listed == count, "{listed} of {count} are listed");
    println!("ps of {count} zombies took {} ms", took.as_millis());
    Ok(())
}
