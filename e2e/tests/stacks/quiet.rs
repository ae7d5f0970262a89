//! What sampling costs, and whom.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Sampled, parent};
use crate::{
    Outcome, Test, context, ensure,
    kernel_objects::{self, Statistics},
    report::number,
    tracer::{Run, Tracer},
};

/// The programs that copy stacks.
const COPIERS: [&str; 2] = ["thread_stack", "running_stack"];

/// What the sampler's threads are called.
const SAMPLERS: [&str; 2] = ["sampler", "stacks"];

pub(super) fn tests() -> Vec<Test> {
    let any = |name: &str, run: fn() -> Outcome| {
        let old = !context::kernel_is_at_least(6, 1);
        Test::new(name, run).unless(old.then(|| "before Linux 6.1".to_owned()))
    };
    vec![
        any("stacks::sleeping-threads-are-not-disturbed", sleepers)
            .long("its threads did not begin to sleep once, beside other tests"),
        any(
            "stacks::a-thread-that-wakes-up-often-is-not-disturbed",
            ticks,
        ),
        any("stacks::no-program-runs-without-old-zombies", no_runs),
        any("stacks::the-cost-beside-1000-processes", cost)
            .long("measures for half a minute")
            .unless(context::is_emulated().then(|| "an emulator counts no CPU time".to_owned()))
            .alone("is about CPU time"),
    ]
}

/// Ends with this.
struct Parent(Child);

impl Parent {
    /// This program, as one of [`parent`]'s.
    fn start(kind: &str) -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let child = Command::new(this)
            .env(parent::PARENT, kind)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        child.map(Self).map_err(|error| error.to_string())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Voluntary and involuntary context switches, by the text of a `status` file.
pub(super) fn switches(status: &str) -> Option<[u64; 2]> {
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse().ok()
    };
    Some([
        number("voluntary_ctxt_switches:")?,
        number("nonvoluntary_ctxt_switches:")?,
    ])
}

/// What the kernel has counted for each thread: context switches, and the text of `schedstat`, which has the run time.
fn threads_of(pid: u32) -> Result<BTreeMap<u32, ([u64; 2], String)>, String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
    let mut threads = BTreeMap::new();
    for task in tasks.flatten() {
        let read = |name: &str| {
            let path = task.path().join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let status = read("status")?;
        let switches = switches(&status).ok_or_else(|| format!("no context switches: {status}"))?;
        let tid = task.file_name().to_str().and_then(|name| name.parse().ok());
        threads.insert(tid.unwrap_or(0), (switches, read("schedstat")?));
    }
    Ok(threads)
}

/// The kernel counts not one context switch and not one nanosecond of CPU time for threads that sleep while
/// they are sampled.
fn sleepers() -> Outcome {
    let parent = Parent::start(parent::SLEEPERS)?;
    let pid = parent.pid();
    let asleep = |pid: u32| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten();
        let places = tasks.filter_map(|task| fs::read_to_string(task.path().join("wchan")).ok());
        let places: Vec<_> = places.collect();
        places
            .iter()
            .filter(|place| place.contains("nanosleep"))
            .count()
            == parent::THREADS
            && places.iter().all(|place| place != "0")
    };
    crate::pty::until("all threads sleep", || Ok(asleep(pid)))?;
    let before = threads_of(pid)?;
    let run = Tracer::json(["--stacks=99", "-d", "4s", "--ppid", &pid.to_string()]).run()?;
    run.expect_code(0)?;
    let after = threads_of(pid)?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    let tids: Vec<_> = sampled.doing.iter().map(|one| number(one, "tid")).collect();
    println!(
        "{} samples of {} sleeping threads",
        sampled.totals["samples"],
        tids.len()
    );
    ensure!(
        tids.len() == parent::THREADS && sampled.doing.iter().all(|one| one["state"] == "blocked"),
        "not each thread, asleep: {:?}",
        sampled.doing
    );
    ensure!(before == after, "{before:?} have become {after:?}");
    Ok(())
}

/// Nothing lets a thread sleep more often than it does by itself.
fn ticks() -> Outcome {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let tick = |options: &[&str]| -> Result<(Run, [u64; 3]), String> {
        let run = Tracer::json(options)
            .command([
                "env".as_ref(),
                format!("{}={}", parent::PARENT, parent::TICKS).as_ref(),
                this.as_os_str(),
            ])
            .run()?;
        run.expect_code(0)?;
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        let words = text.lines().find_map(|line| line.strip_prefix("ticks "));
        let numbers = words.into_iter().flat_map(|words| words.split(' '));
        let numbers: Vec<u64> = numbers.filter_map(|word| word.parse().ok()).collect();
        match numbers.try_into() {
            Ok(numbers) => Ok((run, numbers)),
            Err(_) => run.fail("it does not say what it took"),
        }
    };
    let (_, alone) = tick(&[])?;
    let (run, sampled) = tick(&["--stacks=199"])?;
    let samples = number(&Sampled::of(&run.report()?)?.totals, "samples");
    println!(
        "sleeps, preemptions and CPU time: {alone:?} alone, {sampled:?} with {samples} samples"
    );
    ensure!(samples > 0, "no samples");
    for [sleeps, ..] in [alone, sampled] {
        // Beginning to read the figures may take one of its own.
        ensure!(
            sleeps.abs_diff(parent::WAKE_UPS) <= 3,
            "it slept {sleeps} times, alone {alone:?}, sampled {sampled:?}"
        );
    }
    Ok(())
}

/// The kernel has run neither program, though there are zombies; once one is old enough, it has.
fn no_runs() -> Outcome {
    let _counting = Statistics::count()?;
    for (after, runs) in [("1h", false), ("1ms", true)] {
        let mut tracer = Tracer::json(["--stacks=199", "--stacks-after", after])
            .command(["sh", "-c", "true & exec sleep 600"])
            .start()?;
        let pid = tracer.pid();
        let counts = || kernel_objects::runs_of(pid);
        let of = |counts: &BTreeMap<String, u64>, names: &[&str]| -> u64 {
            names.iter().filter_map(|name| counts.get(*name)).sum()
        };
        // It has listed the zombie several times, and so has looked how old it is.
        crate::pty::until("the sampler has looked", || {
            let counts = counts();
            Ok(match runs {
                true => of(&counts, &COPIERS) > 3,
                false => of(&counts, &["list_tasks"]) > 0,
            })
        })?;
        thread::sleep(Duration::from_secs(1));
        let counts = counts();
        for name in COPIERS {
            ensure!(counts.contains_key(name), "no program {name}: {counts:?}");
        }
        let copied = of(&counts, &COPIERS);
        tracer.signal(libc::SIGTERM);
        let run = tracer.finish()?;
        ensure!(
            (copied > 0) == runs,
            "with --stacks-after {after}, they have run {copied} times: {counts:?}"
        );
        let samples = number(&Sampled::of(&run.report()?)?.totals, "samples");
        ensure!((samples > 0) == runs, "{samples} samples");
    }
    Ok(())
}

/// The CPU time that threads of these names have used, of those that live.
fn cpu_time(pid: u32, names: &[&str]) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let times = tasks.filter_map(|task| {
        let comm = fs::read_to_string(task.path().join("comm")).ok()?;
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let time = times.split(' ').next()?.parse().ok()?;
        names
            .contains(&comm.trim_end())
            .then(|| Duration::from_nanos(time))
    });
    times.sum()
}

/// The sampler's threads take at most 1 % of a CPU, and what they do at the start counts, too.
fn cost() -> Outcome {
    const SECONDS: u64 = 20;
    let many = Command::new("sh")
        .args(["-c", "for i in $(seq 1000); do sleep 600 & done; wait"])
        .spawn();
    let many = Parent(many.map_err(|error| error.to_string())?);
    let children = format!("/proc/{0}/task/{0}/children", many.pid());
    let count = || fs::read_to_string(&children).map_or(0, |text| text.split(' ').count());
    crate::pty::until("1,000 processes", || Ok(count() >= 1000))?;
    let outcome = costs_little(SECONDS);
    for pid in fs::read_to_string(&children)
        .unwrap_or_default()
        .split_whitespace()
    {
        // SAFETY: no pointers. They are ours, and not reaped as long as their parent lives.
        unsafe { libc::kill(pid.parse().unwrap_or(i32::MAX), libc::SIGKILL) };
    }
    drop(many);
    outcome
}

fn costs_little(seconds: u64) -> Outcome {
    let parent = Parent::start(parent::SLEEPERS)?;
    let mut tracer = Tracer::json(["--stacks", "--ppid", &parent.pid().to_string()]).start()?;
    let start = Instant::now();
    thread::sleep(Duration::from_secs(seconds));
    let time = cpu_time(tracer.pid(), &SAMPLERS);
    let share = 100.0 * time.as_secs_f64() / start.elapsed().as_secs_f64();
    tracer.signal(libc::SIGTERM);
    let run = tracer.finish()?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    println!("{share:.2} % of a CPU for {}", sampled.totals);
    ensure!(number(&sampled.totals, "samples") > 0, "no samples");
    ensure!(time > Duration::ZERO, "no thread is called {SAMPLERS:?}");
    // A look is paid for by the pause after it, which the last one has not had yet.
    let is_little = share < 1.1;
    ensure!(is_little, "{share:.2} % of a CPU");
    Ok(())
}
