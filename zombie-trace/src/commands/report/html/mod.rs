//! One page for a browser, that needs nothing else.

mod charts;
mod escape;
mod sections;
mod tables;

use super::Report;
use escape::escape;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Of [`SCRIPT`]: a browser runs nothing else, whatever the names of processes may hold. The
/// browser's console tells it when the script has been changed.
const SCRIPT_HASH: &str = "sha256-2onwDu3eiGWpGfleZWs0xN0aczkOkF9q+Kg1AQYePik=";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let files: Vec<_> = report.runs.iter().map(|run| run.file.as_str()).collect();
    let title = format!("Zombies of {}", files.join(", "));
    let mut page = String::new();
    let mut rest = PAGE;
    // In one go: what is put in is not looked at again.
    while let Some((before, behind)) = rest.split_once("{{") {
        page += before;
        let (name, behind) = behind.split_once("}}").expect("a placeholder has an end");
        page += &match name {
            "script-hash" => SCRIPT_HASH.to_owned(),
            "version" => env!("CARGO_PKG_VERSION").to_owned(),
            "title" => escape(&title),
            "style" => STYLE.to_owned(),
            "script" => SCRIPT.to_owned(),
            "content" => content(report),
            // Any page shows it: no test that makes one passes then.
            other => unreachable!("page.html has a placeholder of no meaning: {other}"),
        };
        rest = behind;
    }
    page + rest
}

fn content(report: &Report) -> String {
    [
        sections::head(report),
        charts::alive(&report.timeline),
        charts::lifetimes(&report.timeline),
        sections::histogram(report),
        sections::phases(report),
        tables::causes(report),
        tables::longest(report),
        tables::parents(report),
        tables::commands(report),
        tables::containers(report),
        sections::runs(report),
        sections::glossary(),
    ]
    .concat()
}
