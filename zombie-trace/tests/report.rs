//! `zombie-trace report` as a program: recordings in, text, files and a status out.
//!
//! `UPDATE_GOLDEN=1 cargo test --test report` writes the files in tests/golden anew.

mod sampled;
mod support;

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use support::{Run, changed};
use zombie_trace::{
    Cause, FilterLine, How, Unlisted,
    internals::{Json, Sink as _},
};

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs it where the files are.
    fn report(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zombie-trace"));
        command
            .arg("report")
            .args(args)
            .current_dir(self.0.path())
            .env("TZ", "UTC")
            .env_remove("CLICOLOR_FORCE");
        command
    }

    /// What it writes; it must go well.
    #[track_caller]
    fn told(&self, args: &[&str]) -> String {
        let output = self.report(args);
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn object(&self, files: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[files, &["--json"]].concat())).unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn recording(run: &Run) -> String {
    let mut out = Vec::new();
    run.play(&mut Json::new(&mut out, true));
    String::from_utf8(out).unwrap()
}

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{name} has changed:\n{text}\nand was:\n{expected}"
    );
}

/// An interval in which as many zombies lasted 1 ms as others 3 ms.
fn interval(second: u32, of_each: u64) -> String {
    let count = 2 * of_each;
    json!({
        "type": "interval", "ts": format!("2026-01-02T03:04:{:02}.000000000Z", 5 + second),
        "duration_ns": 1_000_000_000, "exits": count, "reaped": count, "autoreaped": 0,
        "alive": second, "filtered": 0,
        "lost": { "ring_full": 0, "map_full": 0, "missed": 0 },
        "zombie_ns": {
            "count": count, "min": 1_000_000, "mean": 2_000_000, "p50": 1_000_000,
            "p90": 3_000_000, "p99": 3_000_000, "p999": 3_000_000, "max": 3_000_000,
        },
        "histogram": [[983_040, 1_015_808, of_each], [2_949_120, 3_014_656, of_each]],
    })
    .to_string()
        + "\n"
}

#[test]
fn text_and_json_are_as_they_were() {
    let files = Files::new();
    files.write("run.jsonl", recording(&support::eventful()));
    files.write("calm.jsonl", recording(&support::calm()));
    check("report-eventful.txt", &files.told(&["run.jsonl"]));
    check("report-calm.txt", &files.told(&["calm.jsonl"]));
    let mut leak = support::eventful();
    leak.alive[0].cause = Some(Cause::NeverWaits);
    leak.alive[0].cause_text = Some("the parent 4242 (bash) never calls wait".into());
    files.write("leak.jsonl", recording(&leak));
    let text = files.told(&["leak.jsonl", "--top", "3", "--by", "cause"]);
    check("report-leak.txt", &text);
    let object = files.object(&["run.jsonl"]);
    let keys = object.as_object().unwrap().iter();
    let lines: String = keys
        .map(|(key, value)| format!("{key} {value}\n"))
        .collect();
    check("report-eventful-json.txt", &lines);
}

#[test]
fn figures_are_those_of_the_run() {
    let files = Files::new();
    for (name, run) in [
        ("eventful", support::eventful()),
        ("calm", support::calm()),
        ("empty", support::empty()),
    ] {
        let text = recording(&run);
        files.write(name, &text);
        let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let report = files.object(&[name]);
        for (key, value) in summary.as_object().unwrap() {
            if key != "type" {
                assert_eq!(report[key], *value, "{name}: {key}");
            }
        }
        assert_eq!(report["type"], "report");
    }
}

#[test]
fn compressed_and_from_standard_input() {
    let files = Files::new();
    let text = recording(&support::calm());
    files.write("run.jsonl", &text);
    files.write(
        "run.jsonl.zst",
        zstd::encode_all(text.as_bytes(), 0).unwrap(),
    );
    let plain = files.told(&["run.jsonl"]);
    let other = files.told(&["run.jsonl.zst"]);
    assert_eq!(other, plain.replace("run.jsonl:", "run.jsonl.zst:"));
    let mut child = files
        .command(&["-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told, plain.replace("run.jsonl:", "standard input:"));
}

#[test]
fn several_runs_are_summed_up() {
    let files = Files::new();
    files.write("a", recording(&support::calm()));
    files.write("b", recording(&support::eventful()));
    let (a, b) = (files.object(&["a"]), files.object(&["b"]));
    let both = files.object(&["a", "b"]);
    for key in [
        "exits",
        "reaped",
        "autoreaped",
        "alive",
        "pre_existing",
        "duration_ns",
    ] {
        let sum = a[key].as_u64().unwrap() + b[key].as_u64().unwrap();
        assert_eq!(both[key], sum, "{key}");
    }
    assert_eq!(both["zombie_ns"]["count"], 2005);
    assert_eq!(both["zombie_ns"]["max"], b["zombie_ns"]["max"]);
    assert_eq!(both["complete"], false);
    assert_eq!(both["runs"].as_array().unwrap().len(), 2);
    assert!(
        files
            .told(&["a", "b"])
            .contains("\n  a: 2026-01-02T03:04:05Z for 12.3 s")
    );
}

#[test]
fn intervals_alone_are_enough() {
    let files = Files::new();
    let text = recording(&support::empty());
    let (start, _) = text.split_at(text.find('\n').unwrap() + 1);
    let summary = text.lines().last().unwrap();
    let intervals: String = (1..=10).map(|second| interval(second, 500)).collect();
    files.write("cut", start.to_owned() + &intervals);
    let cut = files.object(&["cut"]);
    let times = &cut["zombie_ns"];
    assert_eq!(
        (&times["count"], &times["min"], &times["max"]),
        (&json!(10_000), &json!(1_000_000), &json!(3_000_000))
    );
    for (percentile, exact) in [
        ("p50", 1_000_000.0),
        ("p99", 3_000_000.0),
        ("mean", 2_000_000.0),
    ] {
        let value = times[percentile].as_f64().unwrap();
        // Never below the true one.
        assert!(
            (exact..exact * (1.0 + 1.0 / 32.0)).contains(&value),
            "{percentile} {value}"
        );
    }
    assert_eq!(cut["zombie_time_ns"], json!(20_000_000_000_u64));
    assert_eq!((&cut["exits"], &cut["alive"]), (&json!(10_000), &json!(10)));
    assert_eq!(cut["runs"][0]["times_from"], "intervals");
    let alive = cut["timeline"]["alive"].as_array().unwrap();
    assert_eq!(alive.last().unwrap(), 10.0);
    // Whole, it has the exact figures.
    let summary = summary.replace(
        r#""count":0,"min":null,"mean":null,"p50":null,"p90":null,"p99":null,"p999":null,"max":null"#,
        r#""count":10000,"min":1,"mean":2,"p50":3,"p90":4,"p99":5,"p999":6,"max":7"#,
    );
    files.write("whole", start.to_owned() + &intervals + &summary);
    let whole = files.object(&["whole"]);
    assert_eq!(whole["zombie_ns"]["p99"], 5);
    // Its intervals do not count once more.
    assert_eq!(whole["zombie_time_ns"], 0);
    // As has a summary alone.
    files.write("summary", start.to_owned() + &summary);
    let summary = files.object(&["summary"]);
    assert_eq!(summary["zombie_ns"]["max"], 7);
    assert_eq!(summary["runs"][0]["times_from"], "summary");
    for name in ["cut", "whole", "summary"] {
        files.told(&[name, "--html", "page.html"]);
        assert!(files.read("page.html").contains("no zombies are listed"));
    }
}

#[test]
fn cut_and_damaged_recordings_are_told_as_far_as_they_go() {
    let files = Files::new();
    let text = recording(&support::calm());
    files.write("cut", &text[..text.len() / 2]);
    let output = files.report(&["cut"]);
    assert!(output.status.success());
    assert!(
        stderr(&output).contains("warning: cut: cut: its last line is not whole; read up to line ")
    );
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("INCOMPLETE: the recording is not whole"),
        "{told}"
    );
    let cut = files.object(&["cut"]);
    let whole = text[..text.len() / 2].matches('\n').count() as u64;
    assert_eq!(cut["reaped"], whole - 1);
    assert_eq!(
        (&cut["exits"], &cut["complete"]),
        (&cut["reaped"], &json!(false))
    );

    files.write("damaged", text.replacen("\"pid\":5003", "\"pid\":50\0", 1));
    let output = files.report(&["damaged", "--json"]);
    assert!(
        stderr(&output).contains("line 5 is damaged and left out"),
        "{}",
        stderr(&output)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["runs"][0]["corrupt_lines"], 1);
    assert_eq!(report["zombie_ns"]["count"], 1999);
    assert_eq!(report["complete"], false);
    files.told(&["damaged", "--html", "page.html"]);
    assert!(
        files
            .read("page.html")
            .contains("incomplete – damaged: line 5 is damaged")
    );
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let files = Files::new();
    let run = recording(&support::calm());
    files.write("empty", "");
    files.write("text", "hello\n");
    files.write(
        "later",
        run.replacen(
            "\"schema\":1,\"version\":\"0.1.0\"",
            "\"schema\":2,\"version\":\"2.0.0\"",
            1,
        ),
    );
    files.write("mixed", run.repeat(2));
    files.write("run", &run);
    for (args, expected) in [
        (
            &["nowhere"][..],
            "zombie-trace: cannot read nowhere: No such file or directory (os error 2)\n",
        ),
        (&["empty"], "zombie-trace: empty: the file is empty"),
        (&["text"], "zombie-trace: text: not a recording"),
        (
            &["later"],
            "later: written by zombie-trace 2.0.0 in schema 2",
        ),
        (&["mixed"], "mixed: a second run begins at line "),
        (&["run", "text"], "text: not a recording"),
        (
            &["run", "--html", "no/where"],
            "cannot write to --html no/where",
        ),
        (
            &["run", "--perfetto", "no/where"],
            "cannot open --perfetto no/where",
        ),
    ] {
        let output = files.report(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(
            stderr(&output).contains(expected),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    assert_eq!(files.read("run"), run);
    assert_eq!(files.report(&[]).status.code(), Some(2));
    let output = files.report(&["run", "run", "--perfetto", "out"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--perfetto can show one run"));
    assert_eq!(
        files.report(&["run", "--json", "--csv", "-"]).status.code(),
        Some(2)
    );
}

#[test]
fn lines_cut_from_the_middle_make_a_run_incomplete() {
    let files = Files::new();
    for (kind, run, missing) in [
        (
            "zombie",
            support::calm(),
            "300 of 2000 zombie lines are missing",
        ),
        (
            "alive",
            support::eventful(),
            "1 of 1 alive lines is missing",
        ),
        ("loss", support::eventful(), "they count 0 of 124 losses"),
        (
            "interval",
            support::eventful(),
            "they count 123 of 126 processes",
        ),
    ] {
        let name = kind;
        let whole = recording(&run);
        files.write(name, &whole);
        assert!(
            !stderr(&files.report(&[name])).contains("missing"),
            "{name}"
        );
        let of_kind = |line: &str| line.contains(&format!("\"type\":\"{kind}\""));
        let mut left_out = 0;
        let lines = whole.lines().filter(|line| {
            // Of the zombies a part from the middle, of the rest all or the first.
            let most = if kind == "zombie" { 300 } else { 1 };
            let is_cut = of_kind(line) && left_out < most;
            left_out += u64::from(is_cut);
            !is_cut
        });
        let cut: Vec<_> = lines.collect();
        files.write(name, cut.join("\n") + "\n");
        let output = files.report(&[name, "--json"]);
        assert!(stderr(&output).contains(missing), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["complete"], false, "{name}");
        assert_eq!(report["runs"][0]["complete"], false);
        assert_eq!(report["runs"][0]["missing_lines"], left_out);
        let text = String::from_utf8(files.report(&[name]).stdout).unwrap();
        assert!(
            text.contains(missing) && text.contains("INCOMPLETE"),
            "{text}"
        );
    }
}

#[test]
fn a_run_that_is_given_twice_is_warned_of() {
    let files = Files::new();
    files.write("run", recording(&support::calm()));
    fs::hard_link(files.path("run"), files.path("link")).unwrap();
    fs::copy(files.path("run"), files.path("copy")).unwrap();
    for second in ["run", "./run", "link", "copy"] {
        let output = files.report(&["run", second]);
        assert!(output.status.success());
        let warning =
            format!("warning: {second} holds the same run as run: its figures count twice");
        assert!(stderr(&output).contains(&warning), "{}", stderr(&output));
    }
    let mut other = support::calm();
    other.start.tracer_pid += 1;
    files.write("other", recording(&other));
    assert_eq!(stderr(&files.report(&["run", "other"])), "");
    // Standard input is not a file.
    let output = files
        .command(&["-", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("standard input can be read once"));
}

#[test]
fn a_byte_order_mark_is_no_damage() {
    let files = Files::new();
    let text = recording(&support::calm());
    files.write("run", "\u{feff}".to_owned() + &text);
    let output = files.report(&["run", "--json"]);
    assert_eq!(stderr(&output), "");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["complete"], &report["zombie_ns"]["count"]),
        (&json!(true), &json!(2000))
    );
}

#[test]
fn its_own_filter_chooses_who_is_listed_one_by_one() {
    let files = Files::new();
    let all = support::calm();
    let parent = |pid: u64| {
        all.zombies
            .iter()
            .filter(move |it| it.ppid == Some(pid as u32))
    };
    let longest = parent(4245).map(|it| it.zombie_ns).max().unwrap();
    let above = parent(4245).filter(|it| it.zombie_ns > 60_000).count();
    assert!(above > 3);
    files.write("all", recording(&all));
    let conditions = "ppid=4245 zombie>60us";
    let (plain, some) = (
        files.object(&["all"]),
        files.object(&["all", "--filter", conditions]),
    );
    assert_eq!(some["conditions"], conditions);
    assert_eq!(plain["conditions"], Value::Null);
    for (key, value) in plain.as_object().unwrap() {
        if !["conditions", "worst"].contains(&key.as_str()) {
            assert_eq!(some[key], *value, "{key}");
        }
    }
    let worst = some["worst"].as_array().unwrap();
    assert_eq!(worst.len(), above.min(50));
    assert!(worst.iter().all(|it| it["ppid"] == 4245));
    assert_eq!(worst[0]["zombie_ns"], longest);
    let csv = files.told(&["all", "--csv", "-", "--filter", conditions]);
    assert_eq!(csv.lines().count(), 1 + above);
    let text = files.told(&["all", "--filter", conditions]);
    let title = format!("longest zombies with {conditions}");
    assert!(text.contains(&title), "{text}");
    let wrong = files.report(&["all", "--filter", "ppid=4245 zombie>60"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("column 18: "), "{}", stderr(&wrong));
}

#[test]
fn a_filter_changes_the_list_and_nothing_else() {
    const MIN: u64 = 70_000;
    let files = Files::new();
    let all = support::calm();
    files.write("all", recording(&all));
    let mut some = all;
    let before = some.zombies.len() as u64;
    some.start.filter.as_mut().unwrap().min_ns = MIN;
    some.zombies.retain(|zombie| zombie.zombie_ns >= MIN);
    some.summary.listed = some.zombies.len() as u64;
    some.summary.counts.filtered = before - some.summary.listed;
    files.write("some", recording(&some));
    let (all, filtered) = (files.object(&["all"]), files.object(&["some"]));
    for key in [
        "zombie_ns",
        "by_parent",
        "by_comm",
        "by_cause",
        "phases",
        "exits",
    ] {
        assert_eq!(filtered[key], all[key], "{key}");
    }
    assert_eq!(filtered["complete"], true);
    assert_eq!(filtered["runs"][0]["times_from"], "summary");
    for condition in ["p99>70us", "p50>1ms", "count<2000"] {
        let status = |name: &str| files.report(&[name, "--fail-if", condition]).status.code();
        assert_eq!(status("some"), status("all"), "{condition}");
    }
    let listed = format!("a filter listed {} of 2000 zombies", some.summary.listed);
    assert!(files.told(&["some"]).contains(&listed));
    // Percentiles of a run that lists all and of one that does not can't be put together.
    let both = files.object(&["all", "some"]);
    assert_eq!(both["zombie_ns"]["count"], 4000);
    assert_eq!(both["zombie_ns"]["max"], all["zombie_ns"]["max"]);
    assert_eq!(both["zombie_ns"]["p99"], Value::Null);
    let output = files.report(&["all", "some", "--fail-if", "p99>1h"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    // Without its summary, only what is listed is known.
    let text = recording(&some);
    let cut: String = text.split_inclusive('\n').take(11).collect();
    files.write("cut", cut);
    let cut = files.object(&["cut"]);
    assert_eq!(
        (&cut["zombie_ns"]["count"], &cut["complete"]),
        (&json!(10), &json!(false))
    );
}

#[test]
fn the_verdict_comes_first() {
    let files = Files::new();
    let mut run = support::eventful();
    run.alive[0].cause = Some(Cause::NeverWaits);
    run.alive[0].cause_text = Some("bash neither handles SIGCHLD nor waits".into());
    files.write("leaky", recording(&run));
    let text = files.told(&["leaky"]);
    assert!(
        text.starts_with("1 parent leaves zombies: bash (4242) 2 living, the oldest 4d04h: "),
        "{text}"
    );
    assert!(
        text.lines()
            .next()
            .unwrap()
            .contains("neither handles SIGCHLD nor waits")
    );
    files.told(&["leaky", "--html", "page.html", "--fail-if", "p99>1h"]);
    let page = files.read("page.html");
    let (_, verdict) = page.split_once("id=\"verdict\"").unwrap();
    let (verdict, rest) = verdict.split_once("</section>").unwrap();
    for part in [
        "1 parent leaves zombies",
        "bash (4242)",
        "2 living",
        "href=\"#cause-never-waits\"",
        "PASS p99",
        "incomplete",
    ] {
        assert!(verdict.contains(part), "{part}: {verdict}");
    }
    // The command line that recorded it, and the cause's explanation.
    assert!(rest.contains("<code>zombie-trace --json</code>"));
    assert!(rest.contains("id=\"cause-never-waits\""));
    // Living zombies are among the longest, and their cause is explained.
    let (_, longest) = text.split_once("longest zombies\n").unwrap();
    assert!(
        longest.lines().nth(1).unwrap().contains(">4d04h"),
        "{longest}"
    );
    assert!(text.contains("never-waits: 1 living"), "{text}");
    files.write("calm", recording(&support::calm()));
    assert!(
        files
            .told(&["calm"])
            .starts_with("every zombie was reaped, p99 74.2 µs\n")
    );
    let parents = files.told(&["calm", "--top", "3"]);
    assert!(parents.contains("… and 10 more parents"), "{parents}");
}

#[test]
fn autoreaped_processes_count_even_where_they_are_not_listed() {
    let files = Files::new();
    let mut run = support::eventful();
    run.zombies.retain(|zombie| zombie.how != How::Autoreap);
    files.write("run", recording(&run));
    let report = files.object(&["run"]);
    let summary = serde_json::to_value(&run.summary).unwrap();
    for key in ["by_parent", "by_comm", "by_container", "by_cause"] {
        assert_eq!(report[key], summary[key], "{key}");
    }
}

#[test]
fn conditions_decide_the_status() {
    let files = Files::new();
    files.write("run", recording(&support::calm()));
    let output = files.report(&["run", "--fail-if", "p99>70us", "--fail-if", "alive>0"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).starts_with("FAIL p99 = "),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).ends_with("\nPASS alive = 0 (limit 0)\n"));
    assert!(
        files
            .report(&["run", "--fail-if", "p99>80us"])
            .status
            .success()
    );
    let output = files.report(&["run", "--fail-if", "rate<200/s", "--format", "github"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).starts_with("::error "),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        files.report(&["run", "--fail-if", "p99>70"]).status.code(),
        Some(2)
    );
}

#[test]
fn a_condition_on_living_zombies_counts_pre_existing_ones() {
    let files = Files::new();
    let run = support::run(Vec::new(), support::alive(), None);
    assert_eq!(run.summary.counts.alive, 1);
    let whole = recording(&run);
    files.write("run", &whole);
    for (condition, said) in [
        ("alive>1", "FAIL alive = 2 (limit 1)\n"),
        ("alive>2", "PASS alive = 2 (limit 2)\n"),
    ] {
        let output = files.report(&["run", "--fail-if", condition]);
        assert_eq!(stderr(&output), said);
    }
    // Without its end, nobody knows how many live there.
    let lines = whole.lines().count();
    let cut: Vec<_> = whole.lines().take(lines - 1).collect();
    files.write("cut", cut.join("\n"));
    let output = files.report(&["cut", "--fail-if", "alive>5"]);
    assert_eq!(output.status.code(), Some(3));
    let why = "FAIL alive can't be judged: the recording ends before the run's summary (limit 5)\n";
    assert!(stderr(&output).ends_with(why), "{}", stderr(&output));
}

#[test]
fn a_filter_of_the_list_leaves_the_histogram_whole() {
    let files = Files::new();
    let run = support::calm();
    files.write("all", recording(&run));
    // As `-m` records it.
    let mut listed = Vec::new();
    let mut json = Json::new(&mut listed, true);
    let mut start = run.start.clone();
    start.filter = Some(changed(FilterLine::default(), |it| it.min_ns = 40_000));
    json.start(&start).unwrap();
    for zombie in &run.zombies {
        if zombie.zombie_ns >= 40_000 {
            json.zombie(zombie).unwrap();
            continue;
        }
        let unlisted: Unlisted = support::from_json(json!({
            "ts": zombie.ts,
            "parents": [{"ppid": zombie.ppid, "comm": zombie.parent_comm}],
            "zombies": [[0, 0, zombie.zombie_ns]],
        }));
        json.unlisted(&unlisted).unwrap();
    }
    json.summary(&run.summary).unwrap();
    json.flush().unwrap();
    files.write("some", &listed);
    let [all, some] = ["all", "some"].map(|name| files.object(&[name])["histogram"].clone());
    assert_eq!(all, some);
    assert!(files.told(&["some"]).contains("< 32.8 µs"));
    // A summary alone has none, and the report says so.
    let listed = String::from_utf8(listed).unwrap();
    let lines: Vec<_> = listed.lines().collect();
    let ends = [lines[0], lines[lines.len() - 1]].join("\n");
    files.write("ends", ends.replace("40000", "0"));
    let text = files.told(&["ends", "--html", "page.html"]);
    let gap = "no histogram: the recording has no line for each zombie";
    assert!(text.contains(gap), "{text}");
    assert!(files.read("page.html").contains(gap));
}

#[test]
fn a_recording_that_has_only_begun_says_nothing_but_that() {
    let files = Files::new();
    let text = recording(&support::calm());
    files.write("start", text.lines().next().unwrap());
    let text = files.told(&["start"]);
    let first = text.lines().next().unwrap();
    assert_eq!(first, "the recording ends before the run's summary");
    assert!(!text.contains("processes were lost"), "{text}");
}

#[test]
fn a_row_for_each_zombie() {
    let files = Files::new();
    files.write("run", recording(&support::eventful()));
    let rows = files.told(&["run", "--csv", "-"]);
    assert!(rows.starts_with("ts,pid,ns_pid,comm,"), "{rows}");
    assert_eq!(rows.lines().count(), 7);
    let text = files.told(&["run", "--csv", "run.csv"]);
    assert!(text.contains("longest zombies"));
    assert_eq!(files.read("run.csv"), rows);
}

#[test]
fn containers_are_told_of_also_by_a_run_that_lists_no_zombies() {
    let files = Files::new();
    let text = recording(&support::eventful());
    let (start, _) = text.split_once('\n').unwrap();
    let summary = text.lines().last().unwrap();
    files.write("whole", &text);
    files.write("summary", format!("{start}\n{summary}\n"));
    let whole = files.object(&["whole"]);
    assert_eq!(whole["by_container"].as_array().map(Vec::len), Some(2));
    let alone = files.object(&["summary"]);
    assert_eq!(alone["runs"][0]["times_from"], "summary");
    assert_eq!(alone["by_container"], whole["by_container"]);
    for name in ["whole", "summary"] {
        files.told(&[name, "--html", "page.html"]);
        let page = files.read("page.html");
        let (_, table) = page.split_once("id=\"containers\"").unwrap();
        let (table, _) = table.split_once("</table>").unwrap();
        for cell in ["b2a102854b49", "web-7d4b9", "cri-o", "web-1"] {
            assert!(table.contains(&format!(">{cell}</td>")), "{cell}: {table}");
        }
    }
    files.write("calm", recording(&support::calm()));
    files.told(&["calm", "--html", "page.html"]);
    assert!(!files.read("page.html").contains("Containers"));
}

#[test]
fn a_trace_of_every_process() {
    let files = Files::new();
    files.write("run", recording(&support::eventful()));
    files.told(&["run", "--perfetto", "trace.json"]);
    let trace: Value = serde_json::from_str(&files.read("trace.json")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let named = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    // One of six was autoreaped, and two are left.
    assert_eq!((named("zombie"), named("process_name")), (7, 2));
}

#[test]
fn a_flame_graph_in_each_format() {
    let files = Files::new();
    files.write("run", recording(&sampled::sampled()));
    for name in ["a.svg", "a.folded", "a.speedscope.json"] {
        files.told(&["run", "--flamegraph", name]);
    }
    let svg = files.read("a.svg");
    let picture = roxmltree::Document::parse(&svg).unwrap();
    let titles = picture
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "title")));
    let titles: Vec<_> = titles.filter_map(|node| node.text()).collect();
    for title in [
        "sup (4242): 3.79 s, 100 % of all, 79 samples",
        "write_journal (/home/me/sup/sup.c:14): 2.10 s, 55 % of sup (4242), 43 samples, blocked",
    ] {
        let (start, rest) = title.split_once(", ").unwrap();
        assert!(
            titles.iter().any(|one| one.starts_with(start)),
            "{title}: {titles:#?}"
        );
        assert!(!rest.is_empty());
    }
    assert!(!svg.contains("<script>alert") && !svg.contains('\x1b') && !svg.contains('\u{202e}'));
    let folded = files.read("a.folded");
    let total: u64 = folded
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    assert_eq!(total, 5_010_000);
    assert!(
        folded.contains("sup (4242);main;run_job;flush_state;write_journal;fsync 2100000\n"),
        "{folded}"
    );
    assert_eq!(folded.lines().count(), 7);
    let profiles: Value = serde_json::from_str(&files.read("a.speedscope.json")).unwrap();
    let names = profiles["profiles"].as_array().unwrap().iter();
    let names: Vec<_> = names
        .map(|profile| profile["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["sup (4242)", "server (4300)", "app (4400)"]);
}

#[test]
fn a_flame_graph_needs_stacks() {
    let files = Files::new();
    files.write("run", recording(&support::calm()));
    let mut unsampled = support::calm();
    unsampled.summary.stacks = support::from_json(json!({
        "hz": 19, "after_ns": 10_000_000, "samples": 0, "moved": 0, "failed": 0, "truncated": 0,
        "covered_ns": 0, "due_ns": 0,
    }));
    files.write("young", recording(&unsampled));
    for (args, expected) in [
        (
            &["run"][..],
            "zombie-trace: run has no stacks: record with --stacks\n",
        ),
        (
            &["run", "young"],
            "run, young have no stacks: no zombie was older than 10.0 ms",
        ),
        (
            &["young"],
            "young has no stacks: no zombie was older than 10.0 ms; record with a shorter --stacks-after\n",
        ),
    ] {
        files.write("old.svg", "old");
        let output = files.report(&[args, &["--flamegraph", "old.svg"]].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(
            stderr(&output).contains(expected),
            "{args:?}: {}",
            stderr(&output)
        );
        assert_eq!(files.read("old.svg"), "old");
    }
    files.write("sampled", recording(&sampled::sampled()));
    let output = files.report(&["sampled", "--flamegraph", "no/where.svg"]);
    assert!(
        stderr(&output).contains("cannot write to --flamegraph no/where.svg"),
        "{}",
        stderr(&output)
    );
    std::os::unix::fs::symlink(files.path("young"), files.path("link.svg")).unwrap();
    let output = files.report(&["sampled", "--flamegraph", "link.svg"]);
    assert!(
        stderr(&output).contains("symbolic link"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_page_shows_what_parents_did() {
    let files = Files::new();
    files.write("run", recording(&sampled::sampled()));
    files.told(&["run", "--html", "page.html"]);
    let page = files.read("page.html");
    let (_, table) = page.split_once("id=\"places\"").unwrap();
    let (table, _) = table.split_once("</table>").unwrap();
    for cell in [
        "write_journal (sup.c:14)",
        "blocked in fsync",
        "55 %",
        "flush_state ← run_job ← main",
    ] {
        assert!(table.contains(cell), "{cell}: {table}");
    }
    // The data, the page's script and the graph's.
    assert_eq!(page.matches("<script").count(), 3);
    assert!(!page.contains("alert(1)</script>") && !page.contains("http:"));
    assert!(page.len() < 200_000, "{} bytes", page.len());
    // Without stacks, none of it.
    files.write("calm", recording(&support::calm()));
    files.told(&["calm", "--html", "page.html"]);
    assert!(!files.read("page.html").contains("flame"));
}

#[test]
fn what_parents_did_is_in_text_and_json() {
    let files = Files::new();
    files.write("run", recording(&sampled::sampled()));
    check("report-sampled.txt", &files.told(&["run"]));
    let object = files.object(&["run"]);
    assert_eq!(object["stacks"]["samples"], 107);
    let place = &object["doing"][0]["places"][0];
    assert_eq!(
        *place,
        json!({
            "function": "write_journal", "file": "sup.c", "line": 14, "state": "blocked", "call": "fsync",
            "callers": ["flush_state", "run_job", "main"],
            "zombie_ns": 2_100_000_000_u64, "samples": 43,
        })
    );
    assert_eq!(
        object["by_parent"][0]["place"],
        "55 % blocked in fsync at write_journal (sup.c:14)"
    );
    // Two runs of the same parents.
    let both = files.object(&["run", "run"]);
    assert_eq!(both["doing"][0]["places"][0]["samples"], 86);
    assert_eq!(both["stacks"]["covered_ns"], 10_020_000_000_u64);
}

#[test]
fn the_page_holds_no_markup_of_a_recording() {
    let files = Files::new();
    let evil = "</title><script>alert(1)</script>";
    let mut run = support::eventful();
    run.start.command = Some(vec![evil.to_owned()]);
    run.start.kernel = evil.to_owned();
    for zombie in &mut run.zombies {
        zombie.comm = "<script>a&\"'".into();
        zombie.parent_comm = Some("<img src=x>".into());
        if let Some(container) = &mut zombie.container {
            container.hostname = Some(evil.into());
        }
    }
    run.alive[0].cause_text = Some(evil.into());
    let name = "<script>.jsonl";
    files.write(name, recording(&run));
    files.told(&[name, "--html", "page.html"]);
    let page = files.read("page.html");
    // The data and the script.
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<img") && !page.contains("alert(1)</script>"));
    assert!(page.contains("&lt;script&gt;a&amp;&quot;'"));
    assert!(page.contains("&lt;img src=x&gt;"));
    // Nothing is fetched from anywhere.
    for reference in ["http:", "https:", "src=\"", "@import", "url("] {
        assert!(!page.contains(reference), "{reference}");
    }
    let links = page.split("href=\"").skip(1);
    assert!(links.clone().count() > 5);
    // All lead to a place in the page that there is.
    for link in links {
        let (target, _) = link.split_once('"').unwrap();
        let id = target.strip_prefix('#').expect(target);
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let files = Files::new();
    files.write("run", recording(&support::calm()));
    for args in [&["run"][..], &["run", "--json"], &["run", "--csv", "-"]] {
        let mut child = files
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }
}
