//! The workflows call what exists.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Each workflow's name and text.
fn workflows() -> Vec<(String, String)> {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.github/workflows"));
    let entries = fs::read_dir(directory).unwrap().flatten();
    let read = |path: &Path| {
        (
            path.display().to_string(),
            fs::read_to_string(path).unwrap(),
        )
    };
    entries.map(|entry| read(&entry.path())).collect()
}

#[test]
fn every_task_exists() {
    let mut tasks = 0;
    for (name, text) in workflows() {
        for rest in text.split("cargo xtask ").skip(1) {
            let line = rest.lines().next().unwrap();
            // Without what the shell or a comment's prose has behind it.
            let end = line
                .find(['`', '&', '|', ';', '>', ')'])
                .unwrap_or(line.len());
            let args: Vec<_> = line[..end].split_whitespace().collect();
            let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
            let output = command.args(&args).arg("--help").output().unwrap();
            assert!(
                output.status.success(),
                "{name}: cargo xtask {args:?}: {output:?}"
            );
            tasks += 1;
        }
    }
    assert!(tasks >= 3, "{tasks} tasks");
}
