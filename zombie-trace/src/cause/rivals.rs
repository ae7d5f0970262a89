//! Threads of one process that wait for the same child.

use nix::libc;

use super::{ParentFacts, ThreadFacts, WNOTHREAD, Wait, WaitTarget};

/// A thread that waits for any child, and one that waits for a particular one: the first can take it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rivals {
    /// Who waits for any child.
    pub taker: u32,
    /// Who waits for a particular one.
    pub loser: u32,
    /// Which that is.
    pub target: WaitTarget,
}

/// Such threads of a process, if there are any.
pub fn rivals(parent: &ParentFacts) -> Option<Rivals> {
    let wait = |thread: &ThreadFacts| match thread.wait {
        Wait::For { target, options } if options & libc::WEXITED.cast_unsigned() != 0 => {
            Some((thread.tid, target, options))
        }
        _ => None,
    };
    let mut waits = parent.threads.iter().filter_map(wait);
    let (taker, ..) = waits
        .clone()
        .find(|&(_, target, options)| target == WaitTarget::Any && options & WNOTHREAD == 0)?;
    let (loser, target, _) =
        waits.find(|(_, target, _)| matches!(target, WaitTarget::Pid(_) | WaitTarget::Pidfd(_)))?;
    Some(Rivals {
        taker,
        loser,
        target,
    })
}
