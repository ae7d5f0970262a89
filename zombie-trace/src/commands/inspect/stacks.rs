//! Where the threads of a parent are in its code.

use std::{path::Path, time::Duration};

use crate::{
    aggregate::doing::frame_name,
    cause::ParentFacts,
    kernel::KernelError,
    model::Frame,
    stacks,
    system::{deadline::Deadline, monotonic_now, wall_clock},
};

/// The stacks of as many threads are shown.
const THREADS: usize = 4;

/// Innermost frames of each.
const FRAMES: usize = 16;

/// What it takes to look names up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The stacks of the main thread and of the first others, innermost frame first, each with a heading; or why
/// there are none.
pub(super) fn of(parent: &ParentFacts) -> Vec<(String, Vec<String>)> {
    let others = parent.threads.iter().map(|thread| thread.tid);
    let others = others.filter(|&tid| tid != parent.pid);
    let tids = [parent.pid].into_iter().chain(others);
    let tids: Vec<u32> = tids.take(THREADS).collect();
    let ts = wall_clock().timestamp(monotonic_now());
    let found = stacks::of_now(parent.pid, &tids, None, ts, Deadline::after(PATIENCE));
    match found {
        Ok(found) => found.iter().map(described).collect(),
        Err(error) => vec![("Stacks".to_owned(), vec![unavailable(&error)])],
    }
}

fn unavailable(error: &KernelError) -> String {
    let reason = match error {
        KernelError::Privileges { .. } => "only root can see them".to_owned(),
        other => other.in_a_line(),
    };
    format!("not shown: {reason}")
}

fn described(one: &stacks::Now) -> (String, Vec<String>) {
    let frames = &one.stack.frames;
    let mut lines: Vec<_> = frames.iter().take(FRAMES).map(shown).collect();
    if one.stack.truncated || frames.len() > FRAMES {
        lines.push("…".to_owned());
    }
    let title = format!("Stack of thread {} ({})", one.tid, one.state.as_str());
    (title, lines)
}

fn shown(frame: &Frame) -> String {
    let name = frame_name(frame);
    let file = frame.file.as_deref().map(Path::new);
    let file = file.and_then(Path::file_name);
    match (file, frame.line) {
        (Some(file), Some(line)) => format!("{name} ({}:{line})", file.display()),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_source_line() {
        let frame = Frame::of(Some("/usr/bin/sup"), None, Some(0x10));
        let named = frame.clone().with_function("write_journal");
        assert_eq!(shown(&named), "write_journal");
        let placed = named.with_source("/src/sup.c", Some(14));
        assert_eq!(shown(&placed), "write_journal (sup.c:14)");
    }
}
