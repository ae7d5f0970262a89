//! The picture. Each frame is an `svg` of its own, which clips its text; places are in percent, so that the
//! text keeps its size whatever the width is.

use std::io::{self, Write};

use maud::{Markup, PreEscaped, Render, html};

use super::{
    names::STATES,
    tree::{Node, tree},
};
use crate::{
    aggregate::{WhatParentsDid, doing::share},
    text::{escape::cut, human, visible},
};

/// Zooms and searches: in the picture and in the page.
pub(crate) const SCRIPT: &str = include_str!("flame.js");
/// Colours and shapes, in a page as in the picture.
pub(crate) const STYLE: [&str; 2] = [include_str!("colours.css"), include_str!("flame.css")];
/// What only the picture has.
const PICTURE_STYLE: &str = include_str!("picture.css");

/// The height of a frame.
const ROW: usize = 17;
/// Above the frames of a picture of its own.
const HEAD: usize = 46;
/// What is narrower than this, in percent, can't be seen.
const NARROWEST: f64 = 0.04;
/// A picture has at most this many frames.
const MOST: usize = 20_000;
/// Names are cut to this many columns.
const LONGEST_NAME: usize = 200;

/// A flame graph that can be put into another page.
pub(crate) struct Graph {
    frames: Vec<Markup>,
    depth: usize,
    /// Percent under which a frame is left out.
    narrowest: f64,
}

impl Graph {
    /// With frames of at least `narrowest` percent, and at most `most` of them apart from parents.
    pub(crate) fn new(did: &WhatParentsDid, narrowest: f64, most: usize) -> Self {
        let root = tree(did, most);
        let mut graph = Self {
            frames: Vec::new(),
            depth: 0,
            narrowest,
        };
        let whole = &Whole {
            time: root.weight.zombie_ns,
            parent: None,
        };
        graph.frame(&root, 0.0, 0, whole);
        graph
    }

    fn frame(&mut self, node: &Node, x: f64, depth: usize, whole: &Whole<'_>) {
        let width = part(node.weight.zombie_ns, whole.time);
        if width < self.narrowest {
            return;
        }
        self.depth = self.depth.max(depth + 1);
        let class = match depth {
            0 | 1 => "f root",
            _ => ["f blocked", "f runnable", "f running"][node.mostly()],
        };
        self.frames.push(html! {
            svg class=(class) x={ (number(x)) "%" } y=(depth * ROW) width={ (number(width)) "%" } height=(ROW - 1) {
                title { (title(node, whole)) }
                rect width="100%" height="100%" rx="2" {}
                text x="4" y="12" { (short(&node.name)) }
            }
        });
        let of_parent = Whole {
            time: whole.time,
            parent: match depth {
                0 => None,
                1 => Some(node),
                _ => whole.parent,
            },
        };
        let mut x = x;
        for child in &node.children {
            self.frame(child, x, depth + 1, &of_parent);
            x += part(child.weight.zombie_ns, whole.time);
        }
    }

    /// In pixels.
    pub(crate) fn height(&self) -> usize {
        self.depth * ROW
    }
}

impl Render for Graph {
    fn render(&self) -> Markup {
        html! { @for frame in &self.frames { (frame) } }
    }
}

/// What a frame is a part of.
struct Whole<'a> {
    /// The time of all parents, in ns.
    time: u64,
    parent: Option<&'a Node>,
}

fn part(time: u64, of: u64) -> f64 {
    time as f64 * 100.0 / of.max(1) as f64
}

/// `write_journal (sup.c:14): 6.10 s, 49 % of sup (4242), 116 samples, blocked`.
fn title(node: &Node, whole: &Whole<'_>) -> String {
    let mut text = short(&node.name);
    if let Some(source) = &node.source {
        text += &format!(" ({}", short(&source.file));
        if let Some(line) = source.line {
            text += &format!(":{line}");
        }
        text.push(')');
    }
    let time = node.weight.zombie_ns;
    text += &format!(": {}", human(time));
    text += &match whole.parent {
        Some(parent) => format!(
            ", {} % of {}",
            share(time, parent.weight.zombie_ns),
            short(&parent.name)
        ),
        None => format!(", {} % of all", share(time, whole.time)),
    };
    text += &match node.weight.samples {
        1 => ", 1 sample".to_owned(),
        samples => format!(", {samples} samples"),
    };
    let states = STATES
        .iter()
        .zip(node.by_state)
        .filter(|(_, state)| *state > 0);
    let states: Vec<_> = states
        .map(|(state, part)| match part == time {
            true => state.as_str().to_owned(),
            false => format!("{} {} %", state.as_str(), share(part, time)),
        })
        .collect();
    if !states.is_empty() {
        text += &format!(", {}", states.join(", "));
    }
    text
}

fn short(name: &str) -> String {
    cut(&visible(name), LONGEST_NAME).into_owned()
}

/// Without digits that nobody sees.
fn number(percent: f64) -> String {
    let text = format!("{percent:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A picture of its own.
pub(super) fn write(did: &WhatParentsDid, out: &mut impl Write) -> io::Result<()> {
    let graph = Graph::new(did, NARROWEST, MOST);
    let height = HEAD + graph.height() + 8;
    let picture = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"))
        svg xmlns="http://www.w3.org/2000/svg" width="100%" height=(height) class="picture" {
            title { "What parents did instead of reaping" }
            style { @for style in STYLE { (PreEscaped(style)) } (PreEscaped(PICTURE_STYLE)) }
            rect.ground width="100%" height="100%" {}
            text.head x="8" y="18" { "What parents did instead of reaping" }
            text.soft x="8" y="36" {
                tspan.blocked { "■" } " blocked  "
                tspan.runnable { "■" } " runnable  "
                tspan.running { "■" } " running, by zombie time"
            }
            text.soft.search x="100%" dx="-8" y="36" text-anchor="end" tabindex="0" role="button" { "search" }
            svg.flame x="0" y=(HEAD) width="100%" height=(graph.height()) { (graph) }
            script { (PreEscaped("//<![CDATA[\n")) (PreEscaped(SCRIPT)) (PreEscaped("\n//]]>")) }
        }
    };
    writeln!(out, "{}", picture.into_string())
}
