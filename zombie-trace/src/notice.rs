//! What is said on stderr.

use std::io::{self, Write as _};

use crate::{
    aggregate::Lost,
    kernel::{Backend, KernelError},
    lifecycle::Growing,
    sink::{encode, human, printable, visible},
    source::proc::Limit,
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

/// A parent has more and more zombies: how many, and which limit is reached first, and when.
pub(crate) fn growing(growing: &Growing, limits: &[Limit]) -> String {
    let Growing {
        ppid,
        comm,
        zombies,
        rate,
    } = growing;
    let mut text = format!(
        "parent {ppid} ({}) has {zombies} zombies, {rate:.1} more each second",
        printable(comm)
    );
    if let Some(limit) = limits.iter().min_by_key(|limit| limit.left()) {
        let seconds = limit.left() as f64 / rate;
        text += &format!(
            "; {} ({}, of which {} are taken) is reached in {}",
            limit.name,
            limit.limit,
            limit.used,
            human((seconds * 1e9) as u64)
        );
    }
    text
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

/// Writes to stderr; that nobody reads it is no reason to end.
///
/// Whatever names the text holds, it can't move the cursor, and no line of it looks like another
/// message or like a command to a log: lines after the first are indented.
pub fn say(text: &str) {
    write(&safe(text));
}

/// Text that is safe to write to stderr, as [`say`] does.
pub fn safe(text: &str) -> String {
    let mut safe = String::new();
    for (index, line) in text.replace('\t', "  ").lines().enumerate() {
        if index > 0 {
            safe.push('\n');
            if !line.is_empty() && !line.starts_with("  ") {
                safe.push_str("  ");
            }
        }
        safe.push_str(&visible(line));
    }
    safe
}

/// A command to GitHub's runner, whose parts are escaped.
pub(crate) fn workflow_command(line: &str) {
    write(line);
}

fn write(text: &str) {
    let _ = writeln!(io::stderr(), "{}", encode(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_can_fake_a_message() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a\tb", "a  b"),
            ("\x1b]0;pwned\x07", r"\x1b]0;pwned\x07"),
            ("\u{202e}\u{9b}", r"\u{202e}\u{9b}"),
            ("::error::x", r"\x3a:error::x"),
            ("a\n::error::x", "a\n  \\x3a:error::x"),
            ("a\nzombie-trace: b\n\n  c", "a\n  zombie-trace: b\n\n  c"),
            ("a\rb", r"a\x0db"),
        ] {
            assert_eq!(safe(text), expected);
        }
    }

    #[test]
    fn the_first_limit_is_forecast() {
        let limit = |name: &str, limit, used| Limit {
            name: name.to_owned(),
            limit,
            used,
        };
        let parent = Growing {
            ppid: 7,
            comm: "parent".into(),
            zombies: 40,
            rate: 2.5,
        };
        let limits = [
            limit("kernel.pid_max", 32_768, 200),
            limit("pids.max", 100, 50),
        ];
        assert_eq!(
            growing(&parent, &limits),
            "parent 7 (parent) has 40 zombies, 2.5 more each second; pids.max (100, of which 50 \
             are taken) is reached in 20.0 s"
        );
        assert!(growing(&parent, &[]).ends_with("each second"));
    }
}
