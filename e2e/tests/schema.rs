//! Real output against the published JSON Schema.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{Outcome, Test, ensure, puppet::Puppet, tracer::Tracer};

/// Scenarios that give rise to every kind of value.
const SCENARIOS: &[&str] = &[
    "hold",
    "ignore-idle",
    "clone-exit-signal-0",
    "leader-exits-first",
    "killed",
    "reparent",
    "reparent-ignored",
    "ptrace-seize",
    "waitid-null",
    "ns-init-dies",
    "odd-comm",
    "leave-alive",
];

pub(crate) fn tests() -> Vec<Test> {
    let missing = (!path().is_file()).then(|| format!("no {}", path().display()));
    vec![
        Test::new("schema::real-output", real_output).unless(missing.clone()),
        Test::new("schema::rejects-nonsense", rejects_nonsense).unless(missing),
    ]
}

fn path() -> PathBuf {
    std::env::var_os("ZOMBIE_TRACE_SCHEMA").map_or_else(
        || {
            let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
            package
                .with_file_name("docs")
                .join("schema/zombie-trace-v1.schema.json")
        },
        PathBuf::from,
    )
}

fn validator() -> Result<jsonschema::Validator, String> {
    compiled(&path())
}

/// Whether a line is as it has to be.
pub(crate) fn check(line: &serde_json::Value) -> Outcome {
    let validator = validator()?;
    let problems: Vec<_> = validator.iter_errors(line).map(|e| e.to_string()).collect();
    ensure!(problems.is_empty(), "{problems:?}\n{line}");
    Ok(())
}

/// What `diff --json` writes.
pub(crate) fn of_diff() -> Result<jsonschema::Validator, String> {
    compiled(&path().with_file_name("zombie-trace-diff-v1.schema.json"))
}

fn compiled(path: &Path) -> Result<jsonschema::Validator, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let schema = serde_json::from_str(&text).map_err(|error| format!("the schema: {error}"))?;
    jsonschema::validator_for(&schema).map_err(|error| format!("the schema: {error}"))
}

fn real_output() -> Outcome {
    let validator = validator()?;
    let mut outputs = Vec::new();
    for scenario in SCENARIOS {
        outputs.push(
            Tracer::json(["-i", "100ms"])
                .scenario([scenario])
                .run()?
                .output,
        );
    }
    // Without a command, with filters, without any zombie, and one from before.
    let mut puppet = Puppet::start(Stdio::inherit())?;
    puppet.obey("zombie early 3")?;
    let tracer = Tracer::json(["-P", &puppet.pid().to_string(), "-x"]).start()?;
    puppet.obey("reap early")?;
    outputs.push(tracer.stop()?.output);
    outputs.push(
        Tracer::json(["-P", &puppet.pid().to_string(), "-d", "100ms"])
            .run()?
            .output,
    );

    let mut lines = 0;
    for line in outputs
        .iter()
        .flat_map(|output| output.split(|byte| *byte == b'\n'))
    {
        if line.is_empty() {
            continue;
        }
        let value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let problems: Vec<_> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        ensure!(problems.is_empty(), "{problems:?}\n{value}");
        lines += 1;
    }
    ensure!(lines > 40, "only {lines} lines");
    Ok(())
}

/// A schema that takes anything would prove nothing.
fn rejects_nonsense() -> Outcome {
    let validator = validator()?;
    let run = Tracer::json([""; 0]).scenario(["hold"]).run()?;
    let report = run.report()?;
    let kinds = [
        ("start", "schema"),
        ("zombie", "zombie_ns"),
        ("summary", "exits"),
    ];
    for (kind, key) in kinds {
        let line = report.of_type(kind).next().expect("one of each").clone();
        ensure!(validator.is_valid(&line), "{line}");
        let mut lacking = line.clone();
        lacking.as_object_mut().expect("an object").remove(key);
        ensure!(
            !validator.is_valid(&lacking),
            "{kind} without {key} is valid"
        );
        let mut wrong = line;
        wrong[key] = "nonsense".into();
        ensure!(
            !validator.is_valid(&wrong),
            "{kind} with {key} a string is valid"
        );
    }
    Ok(())
}
