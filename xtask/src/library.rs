//! The library without the program: its features, its examples, and a crate that uses it.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::artifact::executable;
use crate::paths;
use crate::process::{cargo, output, run};

const PACKAGE: &str = "zombie-trace";
/// An example by which their directory is found.
const EXAMPLE: &str = "stream";
/// The package of the crate outside of the workspace.
const OUTSIDE: &str = "outside";

/// What only the program needs: the library must not bring it along.
const PROGRAM_ONLY: [&str; 8] = [
    "clap",
    "csv",
    "env_logger",
    "hyper",
    "landlock",
    "maud",
    "ratatui",
    "signal-hook",
];

/// Checks that the library and each of its features compile alone, and what the library brings along.
pub(crate) fn check() -> Result<Vec<String>> {
    for features in ["", "cli", "report", "serve", "stacks", "top"] {
        println!("features: {features:?}");
        clippy(&["--no-default-features", "--features", features])?;
    }
    // CONTRIBUTING.md runs the unit tests like this. In this profile, cargo checks what is for tests alone.
    clippy(&["--no-default-features", "--lib", "--profile", "test"])?;
    let tree = output(
        cargo()
            .args(["tree", "--locked", "--package", PACKAGE])
            .args(["--no-default-features", "--edges", "normal"])
            .args(["--prefix", "none", "--format", "{p}"])
            .current_dir(paths::root()),
    )?;
    let brought = brought_along(&tree);
    ensure!(
        brought.is_empty(),
        "without features, the library depends on {}",
        brought.join(", ")
    );
    Ok(Vec::new())
}

fn clippy(args: &[&str]) -> Result<()> {
    run(cargo()
        .args(["clippy", "--locked", "--package", PACKAGE])
        .args(args)
        .args(["--", "-D", "warnings"])
        .current_dir(paths::root()))
}

/// Which of the packages in the output of `cargo tree` are for the program only.
fn brought_along(tree: &str) -> Vec<&'static str> {
    let is_there = |name: &&str| {
        let mut names = tree.lines().filter_map(|line| line.split(' ').next());
        names.any(|found| found == *name)
    };
    PROGRAM_ONLY.into_iter().filter(is_there).collect()
}

/// Builds the examples with `envs` besides our environment, and gives their directory.
pub(crate) fn build_examples(envs: &[(&str, &OsStr)]) -> Result<PathBuf> {
    let messages = output(
        cargo()
            .args(["build", "--locked", "--package", PACKAGE, "--examples"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(paths::root())
            .envs(envs.iter().copied()),
    )?;
    let example = executable(&messages, EXAMPLE).context("cargo built no examples")?;
    Ok(example.parent().context("no directory")?.to_owned())
}

/// Builds the crate outside of the workspace with the workspace's versions of all packages, and gives its
/// program.
pub(crate) fn build_outside(envs: &[(&str, &OsStr)]) -> Result<PathBuf> {
    let directory = paths::root().join("e2e").join(OUTSIDE);
    fs::copy(
        paths::root().join("Cargo.lock"),
        directory.join("Cargo.lock"),
    )
    .context("cannot copy Cargo.lock")?;
    let messages = output(
        cargo()
            .args(["build", "--offline"])
            .arg("--message-format=json-render-diagnostics")
            .arg("--target-dir")
            .arg(paths::target_dir().join(OUTSIDE))
            .current_dir(&directory)
            .envs(envs.iter().copied()),
    )?;
    executable(&messages, OUTSIDE).context("cargo built no program outside of the workspace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_the_program_only_is_found_by_its_whole_name() {
        let tree = "zombie-trace v0.1.0\nclap_lex v1.0.0\nhyper v1.2.0\n";
        assert_eq!(brought_along(tree), ["hyper"]);
        assert!(brought_along("zombie-trace v0.1.0\n").is_empty());
    }
}
