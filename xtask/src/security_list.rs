//! SECURITY.md and docs/security-tests.md: what they list exists. The end-to-end tests check their own names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{paths, test};

const TEXT: &str = include_str!("../../SECURITY.md");
const SEEN_FAILING: &str = include_str!("../../docs/security-tests.md");

/// The names in the last column of a text's tables.
fn listed(text: &'static str) -> Vec<&'static str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let columns = rows.filter_map(|row| row.rsplit(" | ").next());
    columns
        .flat_map(|column| column.split('`').skip(1).step_by(2))
        .collect()
}

/// The functions below a directory that `#[test]` or `#[tokio::test]` marks.
fn find_tests(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            find_tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let parts = text.split("#[test]").flat_map(|part| part.split("::test]"));
            let names = parts.skip(1).filter_map(|part| {
                let (_, rest) = part.split_once("fn ")?;
                rest.split_once('(').map(|(name, _)| name.to_owned())
            });
            found.extend(names);
        }
    }
}

#[test]
fn every_listed_unit_test_and_step_exists() {
    let mut tests = BTreeSet::new();
    find_tests(paths::root(), &mut tests);
    let (mut units, mut steps) = (0, 0);
    for name in [TEXT, SEEN_FAILING].into_iter().flat_map(listed) {
        if let Some(unit) = name.strip_prefix("unit: ") {
            assert!(tests.contains(unit), "no unit test {unit}");
            units += 1;
        } else if let Some(step) = name.strip_prefix("step: ") {
            assert!(
                test::step_names().any(|name| name == step),
                "`cargo xtask test` has no step {step}"
            );
            steps += 1;
        } else {
            // A suffix of the name before it.
            assert!(
                name.contains("::") || name.starts_with('-'),
                "{name} is no test"
            );
        }
    }
    assert!(units > 50 && steps > 2, "{units} unit tests, {steps} steps");
}

/// Of each unit test that SECURITY.md names, the page says when it fails, or why nobody has seen that.
#[test]
fn every_listed_unit_test_was_seen_failing() {
    let seen = listed(SEEN_FAILING);
    for name in listed(TEXT) {
        let is_checked = name.starts_with("unit: ") || name.starts_with("step: ");
        assert!(
            !is_checked || seen.contains(&name),
            "docs/security-tests.md does not name {name}"
        );
    }
}

/// What a user has to know before giving the program privileges.
#[test]
fn the_threat_model_is_documented() {
    for part in [
        "## Who is trusted",
        "## What local users can do to the figures",
        "## What `setcap` gives away",
        "install -m 0750 -g tracing",
        "## What `serve` exposes",
    ] {
        assert!(TEXT.contains(part), "SECURITY.md has no {part:?}");
    }
}

/// A wrong sum is worse than none.
#[test]
fn sums_are_checked_in_releases() {
    let text = fs::read_to_string(paths::root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let release = &manifest["profile"]["release"];
    assert_eq!(release["overflow-checks"].as_bool(), Some(true));
}
