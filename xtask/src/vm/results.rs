//! What the tests in a test kernel came to, read off its console.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::job::{ANY, Job};

/// How one run of the tests went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) skipped: u32,
    /// Why, by test.
    pub(super) reasons: Vec<(String, String)>,
    /// What is said of those that failed.
    pub(super) failures: String,
    /// How far the backends' times are apart.
    pub(super) cross_checks: Vec<String>,
}

impl Results {
    /// From the lines that the test program printed (libtest's format); `filter` is the part of the
    /// names of those that were to run.
    pub(super) fn parse(lines: &[String], filter: &str) -> Result<Self> {
        let status = lines
            .iter()
            .find_map(|line| line.strip_prefix("zt.status="))
            .context("the tests did not come to their end")?;
        let result = lines
            .iter()
            .find_map(|line| line.split_once("test result: "))
            .context("the tests gave no result")?
            .1;
        let count = |what: &str| -> Result<u32> {
            result
                .split(['.', ';'])
                .find_map(|part| part.trim().strip_suffix(what))
                .and_then(|number| number.trim().parse().ok())
                .with_context(|| format!("no number of {what} in: {result}"))
        };
        let results = Self {
            passed: count(" passed")?,
            failed: count(" failed")?,
            skipped: count(" ignored")?,
            reasons: lines
                .iter()
                // The first line can follow what the firmware writes to clear the screen.
                .filter_map(|line| line.split_once("skipped ")?.1.split_once(": "))
                .filter(|(test, _)| test.contains(filter))
                .map(|(test, reason)| (test.to_owned(), reason.to_owned()))
                .collect(),
            failures: failures(lines),
            cross_checks: lines
                .iter()
                .filter_map(|line| Some(line.split_once("cross-check: ")?.1.to_owned()))
                .collect(),
        };
        if results.passed + results.failed == 0 {
            bail!("no test of `{filter}` ran");
        }
        if (status == "0") != (results.failed == 0) {
            bail!(
                "{} tests failed, but the status is {status}",
                results.failed
            );
        }
        Ok(results)
    }
}

fn failures(lines: &[String]) -> String {
    let begin = lines.iter().position(|line| line == "failures:");
    let end = lines
        .iter()
        .rposition(|line| line.starts_with("test result:"));
    match (begin, end) {
        (Some(begin), Some(end)) if begin < end => lines[begin..end].join("\n"),
        _ => String::new(),
    }
}

/// The results of a run, and the CPU time that it took.
pub(super) type Run = (Results, Duration);

/// A run and what it came to.
pub(super) struct Cell {
    pub(super) job: Job,
    /// The results, or what went wrong.
    pub(super) outcome: Result<Run, String>,
}

impl Cell {
    /// Whether all is well.
    pub(super) fn passed(&self) -> bool {
        self.outcome
            .as_ref()
            .is_ok_and(|(results, _)| results.failed == 0)
    }
}

/// The cells as a table in Markdown, with the reasons of what was skipped and the cross-checks below.
pub(super) fn markdown(cells: &[Cell]) -> String {
    let mut text = String::from(
        "| Kernel | Tests | Backend | Shift | Passed | Failed | Skipped | CPU s |\n\
         |---|---|---|--:|--:|--:|--:|--:|\n",
    );
    for cell in cells {
        let job = &cell.job;
        let counts = match &cell.outcome {
            Ok((results, cpu_time)) => format!(
                "{} | {} | {} | {}",
                results.passed,
                results.failed,
                results.skipped,
                cpu_time.as_secs()
            ),
            Err(_) => "did not end | | |".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {} | {counts} |",
            job.kernel.release,
            job.filter,
            job.backend.unwrap_or(ANY),
            job.clock.shift,
        );
    }
    let results = || {
        cells
            .iter()
            .filter_map(|cell| Some((&cell.job, &cell.outcome.as_ref().ok()?.0)))
    };
    let mut skipped: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (job, results) in results() {
        for (test, reason) in &results.reasons {
            let kernels = skipped.entry((test, reason)).or_default();
            let kernel = job.kernel.release.as_str();
            if !kernels.contains(&kernel) {
                kernels.push(kernel);
            }
        }
    }
    if !skipped.is_empty() {
        text.push_str("\nSkipped:\n\n");
    }
    for ((test, reason), kernels) in skipped {
        let _ = writeln!(text, "- `{test}` on {}: {reason}", kernels.join(", "));
    }
    let cross_checks: Vec<_> = results()
        .flat_map(|(job, results)| results.cross_checks.iter().map(move |line| (job, line)))
        .collect();
    if !cross_checks.is_empty() {
        text.push_str("\nCross-checks:\n\n");
    }
    for (job, line) in cross_checks {
        let _ = writeln!(
            text,
            "- {}, shift {}: {line}",
            job.kernel.release, job.clock.shift
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Name;
    use crate::vm::boot::Clock;
    use crate::vm::kernels::Kernel;

    fn console(failed: bool) -> Vec<String> {
        let text = if failed {
            "skipped catalogue::22-x: no WAITID\nskipped scope::y: no\n\nrunning 3 tests\n\
             test catalogue::01-hold ... FAILED\n\nfailures:\n\n---- catalogue::01-hold ----\nwhy\n\n\
             test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 79 filtered out; \
             finished in 3.1s\n\nzt.status=101\n"
        } else {
            "running 3 tests\ntest catalogue::01-hold ... cross-check: a less b\nok\n\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 79 filtered out; \
             finished in 3.1s\n\nzt.status=0\n"
        };
        text.lines().map(Into::into).collect()
    }

    #[test]
    fn results_are_read_off_the_console() {
        let results = Results::parse(&console(true), "catalogue").unwrap();
        assert_eq!((results.passed, results.failed, results.skipped), (1, 1, 1));
        assert_eq!(
            results.reasons,
            [("catalogue::22-x".into(), "no WAITID".into())]
        );
        assert!(
            results
                .failures
                .contains("---- catalogue::01-hold ----\nwhy")
        );
        let results = Results::parse(&console(false), "catalogue").unwrap();
        assert_eq!((results.passed, results.failed), (2, 0));
        assert_eq!(results.cross_checks, ["a less b"]);
    }

    #[test]
    fn a_run_without_an_end_is_no_result() {
        let lines = console(false);
        assert!(Results::parse(&lines[..3], "").is_err());
        // Nothing but a failure is a result, too.
        let failed: Vec<_> = console(true)
            .iter()
            .map(|line| line.replace("1 passed", "0 passed"))
            .collect();
        assert_eq!(Results::parse(&failed, "").unwrap().failed, 1);
        let mut lied = console(false);
        *lied.last_mut().unwrap() = "zt.status=1".into();
        assert!(Results::parse(&lied, "").is_err());
    }

    #[test]
    fn the_table_has_a_line_for_each_run() {
        let package = "linux-image-6.1.0-51-cloud-amd64";
        let cell = |outcome| Cell {
            job: Job {
                kernel: Kernel::from_package(package, Name::Amd64.arch()).unwrap(),
                backend: Some("fentry"),
                filter: "catalogue::".into(),
                clock: Clock { shift: 1, seed: 1 },
            },
            outcome,
        };
        let run = |failed| {
            let results = Results::parse(&console(failed), "catalogue").unwrap();
            Ok((results, Duration::from_millis(61_900)))
        };
        let cells = [
            cell(run(true)),
            cell(run(false)),
            cell(Err("silent".into())),
        ];
        assert_eq!(cells.each_ref().map(Cell::passed), [false, true, false]);
        let text = markdown(&cells);
        for line in [
            "| 6.1.0-51-cloud-amd64 | `catalogue::` | fentry | 1 | 1 | 1 | 1 | 61 |",
            "| 6.1.0-51-cloud-amd64 | `catalogue::` | fentry | 1 | 2 | 0 | 0 | 61 |",
            "| 6.1.0-51-cloud-amd64 | `catalogue::` | fentry | 1 | did not end | | | |",
            "- `catalogue::22-x` on 6.1.0-51-cloud-amd64: no WAITID",
            "- 6.1.0-51-cloud-amd64, shift 1: a less b",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
