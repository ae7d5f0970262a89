//! The file format of speedscope (<https://www.speedscope.app>): a sampled profile per parent, in
//! nanoseconds of zombie time.

use std::io::{self, Write};

use foldhash::HashMap;
use serde::Serialize;

use super::names::{frame_names, parent_name};
use crate::{aggregate::WhatParentsDid, sink::to_json, text::visible};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(rename = "$schema")]
    schema: &'static str,
    shared: Shared,
    profiles: Vec<Profile>,
    name: &'static str,
    active_profile_index: usize,
    exporter: &'static str,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    r#type: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    /// Outermost frame first.
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

pub(super) fn write(did: &WhatParentsDid, out: &mut impl Write) -> io::Result<()> {
    let mut frames = Vec::new();
    let mut numbers: HashMap<Frame, usize> = HashMap::default();
    let mut number = |frame: Frame| {
        *numbers.entry(frame).or_insert_with_key(|frame| {
            frames.push(frame.clone());
            frames.len() - 1
        })
    };
    let profiles = did.parents().into_iter().map(|did| {
        let samples = did.stacks.iter().map(|stack| {
            let names = frame_names(&stack.frames, stack.is_truncated);
            let frames = names.map(|(name, frame)| Frame {
                name: visible(&name),
                file: frame.and_then(|frame| Some(visible(frame.file.as_deref()?))),
                line: frame.and_then(|frame| frame.line),
            });
            frames.map(&mut number).collect()
        });
        Profile {
            r#type: "sampled",
            name: visible(&parent_name(&did.parent)),
            unit: "nanoseconds",
            start_value: 0,
            end_value: did.weight.zombie_ns,
            samples: samples.collect(),
            weights: did
                .stacks
                .iter()
                .map(|stack| stack.weight.zombie_ns)
                .collect(),
        }
    });
    let profiles = profiles.collect();
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        shared: Shared { frames },
        profiles,
        name: "what parents did instead of reaping",
        active_profile_index: 0,
        exporter: concat!("zombie-trace@", env!("CARGO_PKG_VERSION")),
    };
    to_json(out, &file)?;
    out.write_all(b"\n")
}
