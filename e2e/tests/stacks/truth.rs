//! Supervisors in other languages and in containers, whose shares and places are known.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{Sampled, build, has_function, is_function, parent};
use crate::{
    Outcome, Test,
    container::{self, Busybox},
    context::{self, succeeds},
    ensure,
    report::number,
    tracer::Tracer,
};

const RUST: &str = include_str!("shares.rs");
const PYTHON: &str = include_str!("shares.py");
const NODE: &str = include_str!("shares.mjs");

/// A share may differ from the truth by this many points.
const POINTS: f64 = 3.0;

pub(super) fn tests() -> Vec<Test> {
    const LONG: &str = "compares shares of 30 s";
    const ALONE: &str = "is about who gets a CPU";
    let old = || (!context::kernel_is_at_least(6, 1)).then(|| "before Linux 6.1".to_owned());
    let lacks = |name: &'static str| {
        let missing = context::on_path(name).is_none();
        old().or_else(|| missing.then(|| format!("no {name} on PATH")))
    };
    let long = |name: &str, program: &'static str, run: fn() -> Outcome| {
        Test::new(name, run)
            .unless(lacks(program))
            .long(LONG)
            .alone(ALONE)
    };
    let in_container = |name: &str, run: fn() -> Outcome| {
        Test::new(name, run).unless(lacks("cc").or_else(container::cannot_run))
    };
    vec![
        Test::new("stacks::truth-of-this-program", this_program).unless(old()),
        long("stacks::truth-of-c", "cc", c),
        long("stacks::truth-of-rust-release", "rustc", rust),
        long("stacks::truth-of-python", "python3", python),
        long("stacks::truth-of-node", "node", node),
        in_container("stacks::truth-in-a-container", || contained(&[], DIRECTLY)),
        in_container("stacks::truth-in-a-container-on-tmpfs-deleted", || {
            contained(&["-static"], ON_TMPFS)
        }),
        in_container("stacks::truth-in-a-container-on-overlayfs-deleted", || {
            contained(&["-static"], ON_OVERLAYFS)
        }),
    ]
}

/// What a supervisor says, in percent of all its time: its three places, and the CPU time of the last.
struct Truth([f64; 4]);

impl Truth {
    fn parse(text: &str) -> Result<Self, String> {
        let words = text.lines().find_map(|line| line.strip_prefix("spent "));
        let words = words.ok_or_else(|| format!("no line of times: {text}"))?;
        let times = words.split(' ').map(|word| word.parse::<f64>());
        let times: Vec<f64> = times
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let [writes, locks, computes, cpu] = times[..] else {
            return Err(format!("not four times: {text}"));
        };
        let all = writes + locks + computes;
        Ok(Self(
            [writes, locks, computes, cpu].map(|time| 100.0 * time / all),
        ))
    }

    /// Whether the supervisor had to wait for a CPU for hardly any time: its three places take 17, 11 and 7 ms.
    fn is_of_idle_machine(&self) -> bool {
        let [writes, _, computes, cpu] = self.0;
        writes / cpu < 17.0 / 7.0 * 1.03 && computes / cpu < 1.05
    }
}

/// What frames show where a supervisor is: at the first, second or third place.
type At = fn(&[Value]) -> Option<usize>;

/// What was sampled, by place and in percent.
fn shares(sampled: &Sampled, at: At) -> [f64; 3] {
    let all = number(&sampled.totals, "covered_ns").max(1) as f64;
    let mut shares = [0.0; 3];
    for one in &sampled.doing {
        let is_blocked = one["state"] == "blocked";
        let place = at(sampled.frames(one)).or((!is_blocked).then_some(2));
        if let Some(place) = place {
            shares[place] += 100.0 * number(one, "zombie_ns") as f64 / all;
        }
    }
    shares
}

/// Compares the shares; on a machine that lets the supervisor wait, only as far as it says nothing else.
fn compare(what: &str, sampled: &Sampled, truth: &Truth, at: At) -> Outcome {
    let found = shares(sampled, at);
    let samples = number(&sampled.totals, "samples");
    let [writes, locks, computes, _] = truth.0;
    println!(
        "{what}: {found:.1?} % found, [{writes:.1}, {locks:.1}, {computes:.1}] % true, {samples} samples, {}",
        sampled.totals
    );
    ensure!(
        number(&sampled.totals, "covered_ns") <= number(&sampled.totals, "due_ns"),
        "more is covered than there was: {}",
        sampled.totals
    );
    // Four standard deviations, if there are few samples; and where the machine is busy, the sampler comes
    // when it can.
    let points = match truth.is_of_idle_machine() {
        true => POINTS.max(4.0 * 50.0 / (samples.max(1) as f64).sqrt()),
        false => 10.0,
    };
    for (found, truth) in found.iter().zip(truth.0) {
        let is_near = (found - truth).abs() <= points;
        ensure!(
            is_near,
            "{what}: {found:.1} % for {truth:.1} %, with {points:.1} points allowed"
        );
    }
    Ok(())
}

/// By the names of functions.
fn by_function(frames: &[Value]) -> Option<usize> {
    super::FUNCTIONS
        .iter()
        .position(|name| has_function(frames, name))
}

/// Runs a supervisor, and compares what it says.
fn supervised(what: &str, command: Vec<OsString>, at: At) -> Result<Sampled, String> {
    // It takes some samples of each of a thousand jobs.
    let run = Tracer::json(["--stacks=199"]).command(command).run()?;
    run.expect_code(0)?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    let truth = Truth::parse(&String::from_utf8_lossy(&run.stdout))?;
    compare(what, &sampled, &truth, at).or_else(|error| run.fail(error))?;
    Ok(sampled)
}

fn seconds() -> &'static str {
    match (context::is_emulated(), context::is_long()) {
        (true, _) => "3",
        (_, true) => "30",
        _ => "10",
    }
}

/// The frames where a thread is blocked say so at the right line of the right file.
fn lines(sampled: &Sampled, source: &str, file: &str) -> Outcome {
    let mut checked = 0;
    for one in sampled.doing.iter().filter(|one| one["state"] == "blocked") {
        for (function, mark) in [("write_journal", "// WRITES"), ("take_lock", "// LOCKS")] {
            let frames = sampled.frames(one);
            let Some(place) = frames.iter().find(|frame| is_function(frame, function)) else {
                continue;
            };
            let is_marked =
                |line: &str| line.contains(mark) || line.contains(&mark.replace("//", "/*"));
            let line = source.lines().position(is_marked);
            let line = line.map(|line| line as u64 + 1);
            let found = place["file"].as_str().unwrap_or_default();
            ensure!(
                found.ends_with(file) && place["line"].as_u64() == line,
                "{function} is not at line {line:?} of {file}: {place}"
            );
            checked += 1;
        }
    }
    ensure!(checked >= 2, "only {checked} places: {:?}", sampled.doing);
    Ok(())
}

/// All but a few samples are whole.
fn whole(sampled: &Sampled) -> Outcome {
    let truncated = number(&sampled.totals, "truncated");
    let samples = number(&sampled.totals, "samples");
    ensure!(
        truncated * 100 <= samples,
        "{truncated} of {samples} stacks are truncated"
    );
    Ok(())
}

/// Itself, so that test kernels have one, too.
fn this_program() -> Outcome {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let command = vec![
        "env".into(),
        format!("{}={}", parent::PARENT, parent::SHARES).into(),
        this.into_os_string(),
        seconds().into(),
    ];
    let sampled = supervised("this program", command, by_function)?;
    whole(&sampled)?;
    lines(&sampled, RUST, "shares.rs")
}

fn c() -> Outcome {
    let program = build(&["-O2", "-fomit-frame-pointer"])?;
    let command = vec![program.into_os_string(), "alone".into(), seconds().into()];
    let sampled = supervised("C", command, by_function)?;
    whole(&sampled)?;
    lines(&sampled, super::SUPERVISOR, "shares.c")
}

fn rust() -> Outcome {
    let source = written("shares.rs", RUST)?;
    let program = source.with_extension("");
    let release = [
        "--edition",
        "2024",
        "-O",
        "-g",
        "-C",
        "force-frame-pointers=no",
    ];
    succeeds(
        Command::new("rustc")
            .args(release)
            .arg("-o")
            .args([&program, &source]),
    )?;
    let command = vec![program.into_os_string(), seconds().into()];
    let sampled = supervised("Rust release", command, by_function)?;
    whole(&sampled)?;
    lines(&sampled, RUST, "shares.rs")?;
    ordered(&sampled, &["write_journal", "run_job", "supervise", "main"])?;
    ordered(&sampled, &["take_lock", "run_job", "supervise", "main"])
}

fn python() -> Outcome {
    let source = written("shares.py", PYTHON)?;
    let command = vec!["python3".into(), source.into_os_string(), seconds().into()];
    let at: At = |frames| {
        let innermost = frames.first().unwrap_or(&Value::Null);
        let sleeps = innermost["function"]
            .as_str()
            .is_some_and(|name| name.contains("nanosleep"));
        let locks = has_function(frames, "PyThread_acquire_lock_timed");
        let runs = has_function(frames, "_PyEval_EvalFrameDefault");
        [sleeps, locks, runs].into_iter().position(|is| is)
    };
    let sampled = supervised("Python", command, at)?;
    whole(&sampled)?;
    ordered(
        &sampled,
        &[
            "PyThread_acquire_lock_timed",
            "_PyEval_EvalFrameDefault",
            "Py_BytesMain",
        ],
    )?;
    ordered(
        &sampled,
        &[
            "clock_nanosleep",
            "_PyEval_EvalFrameDefault",
            "Py_BytesMain",
        ],
    )
}

fn node() -> Outcome {
    let source = written("shares.mjs", NODE)?;
    // It reaps only the children that it knows.
    let run = format!("true & exec node {} {}", source.display(), seconds());
    let command = vec!["sh".into(), "-c".into(), run.into()];
    let at: At = |frames| {
        let polls = has_function(frames, "uv__io_poll");
        let name = |frame: &Value| frame["function"].as_str().unwrap_or_default().to_owned();
        let waits = frames
            .iter()
            .any(|frame| name(frame).contains("FutexEmulation"));
        [polls, waits].into_iter().position(|is| is)
    };
    let sampled = supervised("Node", command, at)?;
    // libuv has room for 1,024 events on its stack: what called it is beyond what is copied. Code that was
    // compiled at run time has no unwind information.
    ordered(&sampled, &["epoll_pwait", "uv__io_poll"])?;
    ordered(
        &sampled,
        &["pthread_cond_timedwait", "WaitFor", "Builtin_AtomicsWait"],
    )
}

/// A stack has these functions, innermost first, perhaps with others in between.
fn ordered(sampled: &Sampled, functions: &[&str]) -> Outcome {
    let is_ordered = |one: &Value| {
        let mut frames = sampled.frames(one).iter();
        let mut functions = functions.iter();
        functions.all(|name| frames.any(|frame| is_alias(frame, name)))
    };
    ensure!(
        sampled.doing.iter().any(is_ordered),
        "no stack with {functions:?}, such as: {:?}",
        sampled
            .doing
            .iter()
            .map(|one| names(sampled.frames(one)))
            .take(5)
            .collect::<Vec<_>>()
    );
    Ok(())
}

/// C libraries have names with underscores in front for the same functions.
fn is_alias(frame: &Value, name: &str) -> bool {
    let function = frame["function"].as_str().unwrap_or_default();
    let name_alone = function.split('(').next().unwrap_or_default();
    let last = name_alone.rsplit("::").next().unwrap_or_default();
    last.trim_start_matches('_') == name.trim_start_matches('_')
}

fn names(frames: &[Value]) -> Vec<&str> {
    let names = frames.iter().map(|frame| frame["function"].as_str());
    names.map(|name| name.unwrap_or("?")).collect()
}

fn written(name: &str, text: &str) -> Result<PathBuf, String> {
    let directory = context::fresh_path("supervisor");
    let path = directory.join(name);
    fs::create_dir(&directory)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// From the container's own root directory.
const DIRECTLY: &str = "exec /bin/supervisor alone 5";

/// From a file in memory, which is gone once it runs.
const ON_TMPFS: &str = "mount -t tmpfs none /mnt && cp /bin/supervisor /mnt/ && \
                        exec /mnt/supervisor deleted 5";

/// From another root directory, whose files are those of two others.
const ON_OVERLAYFS: &str = "mount -t tmpfs none /mnt && mkdir /mnt/lower /mnt/upper /mnt/work /mnt/root && \
                            cp /bin/supervisor /mnt/lower/ && \
                            mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work \
                            none /mnt/root && exec chroot /mnt/root /supervisor deleted 5";

/// Nothing of the container is where the tracer could find it by its path.
fn contained(options: &[&str], script: &str) -> Outcome {
    let mut all = vec!["-O2", "-fomit-frame-pointer"];
    all.extend(options);
    let program = build(&all)?;
    let busybox = Busybox::new(&["/bin/sh", "-c", script])?;
    let root = busybox.bundle.root();
    copy(&program, &root.join("bin/supervisor"))?;
    for applet in ["mount", "mkdir", "cp", "chroot"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet))
            .map_err(|error| format!("{applet}: {error}"))?;
    }
    fs::create_dir(root.join("mnt")).map_err(|error| error.to_string())?;
    if options.is_empty() {
        for library in libraries(&program)? {
            copy(
                &library,
                &root.join(library.strip_prefix("/").unwrap_or(&library)),
            )?;
        }
    }
    let tracer = Tracer::json(["--stacks=99", "--container", busybox.short_id()]).start()?;
    let output = succeeds(busybox.bundle.run().stdout(Stdio::piped()))?;
    // The container is gone, with all its files and processes.
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    let truth = Truth::parse(&String::from_utf8_lossy(&output.stdout))?;
    let is_right = compare(script, &sampled, &truth, by_function)
        .and_then(|()| whole(&sampled))
        .and_then(|()| lines(&sampled, super::SUPERVISOR, "shares.c"));
    is_right.or_else(|error| run.fail(error))
}

fn copy(from: &Path, to: &Path) -> Outcome {
    let directory = to.parent().unwrap_or(to);
    fs::create_dir_all(directory)
        .and_then(|()| fs::copy(from, to))
        .map(drop)
        .map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

/// The libraries that a program needs, and what loads them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, String> {
    let output = succeeds(Command::new("ldd").arg(program))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}
