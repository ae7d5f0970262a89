//! What is said on stderr.

use std::io::{self, Write as _};

use crate::{
    aggregate::Lost,
    kernel::{Backend, KernelError},
};

/// What was lost, and what to do about it.
pub(crate) fn warn_of_loss(lost: &Lost) {
    let Lost {
        ring_full,
        map_full,
        missed,
    } = lost;
    let mut advice = Vec::new();
    if *ring_full > 0 {
        advice.push(format!(
            "{ring_full} records: the ring buffer was full, raise --buffer"
        ));
    }
    if *map_full > 0 {
        advice.push(format!(
            "{map_full} processes: too many at once, raise --max-zombies"
        ));
    }
    if *missed > 0 {
        advice.push(format!("{missed} processes: missed by the hooks"));
    }
    warn(&format!("lost {}", advice.join("; ")));
}

/// Why a backend is used though there are better ones, in a line.
pub(crate) fn fallback(used: Backend, refusals: &[(Backend, KernelError)]) -> String {
    let reasons: Vec<_> = refusals
        .iter()
        .map(|(backend, error)| format!("{backend}: {}", error.in_a_line()))
        .collect();
    format!(
        "zombie-trace: using the {used} backend, as the better ones do not load here ({})",
        reasons.join("; ")
    )
}

/// Something that the user should know.
pub(crate) fn warn(text: &str) {
    say(&format!("zombie-trace: warning: {text}"));
}

/// On stderr; that nobody reads it is no reason to end.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
