//! Every relative link in the documents leads to a file, and every anchor to a heading.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The documents under version control, and those that will be.
fn documents() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .args(["*.md", "**/*.md"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = String::from_utf8(output.stdout).unwrap();
    let files = names.lines().map(PathBuf::from).collect::<HashSet<_>>();
    files
        .into_iter()
        .filter(|file| root().join(file).exists())
        .collect()
}

/// What a document links to, and the anchors that it has.
#[derive(Default)]
struct Document {
    links: Vec<String>,
    anchors: HashSet<String>,
}

impl Document {
    fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut heading: Option<String> = None;
        let mut count: HashMap<String, u32> = HashMap::new();
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    document.links.extend(attributes(&html));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let number = count.entry(anchor.clone()).or_default();
                    document.anchors.insert(match *number {
                        0 => anchor,
                        number => format!("{anchor}-{number}"),
                    });
                    *number += 1;
                }
                _ => {}
            }
        }
        document
    }
}

/// The values of `src`, `srcset` and `href` in HTML.
fn attributes(html: &str) -> Vec<String> {
    let after = |name: &'static str| html.split(name).skip(1);
    ["src=\"", "srcset=\"", "href=\""]
        .into_iter()
        .flat_map(after)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect()
}

/// As GitHub makes it of a heading's text.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ => c.is_alphanumeric().then_some(c),
        })
        .collect()
}

#[test]
fn anchors_are_those_of_github() {
    assert_eq!(anchor("make -j"), "make--j");
    assert_eq!(anchor("What can't it do?"), "what-cant-it-do");
    let twice = Document::parse("# One\n\n## `two`\n\n## two\n");
    let anchors = ["one", "two", "two-1"].map(str::to_owned);
    assert_eq!(twice.anchors, HashSet::from(anchors));
}

#[test]
fn links_are_found_in_text_tables_and_html() {
    let text = "[a](b.md) ![c](d.svg)\n\n| x |\n|---|\n| [e](f.md#g) |\n\n<img src=\"h.svg\">\n\n\
                ```\n[not](one.md)\n```\n";
    assert_eq!(
        Document::parse(text).links,
        ["b.md", "d.svg", "f.md#g", "h.svg"]
    );
}

#[test]
fn no_link_is_broken() {
    let files = documents();
    assert!(files.len() > 10, "{files:?}");
    let parsed: HashMap<PathBuf, Document> = files
        .into_iter()
        .map(|file| {
            let path = root().join(&file).canonicalize().unwrap();
            let text = fs::read_to_string(&path).unwrap();
            (path, Document::parse(&text))
        })
        .collect();
    let mut broken = Vec::new();
    for (file, document) in &parsed {
        for link in &document.links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => file.clone(),
                _ => file.parent().unwrap().join(path),
            };
            let is_there = match target.canonicalize() {
                Err(_) => false,
                Ok(_) if fragment.is_empty() => true,
                Ok(target) => parsed
                    .get(&target)
                    .is_some_and(|target| target.anchors.contains(fragment)),
            };
            if !is_there {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    broken.sort();
    assert!(broken.is_empty(), "{broken:#?}");
}
