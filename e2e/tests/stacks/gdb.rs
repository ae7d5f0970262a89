//! Stacks, compared with those that a debugger finds.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::Sampled;
use crate::{
    Outcome, Test,
    context::{self, succeeds},
    ensure,
    report::number,
    tracer::Tracer,
};

/// Threads of each program; the sampler takes turns with them.
const THREADS: usize = 64;

const HEAD: &str = include_str!("random.c");
const SCRIPT: &str = include_str!("backtrace.py");

pub(super) fn tests() -> Vec<Test> {
    let skip = || {
        let missing = ["cc", "gdb"]
            .into_iter()
            .find(|name| context::on_path(name).is_none());
        let missing = missing.map(|name| format!("no {name} on PATH"));
        missing
            .or_else(|| (!context::kernel_is_at_least(6, 1)).then(|| "before Linux 6.1".to_owned()))
    };
    let test = |name: &str, options: &'static [&'static str]| {
        Test::new(name, move || equal(options))
            .unless(skip())
            .long("needs a debugger")
    };
    vec![
        test(
            "stacks::equal-to-gdb-optimized",
            &["-O2", "-fomit-frame-pointer"],
        ),
        test("stacks::equal-to-gdb-without-optimization", &["-O0"]),
        test("stacks::equal-to-gdb-small-and-static", &["-Os", "-static"]),
    ]
}

/// A program of functions that call each other at random, in several ways.
fn random_program() -> String {
    const FUNCTIONS: usize = 40;
    let mut text = HEAD.to_owned();
    for number in 0..FUNCTIONS {
        let room = 8 << fastrand::u32(..5);
        let keeps: usize = fastrand::usize(1..5);
        let body = match number % 8 {
            // Registers that the callee keeps.
            0 | 1 => {
                let set: String = (0..keeps).fold(String::new(), |mut set, index| {
                    let _ = write!(set, "int k{index} = pick(at, 9); ");
                    set
                });
                let sum: String = (0..keeps).fold(String::new(), |mut sum, index| {
                    let _ = write!(sum, " + k{index}");
                    sum
                });
                format!("{set}return next(at){sum};")
            }
            // A frame whose size is known when it runs.
            2 => format!("char room[pick(at, {room}) + 1]; use(room); return next(at) + room[0];"),
            // A frame that is aligned anew.
            3 => "char room[64] __attribute__((aligned(64))); use(room); return next(at) + room[0];".to_owned(),
            // By way of the C library.
            4 => "int two[2] = { 1, 0 }; current = at; qsort(two, 2, sizeof *two, compare); return two[0];".to_owned(),
            // Inlined functions.
            5 => "return inlined(at) + 1;".to_owned(),
            // A call that is the last instruction.
            6 => "leave(at);".to_owned(),
            _ => format!("char room[{room}]; use(room); return next(at) + room[0];"),
        };
        let _ = writeln!(
            text,
            "NOINLINE int random_{number}(struct at *at)\n{{\n\t{body}\n}}"
        );
    }
    let names: Vec<_> = (0..FUNCTIONS)
        .map(|number| format!("random_{number}"))
        .collect();
    let _ = writeln!(
        text,
        "int (*const functions[])(struct at *) = {{ {} }};\nconst int how_many = {FUNCTIONS};",
        names.join(", ")
    );
    text
}

/// Ends with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn equal(options: &[&str]) -> Outcome {
    let directory = context::fresh_path("random");
    let (source, program) = (directory.join("random.c"), directory.join("random"));
    let script = directory.join("backtrace.py");
    fs::create_dir(&directory)
        .and_then(|()| fs::write(&source, random_program()))
        .and_then(|()| fs::write(&script, SCRIPT))
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    succeeds(
        Command::new("cc")
            .args(["-g", "-pthread", "-w"])
            .args(options)
            .arg("-o")
            .args([&program, &source]),
    )?;
    let seed = fastrand::u32(..).to_string();
    let random = Command::new(&program)
        .args([THREADS.to_string(), seed.clone()])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let random = Program(random);
    let pid = random.0.id();
    crate::pty::until("all threads sleep", || Ok(sleeping(pid) == THREADS + 1))?;
    let run = Tracer::json(["--stacks=99", "-d", "8s", "--ppid", &pid.to_string()]).run()?;
    run.expect_code(0)?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    let maps =
        fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|error| error.to_string())?;
    let theirs = backtraces(pid, &script)?;
    drop(random);
    let counts = compare(&sampled, &theirs, &maps, &program);
    let counts = counts.or_else(|error| run.fail(format!("seed {seed}: {error}")))?;
    println!("{options:?}: {counts:?}");
    ensure!(counts.stacks == THREADS, "seed {seed}: {counts:?}");
    ensure!(
        counts.truncated * 10 < counts.stacks,
        "seed {seed}: {counts:?}"
    );
    ensure!(
        counts.signals > 0,
        "no stack has a signal's frame: {counts:?}"
    );
    Ok(())
}

/// How many of its threads are blocked where they stay.
fn sleeping(pid: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let states = tasks.filter_map(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let comm = fs::read_to_string(task.path().join("comm")).ok()?;
        // It has this name once it is about to block.
        let blocks = comm.trim_end() == "blocks";
        stat.rsplit_once(')')
            .map(|(_, rest)| blocks && rest.starts_with(" S"))
    });
    states.filter(|sleeps| *sleeps).count()
}

/// A frame that the debugger shows.
struct TheirFrame {
    pc: u64,
    name: String,
    kind: String,
}

/// What it shows, by thread.
fn backtraces(pid: u32, script: &Path) -> Result<HashMap<u64, Vec<TheirFrame>>, String> {
    // The tracer reads no separate files of debugging symbols.
    const NO_FILES: &str = "set debug-file-directory /nonexistent";
    let output = succeeds(
        Command::new("gdb")
            .args(["-nx", "-batch", "-iex", NO_FILES])
            .args(["-p", &pid.to_string(), "-x"])
            .arg(script)
            .stdin(Stdio::null()),
    )?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut threads: HashMap<u64, Vec<TheirFrame>> = HashMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("frame ")) {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        let [tid, pc, kind, name] = words[..] else {
            return Err(format!("gdb: {line}"));
        };
        let number = |text: &str| text.parse().map_err(|_| format!("gdb: {line}"));
        threads.entry(number(tid)?).or_default().push(TheirFrame {
            pc: number(pc)?,
            name: name.to_owned(),
            kind: kind.to_owned(),
        });
    }
    ensure!(!threads.is_empty(), "gdb shows nothing: {text}");
    Ok(threads)
}

/// What the comparison came to.
#[derive(Debug, Default)]
struct Counts {
    stacks: usize,
    /// Of these, ours ends early, and says so.
    truncated: usize,
    frames: usize,
    inlined: usize,
    /// Frames that the kernel made for a signal.
    signals: usize,
}

fn compare(
    sampled: &Sampled,
    theirs: &HashMap<u64, Vec<TheirFrame>>,
    maps: &str,
    program: &Path,
) -> Result<Counts, String> {
    let mut counts = Counts::default();
    let mut seen: HashMap<u64, u64> = HashMap::new();
    for one in &sampled.doing {
        let (tid, stack) = (number(one, "tid"), number(one, "stack"));
        // The main thread waits for the others, and has no zombie.
        let first = seen.insert(tid, stack);
        ensure!(
            first.is_none(),
            "thread {tid} has more than one stack, and never moved"
        );
        let ours = sampled.frames(one);
        let theirs = theirs
            .get(&tid)
            .ok_or_else(|| format!("gdb shows no thread {tid}"))?;
        let shown = || {
            let ours = ours.iter().map(|frame| format!("{}", frame["function"]));
            let theirs = theirs
                .iter()
                .map(|frame| format!("{} {}", frame.name, frame.kind));
            format!(
                "{:?}\ngdb: {:?}",
                ours.collect::<Vec<_>>(),
                theirs.collect::<Vec<_>>()
            )
        };
        let truncated = sampled.is_truncated(one);
        let ends = ours.len() == theirs.len() || (truncated && ours.len() < theirs.len());
        ensure!(
            ends,
            "thread {tid} has another number of frames: {}",
            shown()
        );
        for (index, (our, their)) in ours.iter().zip(theirs).enumerate() {
            let address = address(our, maps).ok_or_else(|| format!("{our} is in no mapping"))?;
            ensure!(
                address == their.pc || address + 1 == their.pc,
                "thread {tid}, frame {index}: {address:#x} for {:#x}: {}",
                their.pc,
                shown()
            );
            let is_ours = our["module"].as_str() == program.to_str();
            if their.kind == "signal" {
                counts.signals += 1;
            } else if is_ours && has_source(our) {
                ensure!(
                    our["function"] == their.name,
                    "thread {tid}, frame {index}: {} for {}: {}",
                    our["function"],
                    their.name,
                    shown()
                );
                ensure!(
                    (our["inlined"] == true) == (their.kind == "inline"),
                    "thread {tid}, frame {index}: {our} is {}",
                    their.kind
                );
                counts.inlined += usize::from(their.kind == "inline");
            }
            counts.frames += 1;
        }
        counts.truncated += usize::from(truncated);
        counts.stacks += 1;
    }
    Ok(counts)
}

/// The C library of a static program has several names for the same function.
fn has_source(frame: &Value) -> bool {
    let file = frame["file"].as_str().unwrap_or_default();
    file.ends_with("random.c")
}

/// Where a frame's code is in memory.
fn address(frame: &Value, maps: &str) -> Option<u64> {
    let (module, offset) = (frame["module"].as_str()?, frame["offset"].as_u64()?);
    maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (range, permissions) = (words.next()?, words.next()?);
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let begin = hex(words.next()?)?;
        if !permissions.contains('x') || !line.ends_with(module) {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        let (start, end) = (hex(start)?, hex(end)?);
        let address = start.checked_add(offset.checked_sub(begin)?)?;
        (address < end).then_some(address)
    })
}
