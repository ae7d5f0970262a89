//! The lists of attacks and tests in SECURITY.md and docs/security-tests.md.

use std::collections::BTreeSet;

use crate::{Outcome, Test, ensure};

const SECURITY: &str = include_str!("../../SECURITY.md");
const SEEN_FAILING: &str = include_str!("../../docs/security-tests.md");

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("security-list::tests-exist", tests_exist),
        Test::new("security-list::tests-were-seen-failing", seen_failing),
    ]
}

/// Each test that the lists name exists.
fn tests_exist() -> Outcome {
    for (text, least) in [(SECURITY, 50), (SEEN_FAILING, 50)] {
        let listed = listed(text)?;
        ensure!(
            listed.len() > least,
            "only {} tests are listed",
            listed.len()
        );
    }
    Ok(())
}

/// Of each test that SECURITY.md names, the page says when it fails, or why nobody has seen that.
fn seen_failing() -> Outcome {
    let (promised, seen) = (listed(SECURITY)?, listed(SEEN_FAILING)?);
    let unseen: Vec<_> = promised.difference(&seen).collect();
    ensure!(
        unseen.is_empty(),
        "docs/security-tests.md does not name {unseen:?}"
    );
    Ok(())
}

/// The end-to-end tests in the last columns of a text's tables, by their whole names.
fn listed(text: &str) -> Result<BTreeSet<String>, String> {
    let names: Vec<String> = crate::tests().into_iter().map(|test| test.name).collect();
    let mut listed = BTreeSet::new();
    for row in text.lines().filter(|line| line.starts_with('|')) {
        let last = row.split(" | ").last().unwrap_or_default();
        let mut previous: Option<&str> = None;
        for word in last.split('`').skip(1).step_by(2) {
            // xtask has a test for these.
            if word.starts_with("unit: ") || word.starts_with("step: ") {
                continue;
            }
            let is_meant = |name: &&String| {
                if let Some(suffix) = word.strip_prefix('-') {
                    // Another one of the same module and kind: `a::b-c`, `-d`.
                    let module = previous.and_then(|name| name.split_once("::"));
                    module.is_some_and(|(module, _)| {
                        let rest = name.strip_prefix(module);
                        rest.is_some_and(|rest| rest.starts_with("::"))
                            && name.ends_with(&format!("-{suffix}"))
                    })
                } else if let Some(start) = word.strip_suffix('*') {
                    name.starts_with(start)
                } else {
                    *name == word
                }
            };
            let found: Vec<_> = names.iter().filter(is_meant).cloned().collect();
            ensure!(!found.is_empty(), "a test that does not exist: {word}");
            listed.extend(found);
            if !word.starts_with('-') {
                previous = Some(word);
            }
        }
    }
    Ok(listed)
}
