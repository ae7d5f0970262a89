//! The list of attacks and tests in SECURITY.md.

use crate::{Outcome, Test, ensure};

const TEXT: &str = include_str!("../../SECURITY.md");

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("security-list::tests-exist", tests_exist)]
}

/// Each test that the list names exists.
fn tests_exist() -> Outcome {
    let names: Vec<String> = crate::tests().into_iter().map(|test| test.name).collect();
    let mut checked = 0;
    for row in TEXT.lines().filter(|line| line.starts_with('|')) {
        let listed = row.split(" | ").last().unwrap_or_default();
        let mut previous: Option<&str> = None;
        for word in listed.split('`').skip(1).step_by(2) {
            let exists = if let Some(suffix) = word.strip_prefix('-') {
                // Another one of the same module and kind: `a::b-c`, `-d`.
                let (module, _) = previous
                    .and_then(|name| name.split_once("::"))
                    .ok_or_else(|| format!("{word}: nothing before it"))?;
                let module = format!("{module}::");
                names
                    .iter()
                    .any(|name| name.starts_with(&module) && name.ends_with(suffix))
            } else if word.starts_with("unit: ") || word.starts_with("step: ") {
                // xtask has a test for these.
                continue;
            } else {
                previous = Some(word);
                match word.strip_suffix('*') {
                    Some(start) => names.iter().any(|name| name.starts_with(start)),
                    None => names.iter().any(|name| name == word),
                }
            };
            ensure!(
                exists,
                "SECURITY.md names a test that does not exist: {word}"
            );
            checked += 1;
        }
    }
    ensure!(checked > 50, "only {checked} tests are listed");
    Ok(())
}
