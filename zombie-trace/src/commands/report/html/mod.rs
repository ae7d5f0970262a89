//! One page for a browser, which needs nothing else.

mod causes;
mod charts;
mod data;
mod head;
mod sections;
mod show;
mod tables;

use maud::{DOCTYPE, PreEscaped, html};

use super::Report;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// The hash of [`SCRIPT`]: a browser runs nothing else, whatever the names of processes hold. When the
/// script has changed, the browser's console shows the new hash.
const SCRIPT_HASH: &str = "sha256-XMYozTYPjSruGAPQMcj+OOFDl9UxPKncpkPbAM1eskI=";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let files: Vec<_> = report.runs.iter().map(|run| run.file.as_str()).collect();
    let title = crate::text::visible(&format!("Zombies of {}", files.join(", ")));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src '{SCRIPT_HASH}'; base-uri 'none'; \
         form-action 'none'"
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "zombie-trace " (env!("CARGO_PKG_VERSION")) };
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head::head(report))
                    (head::toolbar(report))
                    (charts::alive(report))
                    (charts::lifetimes(report))
                    (charts::lanes(report))
                    (tables::parents(report))
                    (tables::longest(report))
                    (tables::causes(report))
                    (tables::commands(report))
                    (tables::containers(report))
                    (sections::histogram(report))
                    (sections::phases(report))
                    (sections::lost_failures(report))
                    (sections::unended(report))
                    (causes::explained(report))
                    (sections::runs(report))
                    (sections::glossary())
                }
                div #tip role="status" aria-live="polite" hidden {}
                script #data type="application/json" { (PreEscaped(data::json(report))) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}
