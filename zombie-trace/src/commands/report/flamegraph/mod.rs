//! `--flamegraph FILE`: the stacks of parents, as widths in zombie time.

mod folded;
mod names;
mod speedscope;
mod svg;
mod tree;

use std::{
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};

use super::Report;
use crate::{
    system::{Access, NewFile},
    text::{human, visible},
};

pub(super) use svg::{Graph, SCRIPT, STYLE};

/// What a flame graph is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Svg,
    Folded,
    Speedscope,
}

impl Format {
    /// By the file's name.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let endings = [
            (".svg", Self::Svg),
            (".folded", Self::Folded),
            (".speedscope.json", Self::Speedscope),
        ];
        let mut endings = endings.into_iter();
        endings.find_map(|(ending, format)| name.ends_with(ending).then_some(format))
    }
}

/// A file name that says which format is asked for.
pub(super) fn file(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    match Format::of(&path) {
        Some(_) => Ok(path),
        None => Err("the name must end in .svg, .folded or .speedscope.json".to_owned()),
    }
}

/// Writes such a file. It is there only if all of it is.
pub(super) fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    check(report)?;
    let problem = || format!("cannot write to --flamegraph {}", path.display());
    let (file, replacement) = NewFile::create(path, Access::Usual).with_context(problem)?;
    let mut out = BufWriter::new(file.open().with_context(problem)?);
    match Format::of(path) {
        Some(Format::Folded) => folded::write(&report.did, &mut out),
        Some(Format::Speedscope) => speedscope::write(&report.did, &mut out),
        _ => svg::write(&report.did, &mut out),
    }
    .with_context(problem)?;
    out.flush().with_context(problem)?;
    drop(out);
    replacement.replace().with_context(problem)
}

/// That there is something to show.
fn check(report: &Report) -> anyhow::Result<()> {
    if !report.did.is_empty() {
        return Ok(());
    }
    let files: Vec<_> = report.runs.iter().map(|run| visible(&run.file)).collect();
    let (files, has) = match &*files {
        [file] => (file.clone(), "has"),
        files => (files.join(", "), "have"),
    };
    let Some(totals) = &report.summary.stacks else {
        bail!("{files} {has} no stacks: record with --stacks");
    };
    ensure!(
        totals.due_ns > 0,
        "{files} {has} no stacks: no zombie was older than {}; record with a shorter --stacks-after",
        human(totals.after_ns)
    );
    bail!("{files} {has} no stacks: no parent could be sampled");
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        aggregate::WhatParentsDid,
        model::{Doing, Frame, Stack, ThreadState},
    };

    fn written(write: impl FnOnce(&WhatParentsDid, &mut Vec<u8>) -> std::io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&did(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    const HOSTILE: &str = "a;b\n\x1b[31m<script>alert(\"x\")</script>&'\u{202e} 7";

    /// Two parents: one blocks in `fsync` and computes, the other has a hostile name and no symbols.
    pub(crate) fn did() -> WhatParentsDid {
        let ts = Timestamp::UNIX_EPOCH;
        let own = |name: &str, line| {
            Frame::of(Some("/usr/bin/sup"), Some("8f3c"), Some(4660))
                .with_function(name)
                .with_source("sup.c", Some(line))
        };
        let libc = Frame::of(Some("/lib/libc.so.6"), None, Some(1)).with_function("fsync");
        let stacks = [
            Stack::new(
                ts,
                1,
                vec![
                    libc,
                    own("write_journal", 14),
                    own("run", 40),
                    own("main", 50),
                ],
                false,
            ),
            Stack::new(
                ts,
                2,
                vec![own("zip", 88), own("run", 41), own("main", 50)],
                false,
            ),
            Stack::new(
                ts,
                3,
                vec![
                    Frame::default().with_function(HOSTILE),
                    Frame::of(Some("/opt/x"), None, Some(0x1a2b)),
                ],
                true,
            ),
        ];
        let doing = |ppid, comm: &str, state, stack, zombie_ns| Doing {
            ts,
            ppid,
            parent_comm: Some(comm.into()),
            tid: ppid,
            state,
            stack,
            zombie_ns,
            samples: zombie_ns / 1_000_000,
        };
        let doing = [
            doing(7, "sup", ThreadState::Blocked, 1, 700_000_000),
            doing(7, "sup", ThreadState::Running, 2, 300_000_000),
            doing(8, "<b>&;\n", ThreadState::Runnable, 3, 250_000_000),
        ];
        WhatParentsDid::of(&stacks, &doing)
    }

    #[test]
    fn formats_go_by_the_name() {
        for (name, format) in [
            ("a.svg", Some(Format::Svg)),
            ("/b/a.folded", Some(Format::Folded)),
            ("a.speedscope.json", Some(Format::Speedscope)),
            ("a.json", None),
            ("a.SVG", None),
            ("svg", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn folded_lines_have_a_count_and_no_other_separators() {
        let text = written(folded::write);
        assert_eq!(
            text,
            "sup (7);main;run;write_journal;fsync 700000\n\
             sup (7);main;run;zip 300000\n\
             <b>&:\\x0a (8);[truncated];x+0x1a2b;\
             a:b\\x0a\\x1b[31m<script>alert(\"x\")</script>&'\\u{202e} 7 250000\n"
        );
    }

    #[test]
    fn speedscope_has_a_profile_per_parent() {
        let text = written(speedscope::write);
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let frames = file["shared"]["frames"].as_array().unwrap();
        let profiles = file["profiles"].as_array().unwrap();
        assert_eq!(profiles.len(), 2);
        for profile in profiles {
            assert_eq!(
                (&profile["type"], &profile["unit"]),
                (&"sampled".into(), &"nanoseconds".into())
            );
            let samples = profile["samples"].as_array().unwrap();
            let weights = profile["weights"].as_array().unwrap();
            assert_eq!(samples.len(), weights.len());
            let sum: u64 = weights.iter().map(|weight| weight.as_u64().unwrap()).sum();
            assert_eq!(profile["endValue"], sum);
            let numbers = samples.iter().flat_map(|sample| sample.as_array().unwrap());
            assert!(
                numbers
                    .into_iter()
                    .all(|number| (number.as_u64().unwrap() as usize) < frames.len())
            );
        }
        let first = &profiles[0]["samples"][0];
        let names = first.as_array().unwrap().iter();
        let names: Vec<_> = names
            .map(|number| {
                frames[number.as_u64().unwrap() as usize]["name"]
                    .as_str()
                    .unwrap()
            })
            .collect();
        assert_eq!(names, ["main", "run", "write_journal", "fsync"]);
        let journal = frames
            .iter()
            .find(|frame| frame["name"] == "write_journal")
            .unwrap();
        assert_eq!(
            (&journal["file"], &journal["line"]),
            (&"sup.c".into(), &14.into())
        );
    }

    #[test]
    fn the_picture_is_well_formed_and_safe() {
        let text = written(svg::write);
        let document = roxmltree::Document::parse(&text).unwrap();
        let named = |name: &str| {
            let all = document
                .descendants()
                .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name)));
            all.count()
        };
        // The one that zooms.
        assert_eq!(named("script"), 1);
        assert!(named("title") >= 8, "{text}");
        assert!(text.contains("&lt;script&gt;alert") && !text.contains('\x1b'));
        // It fetches nothing.
        let links = text.matches("http").count();
        assert_eq!(links, text.matches("http://www.w3.org/2000/svg").count());
    }
}
