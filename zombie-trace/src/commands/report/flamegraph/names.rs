//! What parents, frames and states are called.

use crate::{
    aggregate::{ParentKey, doing::frame_name},
    model::{Frame, ThreadState},
};

/// What a parent is called: `sup (4242)`.
pub(super) fn parent_name(parent: &ParentKey) -> String {
    let (ppid, comm) = parent;
    match (comm, ppid) {
        (Some(comm), Some(ppid)) => format!("{} ({ppid})", comm.to_str()),
        (Some(comm), None) => comm.to_str().into_owned(),
        (None, Some(ppid)) => format!("({ppid})"),
        (None, None) => "other parents".to_owned(),
    }
}

/// Stands for the callers that are not known.
pub(super) const TRUNCATED: &str = "[truncated]";

/// What the frames of a stack are called, outermost first.
pub(super) fn frame_names<'a>(
    frames: &'a [&Frame],
    is_truncated: bool,
) -> impl Iterator<Item = (String, Option<&'a Frame>)> {
    let missing = is_truncated.then(|| (TRUNCATED.to_owned(), None));
    let frames = frames.iter().rev();
    let frames = frames.map(|frame| (frame_name(frame), Some(*frame)));
    missing.into_iter().chain(frames)
}

/// In the order in which the legend has them.
pub(super) const STATES: [ThreadState; 3] = [
    ThreadState::Blocked,
    ThreadState::Runnable,
    ThreadState::Running,
];
