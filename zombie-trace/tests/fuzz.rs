//! Recordings that were tampered with: no panic, no hang, and bounded memory.
//!
//! The ordinary form takes some seconds. `ZOMBIE_TRACE_FUZZ=10000` sets the number of recordings, and
//! `ZOMBIE_TRACE_FUZZ_SEED` the seed of the first; the next ones follow. A failure names the command
//! that repeats it.

mod sampled;
mod support;

use std::{
    env, fs,
    io::Write as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Command, Output, Stdio},
};

use fastrand::Rng;
use nix::sys::resource::{Resource, setrlimit};
use support::Run;
use zombie_trace::internals::Json;

/// As many in an ordinary test.
const FEW: u64 = 120;
/// No run of the program may take more: CPU time does not depend on what else the machine does.
const CPU_SECONDS: u64 = 20;
/// Nor may it sleep for long.
const SECONDS: u32 = 300;
/// Heap and other private memory.
const MEMORY: u64 = 64 << 20;

fn recording(run: &Run) -> String {
    let mut out = Vec::new();
    run.play(&mut Json::new(&mut out, true));
    String::from_utf8(out).unwrap()
}

/// Recordings of each kind: with every type of line, with intervals alone, a summary alone.
fn samples() -> Vec<String> {
    let mut eventful = support::eventful();
    eventful.start.command = Some(vec!["make".to_owned(), "-j8".to_owned()]);
    let mut calm = support::calm();
    calm.zombies.truncate(150);
    let [eventful, calm] = [eventful, calm].map(|run| recording(&run));
    let without = |text: &str, kind: &str| -> String {
        let kind = format!("{{\"type\":\"{kind}\"");
        let lines = text.split_inclusive('\n');
        lines.filter(|line| !line.starts_with(&kind)).collect()
    };
    let intervals: String = without(&without(&calm, "zombie"), "alive");
    let summary = without(&intervals, "interval");
    vec![
        eventful,
        calm,
        intervals,
        summary,
        recording(&support::empty()),
        recording(&sampled::sampled()),
    ]
}

/// What replaces a number.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "255",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "72057594037927936",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "0.5",
    "null",
];

/// What replaces a string.
const STRINGS: [&str; 10] = [
    "",
    "\\u0000",
    "\\u001b]0;pwned\\u0007",
    "\\u202e\\u2066",
    "\\n::error::pwned",
    "\\ud800",
    "=HYPERLINK(1)",
    "-009999-01-02T01:59:59Z",
    "9999-12-30T22:00:00.999999999Z",
    "zombie",
];

/// A number from `digits`, or a string, or a few bytes, or lines are changed.
fn mutate(text: &mut Vec<u8>, rng: &mut Rng) {
    match rng.u8(..12) {
        0..5 => {
            let numbers = tokens(text, |byte| byte.is_ascii_digit());
            // Those within strings, too.
            replace(
                text,
                &numbers,
                NUMBERS[rng.usize(..NUMBERS.len())].as_bytes(),
                rng,
            );
        }
        5 | 6 => {
            let strings = tokens(text, |byte| !b"\",:[]{}\n".contains(&byte));
            let string = match rng.u8(..8) {
                0 => "x".repeat(rng.usize(..100_000)),
                _ => STRINGS[rng.usize(..STRINGS.len())].to_owned(),
            };
            replace(text, &strings, string.as_bytes(), rng);
        }
        7 => {
            let lines = text.split_inclusive(|&byte| byte == b'\n');
            let mut lines: Vec<_> = lines.map(<[u8]>::to_vec).collect();
            if lines.is_empty() {
                return;
            }
            let (one, other) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
            match rng.u8(..3) {
                0 => drop(lines.remove(one)),
                1 => lines.swap(one, other),
                _ => {
                    let line = lines[one].clone();
                    let times = rng.usize(1..600);
                    lines.splice(other..other, std::iter::repeat_n(line, times));
                }
            }
            *text = lines.concat();
        }
        8 => text.truncate(rng.usize(..=text.len())),
        9 if !text.is_empty() => {
            let from = rng.usize(..text.len());
            let to = (from + rng.usize(1..200)).min(text.len());
            text.drain(from..to);
        }
        10 => {
            let at = rng.usize(..=text.len());
            let bytes: Vec<u8> = (0..rng.usize(1..20)).map(|_| rng.u8(..)).collect();
            text.splice(at..at, bytes);
        }
        _ if !text.is_empty() => {
            let at = rng.usize(..text.len());
            text[at] ^= 1 << rng.u8(..8);
        }
        _ => {}
    }
}

/// The ranges of bytes in a row that belong to such a token.
fn tokens(text: &[u8], belongs: impl Fn(u8) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut tokens: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, &byte) in text.iter().enumerate() {
        match tokens.last_mut() {
            _ if !belongs(byte) => {}
            Some(last) if last.end == at => last.end += 1,
            _ => tokens.push(at..at + 1),
        }
    }
    tokens
}

/// One of them, or all of those that are equal to it.
fn replace(text: &mut Vec<u8>, tokens: &[std::ops::Range<usize>], with: &[u8], rng: &mut Rng) {
    let Some(chosen) = rng.choice(tokens) else {
        return;
    };
    let old = text[chosen.clone()].to_vec();
    let all = with.len() < 100 && rng.u8(..4) == 0;
    let mut new = Vec::with_capacity(text.len());
    let mut copied = 0;
    for token in tokens {
        if token == chosen || (all && text[token.clone()] == old) {
            new.extend(&text[copied..token.start]);
            new.extend(with);
            copied = token.end;
        }
    }
    new.extend(&text[copied..]);
    *text = new;
}

fn mutated(samples: &[String], seed: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed);
    let mut bytes = samples[rng.usize(..samples.len())].clone().into_bytes();
    let compress = rng.u8(..8) == 0;
    if compress && rng.bool() {
        bytes = zstd::encode_all(&*bytes, 0).unwrap();
    }
    for _ in 0..rng.usize(1..8) {
        mutate(&mut bytes, &mut rng);
    }
    if compress && rng.bool() {
        bytes = zstd::encode_all(&*bytes, 0).unwrap();
    }
    bytes
}

/// Runs the program within the limits.
fn limited(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zombie-trace"));
    command
        .args(args)
        .current_dir(directory)
        .env("TZ", "UTC")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null());
    let limit = || {
        setrlimit(Resource::RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS)?;
        setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY)?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        nix::unistd::alarm::set(SECONDS);
        Ok(())
    };
    // SAFETY: between fork and exec, the closure makes system calls only.
    unsafe { command.pre_exec(limit) };
    command.output().unwrap()
}

/// Why the run was not as it must be.
fn problem(output: &Output) -> Option<String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let end = match (output.status.code(), output.status.signal()) {
        (Some(0 | 1), _) if !stderr.contains("panicked") => None,
        (_, Some(signal)) => Some(format!("killed by signal {signal}")),
        (code, _) => Some(format!("status {code:?}")),
    };
    let is_raw = |byte: &u8| matches!(byte, 0x1b | 0x07 | 0);
    let raw = [&output.stdout, &output.stderr].map(|text| text.iter().any(is_raw));
    let end = end.or_else(|| {
        raw.contains(&true)
            .then(|| "control characters in the output".to_owned())
    });
    end.map(|end| format!("{end}: {stderr}"))
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |number| number.parse().unwrap())
}

#[test]
fn recordings_that_were_tampered_with() {
    let (seed, count) = (
        number("ZOMBIE_TRACE_FUZZ_SEED", 1),
        number("ZOMBIE_TRACE_FUZZ", FEW),
    );
    println!("{count} recordings from seed {seed}");
    let samples = samples();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("base"), &samples[1]).unwrap();
    for seed in seed..seed + count {
        fs::write(path.join("run"), mutated(&samples, seed)).unwrap();
        let files = [
            "--html",
            "page",
            "--perfetto",
            "trace",
            "--csv",
            "rows",
            "--json",
        ];
        for args in [
            &["report", "run"][..],
            &[&["report", "run"], &files[..]].concat(),
            &["report", "run", "--flamegraph", "a.svg"],
            &["report", "run", "--flamegraph", "a.folded"],
            &["report", "run", "--flamegraph", "a.speedscope.json"],
            &["diff", "base", "run"],
        ] {
            if let Some(problem) = problem(&limited(path, args)) {
                panic!(
                    "zombie-trace {}: {problem}\nrepeat: ZOMBIE_TRACE_FUZZ=1 \
                     ZOMBIE_TRACE_FUZZ_SEED={seed} cargo test --package zombie-trace --test fuzz",
                    args.join(" ")
                );
            }
        }
    }
}

/// Each is as bad as its kind can be: random changes seldom are.
#[test]
fn recordings_that_were_made_to_do_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let samples = samples();
    let [eventful, calm, intervals, ..] = &*samples else {
        unreachable!("there are six samples")
    };
    fs::write(path.join("base"), calm).unwrap();
    let line_of = |kind: &str| {
        let kind = format!("{{\"type\":\"{kind}\"");
        let mut lines = eventful.split_inclusive('\n');
        lines.find(|line| line.starts_with(&kind)).unwrap()
    };
    let max = u64::MAX.to_string();
    let long = "x".repeat(60_000);
    let text = |line: &str, pid: u32, text: &str| {
        line.replace("\"pid\":4243", &format!("\"pid\":{pid}"))
            .replace("\"pid\":4300", &format!("\"pid\":{pid}"))
            .replace("\"cgroup\":null", &format!("\"cgroup\":\"{text}\""))
    };
    let start = line_of("start");
    // Groups enough for each to have a histogram, as large as one can be.
    let container = |pid: u32| {
        let name = pid % 600;
        let container = format!(
            r#""container":{{"runtime":null,"id":"{name:0255}","pod_uid":"{name:0255}","hostname":"{name:0255}"}}"#
        );
        let parent = pid % 200;
        line_of("zombie")
            .replace("\"container\":null", &container)
            .replace("\"zombie_ns\":18234", "\"zombie_ns\":4000000000000000000")
            .replace("\"ppid\":4242", &format!("\"ppid\":{parent}"))
            .replace("\"comm\":\"sleep\"", &format!("\"comm\":\"{parent}\""))
    };
    let file = |name: &str, lines: &mut dyn Iterator<Item = String>| {
        let file = fs::File::create(path.join(name)).unwrap();
        // Some are large.
        let mut encoder = zstd::Encoder::new(file, 1).unwrap();
        for line in lines {
            encoder.write_all(line.as_bytes()).unwrap();
        }
        encoder.finish().unwrap();
    };
    let after_start = |name, lines: &mut dyn Iterator<Item = String>| {
        file(name, &mut [start.to_owned()].into_iter().chain(lines));
    };
    let duration = format!("\"duration_ns\":{max}");
    let durations = intervals.replace("\"duration_ns\":6000000000", &duration);
    file("durations", &mut [durations].into_iter());
    let arguments = format!("[{}\"\"]", "\"\",".repeat(900_000));
    let command = start.replace("[\"make\",\"-j8\"]", &arguments);
    file("command", &mut [command].into_iter());
    let interval = line_of("interval");
    let (interval, _) = interval.split_once("\"histogram\"").unwrap();
    let interval =
        format!("{interval}\"histogram\":[[0,{max},{max}],[5,3,{max}],[{max},0,{max}]]}}\n");
    let interval = interval
        .replace("\"reaped\":", &format!("\"reaped\":{max},\"was_reaped\":"))
        .replace("\"min\":", &format!("\"min\":{max},\"was_min\":"));
    after_start("counts", &mut (0..300).map(|_| interval.clone()));
    let zombie = line_of("zombie");
    after_start(
        "strings",
        &mut (0..2000).map(|pid| text(zombie, pid, &long)),
    );
    let summary = eventful.lines().last().unwrap();
    let (summary, parents) = summary.split_once("\"by_parent\":[").unwrap();
    let (_, containers) = parents.split_once("],\"by_container\"").unwrap();
    let parent = r#"{"ppid":1,"comm":"a","reaped":1,"autoreaped":1,"alive":1,"p50_ns":1,"p99_ns":1,"max_ns":1,"total_ns":1}"#;
    let parents = format!("{parent},").repeat(75_000) + parent;
    let summary = format!("{summary}\"by_parent\":[{parents}],\"by_container\"{containers}\n");
    assert!(summary.len() > 7 << 20 && summary.len() < 8 << 20);
    after_start("summary", &mut [summary].into_iter());
    let endless = long.repeat(256);
    after_start(
        "endless",
        &mut (0..3).map(|pid| text(zombie, pid, &endless)),
    );
    let path_of = "x".repeat(600);
    let alive = line_of("alive");
    after_start(
        "alive",
        &mut (0..70_000).map(|pid| text(alive, pid, &path_of)),
    );
    after_start("containers", &mut (0..60_000).map(container));
    let sampled = &samples[5];
    let sampled_line = |kind: &str| {
        let kind = format!("{{\"type\":\"{kind}\"");
        let mut lines = sampled.split_inclusive('\n');
        lines.find(|line| line.starts_with(&kind)).unwrap()
    };
    let (stack, doing) = (sampled_line("stack"), sampled_line("doing"));
    let (before, frames) = stack.split_once("\"frames\":[").unwrap();
    let (frame, _) = frames.split_once('}').unwrap();
    let frame = format!("{frame}}}");
    let of_frames = |id: u32, frames: &[String]| {
        let before = before.replace("\"id\":0", &format!("\"id\":{id}"));
        format!("{before}\"frames\":[{}]}}\n", frames.join(","))
    };
    let named = |name: &str| frame.replace("fsync", name);
    let of_stack = |ppid: u32, id: u32| {
        doing
            .replace("\"ppid\":4242", &format!("\"ppid\":{ppid}"))
            .replace("\"stack\":0", &format!("\"stack\":{id}"))
    };
    after_start(
        "doings",
        &mut (0..1_000_000).map(|id| of_stack(id % 9000 + 1, id)),
    );
    let huge = of_frames(0, &[named(&"x".repeat(10 << 20))]);
    after_start("huge-name", &mut [huge, of_stack(1, 0)].into_iter());
    let hostile = "<script>;\\u001b[2J\\u202e".repeat(30);
    after_start(
        "stacks",
        &mut (0..30_000).flat_map(|id| {
            let frames: Vec<_> = (0..20)
                .map(|depth| named(&format!("{hostile}{id}.{depth}")))
                .collect();
            [of_frames(id, &frames), of_stack(id % 7 + 1, id)]
        }),
    );
    after_start(
        "deep",
        &mut (0..400).flat_map(|id| {
            let frames: Vec<_> = (0..3000)
                .map(|depth| named(&format!("{}", depth * id)))
                .collect();
            [of_frames(id, &frames), of_stack(1, id)]
        }),
    );
    // Sums of these are beyond all numbers.
    let with_most = |text: &str, keys: &[&str]| {
        keys.iter().fold(text.to_owned(), |text, key| {
            let most = format!("\"{key}\":{max},\"was_{key}\":");
            text.replace(&format!("\"{key}\":"), &most)
        })
    };
    let counts = [
        "exits",
        "reaped",
        "autoreaped",
        "alive",
        "pre_existing",
        "filtered",
        "suspicious",
        "inexact",
        "listed",
        "count",
        "ring_full",
        "map_full",
        "missed",
        "zombie_time_ns",
        "zombie_ns",
        "samples",
        "covered_ns",
        "due_ns",
    ];
    for (name, recording) in [
        ("eventful", eventful),
        ("empty", &samples[4]),
        ("in-intervals", intervals),
        ("sampled", sampled),
    ] {
        file(name, &mut [with_most(recording, &counts)].into_iter());
    }

    for file in [
        "eventful",
        "empty",
        "in-intervals",
        "durations",
        "command",
        "counts",
        "strings",
        "endless",
        "alive",
        "containers",
        "summary",
        "sampled",
        "doings",
        "huge-name",
        "stacks",
        "deep",
    ] {
        for args in [
            &["report", file][..],
            &[
                "report",
                file,
                "--json",
                "--html",
                "page",
                "--perfetto",
                "trace",
            ],
            &["report", file, "--flamegraph", "a.svg"],
            &["report", file, "--flamegraph", "a.folded"],
            &["report", file, "--flamegraph", "a.speedscope.json"],
            &["diff", "base", file],
        ] {
            if let Some(problem) = problem(&limited(path, args)) {
                panic!("zombie-trace {}: {problem}", args.join(" "));
            }
        }
    }
}
