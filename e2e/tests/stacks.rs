//! `--stacks`: what parents do while their zombies wait, compared with what they say that they did.

mod frame_pointers;
mod gdb;
mod go;
mod parent;
mod quiet;
mod shares;
pub(crate) mod symbols;
mod truth;

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

pub(crate) use parent::{PARENT, parent};

use crate::{
    Outcome, Test, context, ensure,
    report::{Report, number},
    tracer::{Run, Tracer},
};

const SUPERVISOR: &str = include_str!("stacks/shares.c");

/// A share may differ from the truth by as many points.
const POINTS: f64 = 8.0;

/// The same; or by four standard deviations, where a slow machine has taken few samples.
fn points(sampled: &Sampled) -> f64 {
    let blocked = sampled.doing.iter().filter(|one| one["state"] == "blocked");
    let samples: u64 = blocked.map(|one| number(one, "samples")).sum();
    POINTS.max(4.0 * 50.0 / (samples.max(1) as f64).sqrt())
}

pub(crate) fn tests() -> Vec<Test> {
    let old_kernel = (!context::kernel_is_at_least(6, 1)).then(|| "before Linux 6.1".to_owned());
    let new_kernel = context::kernel_is_at_least(6, 1).then(|| "Linux 6.1 or later".to_owned());
    let no_compiler = || {
        let missing = context::on_path("cc").is_none();
        let old = !context::kernel_is_at_least(6, 1);
        (missing || old).then(|| "no cc on PATH, or before Linux 6.1".to_owned())
    };
    let c = |name: &str, run: fn() -> Outcome| Test::new(name, run).unless(no_compiler());
    let any = |name: &str, run: fn() -> Outcome| Test::new(name, run).unless(old_kernel.clone());
    vec![
        c("stacks::shares-of-c-without-frame-pointers", || {
            shares(&["-O2", "-fomit-frame-pointer"], "alone")
        }),
        c("stacks::shares-of-c-without-optimization", || {
            shares(&["-O0"], "alone")
        }),
        c("stacks::shares-of-a-static-program", || {
            shares(&["-O2", "-static"], "alone")
        }),
        c("stacks::shares-of-the-thread-that-forked", || {
            shares(&["-O2"], "thread")
        }),
        c("stacks::shares-of-a-parent-that-is-gone", || {
            shares(&["-O2"], "gone")
        }),
        c("stacks::compressed-debug-frames-alone", || {
            shares(
                &[
                    "-O2",
                    "-fno-asynchronous-unwind-tables",
                    "-gz=zlib",
                    "-fomit-frame-pointer",
                ],
                "alone",
            )
        }),
        c("stacks::stripped-program", stripped),
        c("stacks::signal-handler", signal_handler),
        any("stacks::a-moving-target-shows-no-wrong-stack", || {
            moving_target(100, if context::is_emulated() { "3" } else { "15" })
        }),
        any("stacks::10000-samples-of-a-moving-target", || {
            moving_target(10_000, "60")
        })
        .long("takes minutes")
        .unless(context::is_emulated().then(|| "the short one is for slow machines".to_owned())),
        any("stacks::a-sleeper-is-not-disturbed", sleeper),
        any("stacks::nothing-is-sampled-without-old-zombies", nothing),
        any("stacks::native-frames-of-python", || {
            interpreter("python3", "-c", PYTHON)
        })
        .unless(no_program("python3")),
        any("stacks::native-frames-of-perl", || {
            interpreter("perl", "-e", PERL)
        })
        .unless(no_program("perl")),
        Test::new("stacks::an-old-kernel-warns", old_kernel_warns).unless(new_kernel),
    ]
    .into_iter()
    .chain(truth::tests())
    .chain(gdb::tests())
    .chain(quiet::tests())
    .chain(go::tests())
    .chain(frame_pointers::tests())
    .collect()
}

fn no_program(name: &str) -> Option<String> {
    let old = !context::kernel_is_at_least(6, 1);
    (old || context::on_path(name).is_none())
        .then(|| format!("no {name} on PATH, or before Linux 6.1"))
}

/// A build of the supervisor.
fn build(options: &[&str]) -> Result<PathBuf, String> {
    let directory = context::fresh_path("supervisor");
    let source = directory.join("shares.c");
    fs::create_dir(&directory)
        .and_then(|()| fs::write(&source, SUPERVISOR))
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let program = directory.join("supervisor");
    context::succeeds(
        Command::new("cc")
            .args(["-g", "-pthread", "-o"])
            .args([&program, &source])
            .args(options),
    )?;
    Ok(program)
}

/// Whether one of these frames is of a function, with or without its path.
fn has_function(frames: &[Value], name: &str) -> bool {
    frames.iter().any(|frame| is_function(frame, name))
}

fn is_function(frame: &Value, name: &str) -> bool {
    let function = frame["function"].as_str().unwrap_or_default();
    function.rsplit("::").any(|part| part == name)
}

/// What a run has sampled.
struct Sampled {
    stacks: HashMap<u64, Value>,
    doing: Vec<Value>,
    totals: Value,
}

impl Sampled {
    fn of(report: &Report) -> Result<Self, String> {
        let stacks = report.of_type("stack");
        let stacks: HashMap<u64, Value> = stacks
            .map(|stack| (number(stack, "id"), stack.clone()))
            .collect();
        let doing: Vec<Value> = report.of_type("doing").cloned().collect();
        for one in &doing {
            let id = number(one, "stack");
            ensure!(stacks.contains_key(&id), "no stack {id}: {one}");
        }
        let totals = report.summary()["stacks"].clone();
        ensure!(totals.is_object(), "the summary has no stacks");
        let sum = |key| doing.iter().map(|one| number(one, key)).sum::<u64>();
        for (key, sum) in [
            ("samples", sum("samples")),
            ("covered_ns", sum("zombie_ns")),
        ] {
            ensure!(
                number(&totals, key) == sum,
                "{key}: {sum} in the lines, and {totals}"
            );
        }
        Ok(Self {
            stacks,
            doing,
            totals,
        })
    }

    fn frames(&self, doing: &Value) -> &[Value] {
        let stack = &self.stacks[&number(doing, "stack")];
        stack["frames"].as_array().map_or(&[], Vec::as_slice)
    }

    fn is_truncated(&self, doing: &Value) -> bool {
        self.stacks[&number(doing, "stack")]["truncated"] == true
    }

    /// The zombie time spent in each of these functions, in percent.
    fn shares(&self, functions: &[&str]) -> Vec<f64> {
        let mut shares = vec![0.0; functions.len()];
        let all = number(&self.totals, "covered_ns").max(1) as f64;
        for one in &self.doing {
            let is = |name: &&str| {
                self.frames(one)
                    .iter()
                    .any(|frame| frame["function"] == **name)
            };
            if let Some(at) = functions.iter().position(is) {
                shares[at] += 100.0 * number(one, "zombie_ns") as f64 / all;
            }
        }
        shares
    }
}

/// A run of the supervisor, and how it says that it has spent its time, in percent.
fn supervised(
    program: &Path,
    how: &str,
    seconds: &str,
) -> Result<(Run, Sampled, Vec<f64>), String> {
    let run = Tracer::json(["--stacks=99"])
        .command([program.as_os_str(), how.as_ref(), seconds.as_ref()])
        .run()?;
    run.expect_code(0)?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    let text = String::from_utf8_lossy(&run.stdout);
    let spent = text.lines().find_map(|line| line.strip_prefix("spent "));
    let spent = spent.ok_or("it does not say how it has spent its time")?;
    let spent: Vec<f64> = spent
        .split(' ')
        .map(|word| word.parse().map_err(|_| format!("{text}: no number")))
        .collect::<Result<_, String>>()?;
    ensure!(spent.len() == 4, "four numbers: {text}");
    let all: f64 = spent[..3].iter().sum();
    let spent = spent.iter().map(|one| 100.0 * one / all.max(1.0)).collect();
    Ok((run, sampled, spent))
}

const PLACES: [(&str, &str); 2] = [("write_journal", "WRITES"), ("take_lock", "LOCKS")];

const FUNCTIONS: [&str; 3] = ["write_journal", "take_lock", "compute"];

/// Compares with what the supervisor says, in percent.
fn compare(sampled: &Sampled, truth: &[f64]) -> Outcome {
    let all = number(&sampled.totals, "covered_ns").max(1) as f64;
    let part = |state: &str, function: Option<&str>| {
        let lines = sampled.doing.iter().filter(|one| one["state"] == state);
        let lines = lines.filter(|one| {
            let mut frames = sampled.frames(one).iter();
            function.is_none_or(|name| frames.any(|frame| frame["function"] == name))
        });
        let ns: u64 = lines.map(|one| number(one, "zombie_ns")).sum();
        100.0 * ns as f64 / all
    };
    let points = points(sampled);
    let near = |what: &str, found: f64, truth: f64| -> Outcome {
        if (found - truth).abs() > points || found.is_nan() {
            return Err(format!("{what}: {found:.1} % for {truth:.1} %"));
        }
        Ok(())
    };
    let running = part("running", None);
    near("running", running, truth[3])?;
    let computes = 100.0 * part("running", Some("compute")) / running;
    if computes < 90.0 {
        return Err(format!("compute has only {computes:.1} % of running"));
    }
    let [writes, locks] = ["write_journal", "take_lock"].map(|name| part("blocked", Some(name)));
    let writing = 100.0 * writes / (writes + locks);
    near("write_journal, of blocked", writing, 100.0 * 17.0 / 28.0)?;
    // Where the computation had to wait for a CPU, it depends on when the machine had one for the sampler.
    let waited = truth[2] - truth[3];
    if waited < 5.0 {
        let found = sampled.shares(&FUNCTIONS);
        for ((function, found), truth) in FUNCTIONS.iter().zip(found).zip(truth) {
            near(function, found, *truth)?;
        }
    }
    Ok(())
}

fn shares(options: &[&str], how: &str) -> Outcome {
    let program = build(options)?;
    let seconds = if context::is_emulated() { "3" } else { "12" };
    let (run, sampled, truth) = supervised(&program, how, seconds)?;
    compare(&sampled, &truth).or_else(|error| run.fail(error))?;
    let covered = number(&sampled.totals, "covered_ns") as f64;
    let due = number(&sampled.totals, "due_ns") as f64;
    ensure!(
        (0.8..1.2).contains(&(covered / due)),
        "{covered} ns covered of {due} ns"
    );
    for one in &sampled.doing {
        let frames = sampled.frames(one);
        let names: Vec<_> = frames.iter().map(|frame| &frame["function"]).collect();
        let at = |name: &str| names.iter().position(|found| *found == name);
        for (function, mark) in PLACES {
            let Some(place) = at(function).map(|index| &frames[index]) else {
                continue;
            };
            let line = SUPERVISOR.lines().position(|line| line.contains(mark));
            let line = line.map(|line| line as u64 + 1);
            let file = place["file"].as_str().unwrap_or_default();
            // It also runs, for a moment, before and after it sleeps.
            if one["state"] == "blocked" {
                ensure!(
                    file.ends_with("shares.c") && place["line"].as_u64() == line,
                    "{function} is not at line {line:?}: {place}"
                );
            }
            ensure!(place["inlined"] == false, "{function} is inlined: {place}");
        }
        // The C library is the machine's, and starts threads and programs as it likes.
        let Some(place) = FUNCTIONS.iter().find_map(|name| at(name)) else {
            continue;
        };
        let order = ["run_job", "supervise"].map(at);
        if !matches!(order, [Some(job), Some(all)] if place < job && job < all) {
            return run.fail(format!("not called by run_job and supervise: {names:?}"));
        }
    }
    Ok(())
}

/// Names are gone, but offsets lead to the right functions.
fn stripped() -> Outcome {
    let program = build(&["-O2", "-no-pie"])?;
    let symbols = context::succeeds(
        Command::new("nm")
            .args(["-S", "--defined-only"])
            .arg(&program),
    )?;
    let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
    context::succeeds(Command::new("strip").arg(&program))?;
    let (run, sampled, truth) = supervised(&program, "alone", "8")?;
    // Of a program at a fixed address, code is in the file where it is in memory, less the base.
    const BASE: u64 = 0x40_0000;
    let range = |name: &str| {
        let line = symbols
            .lines()
            .find(|line| line.ends_with(&format!(" T {name}")))?;
        let mut words = line.split(' ').map(|word| u64::from_str_radix(word, 16));
        let (start, size) = (words.next()?.ok()? - BASE, words.next()?.ok()?);
        Some(start..start + size)
    };
    let mut found = [0.0; 3];
    for one in &sampled.doing {
        for (index, name) in FUNCTIONS.iter().enumerate() {
            let range = range(name).ok_or_else(|| format!("nm has no {name}: {symbols}"))?;
            let is_in = |frame: &&Value| {
                let is_ours = frame["module"].as_str() == program.to_str();
                is_ours
                    && frame["offset"]
                        .as_u64()
                        .is_some_and(|at| range.contains(&at))
            };
            if let Some(frame) = sampled.frames(one).iter().find(is_in) {
                ensure!(
                    frame["function"].is_null(),
                    "a name without symbols: {frame}"
                );
                let all = number(&sampled.totals, "covered_ns").max(1) as f64;
                found[index] += 100.0 * number(one, "zombie_ns") as f64 / all;
            }
        }
    }
    let is_idle = truth[2] - truth[3] < 5.0;
    for (found, truth) in found.iter().zip(&truth) {
        if *found < 5.0 || (is_idle && (found - truth).abs() > points(&sampled)) {
            return run.fail(format!("{found:.1} % for {truth:.1} %"));
        }
    }
    Ok(())
}

/// A stack goes through the frame that the kernel put there for a signal.
fn signal_handler() -> Outcome {
    let program = build(&["-O2"])?;
    let (run, sampled, _) = supervised(&program, "handler", "3")?;
    let whole = sampled.doing.iter().filter(|one| {
        let frames = sampled.frames(one).iter();
        let names: Vec<_> = frames
            .filter_map(|frame| frame["function"].as_str())
            .collect();
        let at = |name: &str| names.iter().position(|found| *found == name);
        matches!(
            ["interrupt", "wait_in_handler", "main"].map(at),
            [Some(handler), Some(interrupted), Some(main)]
                if handler < interrupted && interrupted < main
        )
    });
    let zombie_ns: u64 = whole.map(|one| number(one, "zombie_ns")).sum();
    match zombie_ns > number(&sampled.totals, "covered_ns") / 2 {
        true => Ok(()),
        false => run.fail("no stack goes through the handler to main"),
    }
}

/// The parent is always in one of several chains of calls. A stack that mixes them is wrong.
fn moving_target(enough: u64, seconds: &str) -> Outcome {
    let (mut samples, mut seen) = (0, HashSet::new());
    // A slow machine takes fewer in each run.
    while samples < enough {
        let more = moving_samples(seconds, &mut seen)?;
        ensure!(more > 0, "no samples");
        samples += more;
        println!("{samples} samples of a moving target, 0 wrong");
    }
    let whole = |letter: char| seen.contains(&(letter, parent::LINKS));
    ensure!(
        parent::LETTERS
            .chars()
            .filter(|letter| whole(*letter))
            .count()
            > 1,
        "fewer than two whole chains: {seen:?}"
    );
    Ok(())
}

/// How many samples a run has, all of them right. `seen` takes the chains that it saw, and how many of their
/// functions.
fn moving_samples(seconds: &str, seen: &mut HashSet<(char, usize)>) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let run = Tracer::json(["--stacks=999"])
        .command([
            "env".as_ref(),
            format!("{PARENT}={seconds}").as_ref(),
            this.as_os_str(),
        ])
        .run()?;
    run.expect_code(0)?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    for one in &sampled.doing {
        let frames = sampled.frames(one).iter().rev();
        let names = frames.filter_map(|frame| frame["function"].as_str());
        // Debug information has the last part of the name only.
        let parts = names.filter_map(|name| {
            name.rsplit("::")
                .find_map(|part| part.strip_prefix("chain_"))
        });
        let parts: Vec<&str> = parts.collect();
        let letter = parts.first().and_then(|part| part.chars().next());
        let letter = letter.unwrap_or_default();
        let is_chain = parts
            .iter()
            .zip(1..)
            .all(|(part, link)| **part == format!("{letter}{link}"));
        let is_whole = sampled.is_truncated(one) || has_function(sampled.frames(one), "move_on");
        if !is_chain || !is_whole {
            return run.fail(format!(
                "a wrong stack: {parts:?}: {:?}",
                sampled.frames(one)
            ));
        }
        seen.insert((letter, parts.len()));
    }
    Ok(number(&sampled.totals, "samples"))
}

/// Nothing wakes a sleeping parent.
fn sleeper() -> Outcome {
    let mut parent = Command::new("sh")
        .args(["-c", "true & exec sleep 600"])
        .spawn()
        .map_err(|error| error.to_string())?;
    let outcome = undisturbed(parent.id());
    let _ = parent.kill();
    let _ = parent.wait();
    outcome
}

fn undisturbed(pid: u32) -> Outcome {
    let switches = || -> Result<String, String> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.map_err(|error| error.to_string())?;
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        Ok(lines.collect::<Vec<_>>().join(" "))
    };
    crate::pty::until("the parent sleeps", || {
        let place = fs::read_to_string(format!("/proc/{pid}/wchan"));
        Ok(place.is_ok_and(|place| place.contains("nanosleep")))
    })?;
    let before = switches()?;
    let ppid = pid.to_string();
    let run = Tracer::json(["--stacks=99", "-d", "4s", "--ppid", &ppid]).run()?;
    run.expect_code(0)?;
    let after = switches()?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    let samples = number(&sampled.totals, "samples");
    ensure!(samples > 0, "no samples");
    ensure!(before == after, "{before} have become {after}");
    let states: HashSet<_> = sampled
        .doing
        .iter()
        .map(|one| one["state"].to_string())
        .collect();
    ensure!(
        states.len() == 1 && states.contains("\"blocked\""),
        "a sleeper was {states:?}"
    );
    Ok(())
}

/// Zombies that are younger than the bound make no sample.
fn nothing() -> Outcome {
    let run = Tracer::json(["--stacks=999", "--stacks-after", "1h"])
        .command(["sh", "-c", "sleep 0.1; true & exec sleep 1"])
        .run()?;
    run.expect_code(0)?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    for key in ["samples", "moved", "failed", "covered_ns", "due_ns"] {
        ensure!(
            number(&sampled.totals, key) == 0,
            "{key}: {}",
            sampled.totals
        );
    }
    ensure!(sampled.stacks.is_empty(), "there are stacks");
    ensure!(number(&sampled.totals, "hz") == 999, "{}", sampled.totals);
    Ok(())
}

const PYTHON: &str = "\
import os, time
if os.fork() == 0:
    os._exit(0)
time.sleep(3)
";

const PERL: &str = "fork or exit 0; sleep 3;";

/// The interpreter sleeps, and its stack is whole.
fn interpreter(program: &str, option: &str, text: &str) -> Outcome {
    let run = Tracer::json(["--stacks=99"])
        .command([program, option, text])
        .run()?;
    run.expect_code(0)?;
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    let first = sampled.doing.first().ok_or("no sample")?;
    let names: Vec<_> = sampled
        .frames(first)
        .iter()
        .map(|frame| frame["function"].as_str().unwrap_or("?"))
        .collect();
    let sleeps = names.first().is_some_and(|name| name.contains("nanosleep"));
    if !sleeps || sampled.is_truncated(first) || names.len() < 5 {
        return run.fail(format!("not a whole stack of a sleeper: {names:?}"));
    }
    ensure!(first["state"] == "blocked", "{first}");
    Ok(())
}

fn old_kernel_warns() -> Outcome {
    let run = Tracer::json(["--stacks"])
        .command(["sh", "-c", "true & exec sleep 1"])
        .run()?;
    run.expect_code(0)?;
    ensure!(
        run.stderr.contains("no stacks: ") && run.stderr.contains("Linux 6.1 or later"),
        "no warning: {}",
        run.stderr
    );
    let sampled = Sampled::of(&run.report()?).or_else(|error| run.fail(error))?;
    ensure!(
        number(&sampled.totals, "samples") == 0,
        "{}",
        sampled.totals
    );
    Ok(())
}
