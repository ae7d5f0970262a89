//! Every line of `--json` against docs/schema, and lines that the schema must refuse.

mod sampled;
mod support;

use std::{fs, path::Path};

use jsonschema::Validator;
use serde_json::{Value, json};
use support::Run;
use zombie_trace::{
    Doing, Dying, Stack, Unlisted,
    internals::{Json, Sink as _},
};

const KINDS: [&str; 10] = [
    "start", "zombie", "unlisted", "alive", "dying", "loss", "interval", "stack", "doing",
    "summary",
];

fn schema() -> Validator {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/zombie-trace-v1.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::meta::validate(&schema).expect("it is a schema itself");
    jsonschema::validator_for(&schema).unwrap()
}

fn lines(run: &Run) -> Vec<Value> {
    let mut out = Vec::new();
    let mut json = Json::new(&mut out, true);
    run.play(&mut json);
    let unlisted: Unlisted = support::from_json(json!({
        "ts": run.start.ts,
        "parents": [{"ppid": 4242, "comm": "bash"}],
        "zombies": [[12, 0, 18_234]],
    }));
    json.unlisted(&unlisted).unwrap();
    let dying: Dying = support::from_json(json!({
        "ts": run.start.ts,
        "pid": 120,
        "comm": "server",
        "ppid": 100,
        "signal": 9,
        "since_ns": 4_200_000_000_u64,
        "tracer_pid": null,
        "threads": [{"tid": 123, "comm": "worker", "state": "D", "wchan": "fuse_wait_answer"}],
    }));
    json.dying(&dying).unwrap();
    let stack: Stack = support::from_json(json!({
        "ts": run.start.ts,
        "id": 1,
        "truncated": false,
        "frames": [
            {
                "function": "write_journal", "file": "sup.c", "line": 14, "module": "/usr/bin/sup",
                "build_id": "8f3c", "offset": 4660, "inlined": false,
            },
            {
                "function": null, "file": null, "line": null, "module": null, "build_id": null,
                "offset": null, "inlined": false,
            },
        ],
    }));
    let doing: Doing = support::from_json(json!({
        "ts": run.start.ts,
        "ppid": 4242,
        "parent_comm": "sup",
        "tid": 4243,
        "state": "blocked",
        "stack": 1,
        "zombie_ns": 1_000_000_000,
        "samples": 19,
    }));
    json.doing(&[stack], &[doing]).unwrap();
    json.flush().unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn line(kind: &str) -> Value {
    let mut lines = lines(&support::eventful()).into_iter();
    lines.find(|line| line["type"] == kind).unwrap()
}

#[test]
fn every_line_is_valid() {
    let schema = schema();
    for run in [
        support::eventful(),
        support::calm(),
        support::empty(),
        sampled::sampled(),
    ] {
        for line in lines(&run) {
            assert!(schema.is_valid(&line), "{line}");
        }
    }
}

#[test]
fn no_key_is_optional() {
    let schema = schema();
    for kind in KINDS {
        let line = line(kind);
        for key in line.as_object().unwrap().keys() {
            let mut without = line.clone();
            without.as_object_mut().unwrap().remove(key);
            assert!(!schema.is_valid(&without), "{kind} without {key}");
        }
    }
}

#[test]
fn every_key_is_described() {
    let described: Value = serde_json::from_str(
        &fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../docs/schema/zombie-trace-v1.schema.json"),
        )
        .unwrap(),
    )
    .unwrap();
    for kind in KINDS {
        let properties = described["$defs"][kind]["properties"].as_object().unwrap();
        let line = line(kind);
        let line = line.as_object().unwrap();
        for key in line.keys() {
            assert!(
                properties.contains_key(key),
                "{kind}: {key} is not in the schema"
            );
        }
        for key in properties.keys() {
            assert!(line.contains_key(key), "{kind}: {key} is never written");
        }
    }
}

#[test]
fn fields_may_be_added() {
    let mut line = line("zombie");
    line["new_in_a_later_version"] = json!(1);
    assert!(schema().is_valid(&line));
}

#[test]
fn wrong_values_are_refused() {
    let schema = schema();
    let wrong = [
        ("zombie", "type", json!("ghost")),
        ("zombie", "ts", json!("2026-01-02T03:04:05Z")),
        ("zombie", "ts", json!("2026-01-02T03:04:05.123456789+01:00")),
        ("zombie", "ts", Value::Null),
        ("zombie", "pid", json!(-1)),
        ("zombie", "pid", Value::Null),
        ("zombie", "comm", Value::Null),
        ("zombie", "exit_code", json!(256)),
        ("zombie", "signal", json!("SIGKILL")),
        ("zombie", "core_dumped", Value::Null),
        ("zombie", "zombie_ns", json!(1.5)),
        ("zombie", "zombie_ns", json!("18234")),
        ("zombie", "zombie_ns", Value::Null),
        ("zombie", "how", json!("magic")),
        ("zombie", "how", Value::Null),
        ("zombie", "flags", json!(["odd"])),
        ("zombie", "flags", json!(["traced", "traced"])),
        ("zombie", "flags", Value::Null),
        ("zombie", "phases", json!({ "notify_ns": 1 })),
        ("alive", "age_ns", json!(-1)),
        ("dying", "signal", json!("SIGKILL")),
        ("dying", "since_ns", json!(-1)),
        ("dying", "threads", Value::Null),
        (
            "dying",
            "threads",
            json!([{ "tid": 1, "comm": "a", "state": "sleeps" }]),
        ),
        ("stack", "id", json!(-1)),
        ("stack", "truncated", Value::Null),
        ("stack", "frames", json!([{ "function": "main" }])),
        ("doing", "state", json!("parked")),
        ("doing", "stack", Value::Null),
        ("doing", "samples", json!(0)),
        ("summary", "stacks", json!({ "hz": 19 })),
        ("start", "schema", json!(2)),
        ("start", "command", json!("make")),
        ("start", "command", json!([])),
        ("loss", "missed", Value::Null),
        ("interval", "alive", Value::Null),
        ("interval", "lost", Value::Null),
        ("interval", "histogram", Value::Null),
        ("interval", "histogram", json!([[1, 2]])),
        ("interval", "histogram", json!([[1, 2, 0]])),
        ("interval", "histogram", json!([[1, 2, 3, 4]])),
        ("summary", "lost", json!({ "ring_full": 0, "map_full": 0 })),
        ("summary", "complete", json!("yes")),
        ("summary", "zombie_ns", Value::Null),
        ("summary", "by_parent", Value::Null),
        ("summary", "by_parent", json!([{ "ppid": 1 }])),
    ];
    for (kind, key, value) in wrong {
        let mut line = line(kind);
        line[key] = value;
        assert!(!schema.is_valid(&line), "{kind}: {key}: {}", line[key]);
    }
}

#[test]
fn statistics_are_null_exactly_when_there_are_none() {
    let schema = schema();
    for kind in ["interval", "summary"] {
        let mut line = line(kind);
        line["zombie_ns"]["count"] = json!(0);
        assert!(!schema.is_valid(&line));
        for statistic in ["min", "mean", "p50", "p90", "p99", "p999", "max"] {
            line["zombie_ns"][statistic] = Value::Null;
        }
        assert!(schema.is_valid(&line));
        line["zombie_ns"]["count"] = json!(1);
        assert!(!schema.is_valid(&line));
    }
}

#[test]
fn measured_phases_are_valid() {
    let mut line = line("zombie");
    line["phases"] = json!({
        "notify_ns": 1, "parent_not_waiting_ns": 2, "runqueue_ns": 3, "tracer_ns": null, "reap_ns": 5,
    });
    assert!(schema().is_valid(&line));
}
