//! `zombie-trace diff` on recordings, which needs no privileges.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};
use support::{Run, changed};
use zombie_trace::{
    FilterLine, GroupSummary, ParentSummary, Phases, ScopeLine, Unlisted, Zombie,
    internals::{Json, Sink as _},
};

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A recording of this run, with every zombie and interval.
    fn record(&self, name: &str, run: &Run) -> PathBuf {
        self.write(name, &recording(run, true))
    }
}

fn recording(run: &Run, stream: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    run.play(&mut Json::new(&mut bytes, stream));
    bytes
}

/// 2000 zombies that last so many times as long as usual.
fn run(slower: f64) -> Run {
    let mut run = support::calm();
    // No run starts when another does.
    static RUNS: AtomicU32 = AtomicU32::new(1);
    run.start.tracer_pid = RUNS.fetch_add(1, Ordering::Relaxed);
    for (zombie, n) in run.zombies.iter_mut().zip(0..) {
        zombie.ts += jiff::SignedDuration::from_millis(n);
        zombie.zombie_ns = (zombie.zombie_ns as f64 * slower) as u64;
    }
    run
}

fn diff(base: &Path, new: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zombie-trace"))
        .arg("diff")
        .args([base, new])
        .args(options)
        .output()
        .unwrap()
}

#[track_caller]
fn json(base: &Path, new: &Path) -> Value {
    let output = diff(base, new, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/schema/zombie-trace-diff-v1.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::meta::validate(&schema).expect("it is a schema itself");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<_> = validator
        .iter_errors(&object)
        .map(|error| error.to_string())
        .collect();
    assert!(problems.is_empty(), "{problems:?}\n{object}");
    for key in ["verdict", "overall", "by_parent", "warnings"] {
        let mut lacking = object.clone();
        lacking.as_object_mut().unwrap().remove(key);
        assert!(!validator.is_valid(&lacking), "{key} is optional");
    }
    object
}

#[test]
fn the_same_and_a_slower_run() {
    let files = Files::new();
    let [base, same, slow] = [("base", 1.0), ("same", 1.0), ("slow", 1.5)]
        .map(|(name, slower)| files.record(name, &run(slower)));
    let found = json(&base, &same);
    assert_eq!(found["verdict"], "no-difference");
    assert_eq!(found["overall"]["base"]["zombie_ns"]["count"], 2000);
    assert_eq!(found["warnings"], serde_json::json!([]));
    let found = json(&base, &slow);
    assert_eq!(found["verdict"], "worse");
    assert_eq!(json(&slow, &base)["verdict"], "better");
}

#[test]
fn a_run_compared_with_itself_is_warned_of() {
    let files = Files::new();
    let bytes = recording(&run(1.0), true);
    let [base, copy] = ["base", "copy"].map(|name| files.write(name, &bytes));
    for new in [&base, &copy] {
        let found = json(&base, new);
        let warning = found["warnings"][0].as_str().unwrap();
        assert!(warning.contains("are the same run"), "{warning}");
    }
}

#[test]
fn the_tracer_is_no_parent() {
    let files = Files::new();
    let recorded = |slower| {
        let mut run = run(slower);
        run.start.tracer_pid = 17;
        run.start.ts += jiff::SignedDuration::from_secs(slower as i64);
        for zombie in &mut run.zombies[..500] {
            zombie.ppid = Some(17);
            zombie.parent_comm = Some("zombie-trace".into());
        }
        files.record(&slower.to_string(), &run)
    };
    let [base, new] = [1.0, 2.0].map(recorded);
    let found = json(&base, &new);
    assert_eq!(found["overall"]["new"]["zombie_ns"]["count"], 2000);
    let parents = found["by_parent"].as_array().unwrap();
    let names: Vec<_> = parents.iter().map(|parent| &parent["comm"]).collect();
    assert_eq!(names, ["bash"]);
    assert_eq!(found["of_others"], 0);
}

#[test]
fn lines_cut_from_the_middle_are_warned_of() {
    let files = Files::new();
    let base = files.record("base", &run(1.0));
    let whole = String::from_utf8(recording(&run(1.0), true)).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let cut = [&lines[..500], &lines[800..]].concat().join("\n");
    let new = files.write("new", cut.as_bytes());
    let found = json(&base, &new);
    assert_eq!(
        found["new"]["damaged"],
        "300 of 2000 zombie lines are missing"
    );
}

#[test]
fn gates() {
    let files = Files::new();
    let [base, slow] = [1.0, 1.5].map(|slower| files.record(&slower.to_string(), &run(slower)));
    for (condition, code) in [
        ("p50>+20%", 3),
        ("p50>+70%", 0),
        ("p50<-1%", 0),
        ("mean>+20%", 3),
        ("count>+0%", 0),
        // A limit is for the second run.
        ("max<80us", 0),
        ("max>80us", 3),
    ] {
        let output = diff(&base, &slow, &["--fail-if", condition]);
        assert_eq!(output.status.code(), Some(code), "{condition}: {output:?}");
    }
    let output = diff(
        &slow,
        &base,
        &["--fail-if", "p50<-10%", "--format", "github"],
    );
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("::error title=zombie-trace --fail-if::FAIL p50 changed by -"),
        "{told}"
    );
}

#[test]
fn what_can_not_be_told_fails_no_gate() {
    let files = Files::new();
    let few = |slower| {
        let mut run = run(slower);
        run.zombies.truncate(10);
        run
    };
    let [base, slow] = [1.0, 3.0].map(|slower| files.record(&slower.to_string(), &few(slower)));
    assert_eq!(json(&base, &slow)["verdict"], "not-enough-data");
    let output = diff(&base, &slow, &["--fail-if", "p50>+20%"]);
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("PASS p50: too little data to tell a change (limit +20%)"),
        "{told}"
    );
}

#[test]
fn what_differs_besides_is_warned_of() {
    let files = Files::new();
    let base = files.record("base", &run(1.0));
    let mut other = run(1.0);
    other.start.backend = "fentry".to_owned();
    other.start.kernel = "7.3.0".to_owned();
    other.start.command = Some(vec!["make".to_owned(), "-j8".to_owned()]);
    other.summary.counts.alive = 300;
    other.summary.counts.lost.ring_full = 7;
    let bytes = recording(&other, true);
    let other = files.write("other", &bytes);
    let found = json(&base, &other);
    let warnings: Vec<_> = found["warnings"].as_array().unwrap().iter().collect();
    for part in [
        "7 zombies were lost",
        "300 zombies were not reaped",
        "kernel differs: 6.12.0, then 7.3.0",
        "backend, and so the error, differs: tracepoint, then fentry",
        "command differs: none, then make -j8",
    ] {
        let told = warnings
            .iter()
            .any(|warning| warning.as_str().unwrap().contains(part));
        assert!(told, "no {part:?} in {warnings:?}");
    }
    let cut = files.write("cut", &bytes[..bytes.len() * 2 / 3]);
    let found = json(&base, &cut);
    assert!(
        found["new"]["damaged"]
            .as_str()
            .unwrap()
            .contains("not whole"),
        "{found}"
    );
    assert!(
        found["warnings"][0]
            .as_str()
            .unwrap()
            .contains("cut: its last line"),
        "{found}"
    );
}

/// With phases, of which the run queue grows by so many ns.
fn starved(runqueue_ns: u64) -> Run {
    let mut run = run(1.0);
    for zombie in &mut run.zombies {
        zombie.zombie_ns += runqueue_ns;
        zombie.phases = Some(changed(Phases::default(), |it| {
            it.notify_ns = Some(0);
            it.parent_not_waiting_ns = Some(zombie.zombie_ns - runqueue_ns);
            it.runqueue_ns = Some(runqueue_ns);
            it.tracer_ns = Some(0);
            it.reap_ns = Some(0);
        }));
    }
    run
}

#[test]
fn a_busy_machine_is_named() {
    let files = Files::new();
    let base = files.record("base", &starved(1000));
    let busy = files.record("busy", &starved(50_000));
    let found = json(&base, &busy);
    assert_eq!(found["verdict"], "worse");
    let told = found["warnings"].to_string();
    assert!(
        told.contains("waited for a CPU for 1.00 µs per zombie, then 50.0 µs"),
        "{told}"
    );
    let [usual, slow] = [1.0, 1.5].map(|slower| files.record(&slower.to_string(), &run(slower)));
    assert_eq!(json(&usual, &slow)["warnings"], serde_json::json!([]));
}

#[test]
fn intervals_alone_are_compared() {
    let files = Files::new();
    let base = files.record("base", &run(1.0));
    let intervals = files.write("intervals", &recording(&run(1.0), false));
    let found = json(&base, &intervals);
    assert_eq!(found["new"]["single_zombies"], false);
    assert!(
        found["warnings"].to_string().contains("has intervals only"),
        "{found}"
    );
    let count = |run| found["overall"][run]["zombie_ns"]["count"].clone();
    assert_eq!(count("base"), count("new"));
}

#[test]
fn without_zombies_or_intervals_there_is_nothing_to_compare() {
    let files = Files::new();
    let base = files.record("base", &run(1.0));
    let mut without = run(1.0);
    without.intervals.clear();
    let summary = files.write("summary", &recording(&without, false));
    let output = diff(&base, &summary, &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("record without -s, or with -i 1s"), "{told}");
    let output = diff(Path::new("-"), Path::new("-"), &[]);
    assert_eq!(output.status.code(), Some(2));
    let empty = files.write("empty", b"");
    let output = diff(&base, &empty, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("is empty")
    );
}

#[test]
fn runs_of_few_zombies_or_none_are_not_enough() {
    let files = Files::new();
    let [empty, eventful] = [
        ("empty", support::empty()),
        ("eventful", support::eventful()),
    ]
    .map(|(name, run)| files.record(name, &run));
    assert_eq!(json(&empty, &empty)["verdict"], "not-enough-data");
    let found = json(&eventful, &empty);
    assert_eq!(found["verdict"], "not-enough-data");
    // Those that were zombies of this run; not the autoreaped, nor those from before.
    let reaped = &support::eventful().summary.zombie_ns.count;
    assert_eq!(found["overall"]["base"]["zombie_ns"]["count"], *reaped);
}

/// As `-m` records the run: zombies below the limit are not listed.
fn filtered(run: &Run, min_ns: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut json = Json::new(&mut bytes, true);
    let mut start = run.start.clone();
    start.filter = Some(changed(FilterLine::default(), |it| {
        it.min_ns = min_ns;
    }));
    json.start(&start).unwrap();
    for zombie in &run.zombies {
        if zombie.zombie_ns >= min_ns {
            json.zombie(zombie).unwrap();
        } else {
            let unlisted: Unlisted = support::from_json(json!({
                "ts": zombie.ts,
                "parents": [{"ppid": zombie.ppid, "comm": zombie.parent_comm}],
                "zombies": [[0, 0, zombie.zombie_ns]],
            }));
            json.unlisted(&unlisted).unwrap();
        }
    }
    let mut summary = run.summary.clone();
    let listed = |zombie: &&Zombie| zombie.zombie_ns >= min_ns;
    summary.listed = run.zombies.iter().filter(listed).count() as u64;
    summary.counts.filtered = run.zombies.len() as u64 - summary.listed;
    json.summary(&summary).unwrap();
    json.flush().unwrap();
    bytes
}

#[test]
fn a_filter_changes_no_figure() {
    let files = Files::new();
    let (base, slow) = (run(1.0), run(1.5));
    let whole = files.record("whole", &base);
    let listed = files.write("listed", &filtered(&base, 40_000));
    let slow = files.record("slow", &slow);
    let [of_whole, of_listed] = [&whole, &listed].map(|base| json(base, &slow));
    assert_eq!(of_whole["verdict"], "worse");
    for key in ["verdict", "overall", "by_parent", "warnings"] {
        assert_eq!(of_whole[key], of_listed[key], "{key}");
    }
    for condition in [
        "p50>+20%",
        "p99>+1000%",
        "p95>1ms",
        "count<2001",
        "p95<70us",
    ] {
        let gate = |new| diff(&slow, new, &["--fail-if", condition]);
        let [whole, listed] = [&whole, &listed].map(|new| gate(new));
        assert_eq!(whole.status, listed.status, "{condition}");
        assert_eq!(whole.stderr, listed.stderr, "{condition}");
    }
}

#[test]
fn runs_of_another_kind_are_refused() {
    let files = Files::new();
    let with = |name: &str, scope: ScopeLine| {
        let mut run = run(1.0);
        run.start.scope = Some(scope);
        files.record(name, &run)
    };
    let parent = |pid| {
        changed(ScopeLine::default(), |it| {
            it.ppid = vec![pid];
        })
    };
    let container = |name: &str| {
        changed(ScopeLine::default(), |it| {
            it.container = vec![name.to_owned()];
        })
    };
    let all = with("all", ScopeLine::default());
    let [one, other] = [7, 8].map(|pid| with(&pid.to_string(), parent(pid)));
    let [web, db] = ["web", "db"].map(|name| with(name, container(name)));
    assert_eq!(json(&one, &other)["warnings"], serde_json::json!([]));
    let warnings = json(&web, &db)["warnings"].to_string();
    assert!(
        warnings.contains("--container differs: web, then db"),
        "{warnings}"
    );
    for (base, new, why) in [
        (&all, &one, "NEW was recorded with --ppid, BASE without"),
        (&one, &all, "BASE was recorded with --ppid, NEW without"),
        (
            &web,
            &all,
            "BASE was recorded with --container, NEW without",
        ),
    ] {
        let output = diff(base, new, &["--fail-if", "p50>+20%"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(why), "{told}");
        assert!(output.stdout.is_empty());
    }
}

/// With so many zombies of one parent left at the end of the run.
fn leaving(alive: u64) -> Run {
    let mut run = run(1.0);
    let bash = Some("bash".into());
    let rows = &mut run.summary.by_parent;
    rows.retain(|row| row.comm != bash);
    rows.push(changed(ParentSummary::default(), |it| {
        it.ppid = Some(4242);
        it.comm = bash;
        it.cmdline = Some("bash ./supervise.sh".into());
        it.group = changed(GroupSummary::default(), |it| {
            it.alive = alive;
            it.oldest_ns = (alive > 0).then_some(7_100_000_000);
            it.zombie_time_ns = 1 + alive * 3_500_000_000;
            it.reaped = 2000;
            it.max_ns = Some(75_000);
        });
    }));
    run
}

#[test]
fn a_new_leak_makes_it_worse() {
    let files = Files::new();
    let [clean, leaks, same] = [0, 67, 67].map(|alive| {
        let run = leaving(alive);
        let name = run.start.tracer_pid.to_string();
        files.record(&name, &run)
    });
    let found = json(&clean, &leaks);
    assert_eq!(found["verdict"], "worse");
    assert_eq!(
        found["overall"]["changes"]["p50"]["verdict"],
        "no-difference"
    );
    let alive = &found["overall"]["changes"]["alive"];
    assert_eq!(
        (&alive["verdict"], &alive["ratio"]),
        (&"worse".into(), &Value::Null)
    );
    let leak = &found["lingering"][0];
    assert_eq!(
        (&leak["verdict"], &leak["new"]["alive"]),
        (&"worse".into(), &67.into())
    );
    assert_eq!(leak["new"]["cmdline"], "bash ./supervise.sh");
    let text = String::from_utf8(diff(&clean, &leaks, &[]).stdout).unwrap();
    let first = "worse: bash ./supervise.sh leaves 67 zombies, the oldest 7.10 s (base: none)\n";
    assert!(text.starts_with(first), "{text}");
    assert_eq!(json(&leaks, &clean)["verdict"], "better");
    assert_eq!(json(&leaks, &same)["verdict"], "no-difference");
    // From nothing to something is more than any change.
    let gate = diff(&clean, &leaks, &["--fail-if", "alive>+1000%"]);
    assert_eq!(gate.status.code(), Some(3), "{gate:?}");
    let told = String::from_utf8_lossy(&gate.stderr);
    assert!(
        told.contains("FAIL alive rose from 0 (limit +1000%)"),
        "{told}"
    );
    // The runs' own `alive` leaves out pre-existing zombies. A gate counts them.
    let gate = diff(&clean, &leaks, &["--fail-if", "alive>66"]);
    let told = String::from_utf8_lossy(&gate.stderr);
    assert!(told.contains("FAIL alive = 67 (limit 66)"), "{told}");
    assert_eq!(leak["new"]["alive"], found["new"]["alive"]);
}

#[test]
fn a_recording_without_its_end_passes_no_gate_about_the_end() {
    let files = Files::new();
    let whole = String::from_utf8(recording(&run(1.0), true)).unwrap();
    let (cut, _summary) = whole.trim_end().rsplit_once('\n').unwrap();
    let [base, cut] = [
        files.record("base", &run(1.0)),
        files.write("cut", cut.as_bytes()),
    ];
    for condition in ["alive>0", "oldest>1s", "zombie_time>1h"] {
        let gate = diff(&base, &cut, &["--fail-if", condition]);
        assert_eq!(gate.status.code(), Some(3), "{condition}: {gate:?}");
        let told = String::from_utf8_lossy(&gate.stderr);
        let why = "can't be judged: the recording ends before the run's summary";
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn how_much_data_lacks_is_said() {
    let files = Files::new();
    let few = |count| {
        let mut run = run(1.0);
        run.zombies.truncate(count);
        let name = run.start.tracer_pid.to_string();
        files.record(&name, &run)
    };
    let [some, few] = [150, 12].map(few);
    let needed = |percentile: &str| {
        let found = json(&some, &few);
        found["overall"]["changes"][percentile]["needed"].clone()
    };
    assert_eq!(needed("p50")["zombies"], 20);
    let longer = needed("p99")["new_longer"].as_f64().unwrap();
    assert!((83.0..84.0).contains(&longer), "{longer}");
    let text = String::from_utf8(diff(&some, &few, &[]).stdout).unwrap();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let first = "not enough data: at least 20 zombies are needed in each run; ";
    assert!(words.starts_with(first), "{text}");
    assert!(
        words.contains("NEW has 12: record about 2 times as long"),
        "{text}"
    );
}
