//! Folded stacks, one line each: `parent (pid);frame;frame count`, outermost frame first. Counts are
//! zombie-microseconds.

use std::io::{self, Write};

use super::names::{frame_names, parent_name};
use crate::{aggregate::WhatParentsDid, text::visible};

/// Two lines can have the same frames: in another state, or on other source lines. Readers add them up.
pub(super) fn write(did: &WhatParentsDid, out: &mut impl Write) -> io::Result<()> {
    for did in did.parents() {
        let parent = part(&parent_name(&did.parent));
        for stack in &did.stacks {
            let micros = stack.weight.zombie_ns.saturating_add(500) / 1000;
            if micros == 0 {
                continue;
            }
            out.write_all(parent.as_bytes())?;
            for (name, _) in frame_names(&stack.frames, stack.is_truncated) {
                write!(out, ";{}", part(&name))?;
            }
            writeln!(out, " {micros}")?;
        }
    }
    Ok(())
}

/// One of the names in a line: a semicolon ends it.
fn part(name: &str) -> String {
    visible(name).replace(';', ":")
}
