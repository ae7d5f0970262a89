//! One page for a browser, which needs nothing else.

mod causes;
mod charts;
mod data;
mod doing;
mod head;
mod sections;
mod show;
mod tables;

use maud::{DOCTYPE, PreEscaped, html};

use super::{
    Report,
    flamegraph::{SCRIPT as FLAME_SCRIPT, STYLE as FLAME_STYLE},
};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// The hash of [`SCRIPT`]: a browser runs nothing else, whatever the names of processes hold. When the
/// script has changed, the browser's console shows the new hash.
const SCRIPT_HASH: &str = "sha256-XMYozTYPjSruGAPQMcj+OOFDl9UxPKncpkPbAM1eskI=";
/// The same of what makes flame graphs zoom.
const FLAME_SCRIPT_HASH: &str = "sha256-FeBI2QHW6G/iBcgZbMH43DrhUo75gGJtc13i2HKHsnk=";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let files: Vec<_> = report.runs.iter().map(|run| run.file.as_str()).collect();
    let title = crate::text::visible(&format!("Zombies of {}", files.join(", ")));
    let has_graph = doing::is_there(report);
    let scripts = match has_graph {
        true => format!("'{SCRIPT_HASH}' '{FLAME_SCRIPT_HASH}'"),
        false => format!("'{SCRIPT_HASH}'"),
    };
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src {scripts}; base-uri 'none'; \
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
                style {
                    (PreEscaped(STYLE))
                    @if has_graph { @for style in FLAME_STYLE { (PreEscaped(style)) } }
                }
            }
            body {
                main {
                    (head::head(report))
                    (head::toolbar(report))
                    (charts::alive(report))
                    (charts::lifetimes(report))
                    (charts::lanes(report))
                    (tables::parents(report))
                    (doing::places_of_parents(report))
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
                @if has_graph { script { (PreEscaped(FLAME_SCRIPT)) } }
            }
        }
    };
    page.into_string()
}
