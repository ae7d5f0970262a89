//! What is said on stderr.

use std::{
    io::{self, Write},
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    aggregate::Lost,
    kernel::{Backend, KernelError},
    lifecycle::Growing,
    pipeline::NewLoss,
    sink::{encode, human, printable, visible},
    source::proc::Limit,
};

/// What was lost, and what to do about it.
pub(crate) fn warn_of_loss(loss: &NewLoss) {
    warn(&lost(loss));
}

fn lost(loss: &NewLoss) -> String {
    let NewLoss { lost, unwritten } = loss;
    let Lost {
        ring_full,
        map_full,
        missed,
    } = lost;
    let mut advice = Vec::new();
    let in_kernel = ring_full.saturating_sub(*unwritten);
    if in_kernel > 0 {
        advice.push(format!(
            "{in_kernel} records: the ring buffer was full, raise --buffer"
        ));
    }
    if *unwritten > 0 {
        advice.push(format!(
            "{unwritten} records: the output is not read, or not fast enough"
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
    format!("lost {}", advice.join("; "))
}

/// Somebody tried to falsify the figures.
pub(crate) fn forged(count: u64) -> String {
    let what = match count {
        1 => "1 forged notification or reap".to_owned(),
        count => format!("{count} forged notifications or reaps"),
    };
    format!("ignored {what}: a process pretends that others ended or that it reaped them")
}

/// New descendants were found to the last at the start.
pub(crate) fn overlooked(found: u64) -> String {
    format!(
        "--tree: processes fork faster than they can be found; about {found} descendants may be \
         missing"
    )
}

/// Records that the end of the run did not wait for.
pub(crate) fn undelivered(records: u64) -> String {
    format!("{records} records did not arrive before the end of the run")
}

/// /proc has not answered in time.
pub(crate) fn undiagnosed(zombies: usize) -> String {
    format!("there was no time to find the causes of living zombies: {zombies}")
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

/// Every hook is live. Scripts wait for this line.
pub(crate) fn attached(backend: Backend) -> String {
    format!(
        "attached (backend {backend}, ±{} µs)",
        backend.error_ns() / 1000
    )
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
pub fn warn(text: &str) {
    say(&format!("zombie-trace: warning: {text}"));
}

/// Why the program ends with status 1.
pub fn fail(error: &anyhow::Error) {
    let text = format!("{error:#}");
    say(&format!("zombie-trace: {text}"));
    if is_about_open_files(&text) {
        say(
            "zombie-trace: raise the limit of open files: `ulimit -n 1024`, or LimitNOFILE=1024 in a \
             systemd unit",
        );
    }
}

/// By the text: some libraries keep the error itself to themselves.
fn is_about_open_files(text: &str) -> bool {
    text.contains("(os error 24)") || text.contains("EMFILE")
}

/// Writes to stderr. A run goes on without the message if nobody reads it.
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
    let _ = Stderr.write_all(format!("{}\n", encode(text)).as_bytes());
}

/// Standard error, which makes nobody wait for long: a terminal can be stopped, and a pipe full.
#[derive(Clone, Copy, Debug)]
pub struct Stderr;

/// How many ms a message waits for a reader.
const PATIENCE: u8 = 100;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The last message was not read: the next one does not wait.
        static IS_STUCK: AtomicBool = AtomicBool::new(false);

        let stderr = io::stderr();
        let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let timeout = match IS_STUCK.load(Ordering::Relaxed) {
            true => PollTimeout::ZERO,
            false => PATIENCE.into(),
        };
        let is_stuck = loop {
            match poll(&mut fds, timeout) {
                Err(Errno::EINTR) => {}
                ready => break ready == Ok(0),
            }
        };
        IS_STUCK.store(is_stuck, Ordering::Relaxed);
        if is_stuck {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // A pipe that is not full has room for that much.
        stderr
            .lock()
            .write(&bytes[..bytes.len().min(libc::PIPE_BUF)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_recognised() {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        assert!(is_about_open_files(&error.to_string()));
        assert!(is_about_open_files(&Errno::EMFILE.to_string()));
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        assert!(!is_about_open_files(&error.to_string()));
    }

    #[test]
    fn each_loss_has_its_advice() {
        let loss = |ring_full, unwritten| NewLoss {
            lost: Lost {
                ring_full,
                ..Lost::default()
            },
            unwritten,
        };
        assert_eq!(
            lost(&loss(7, 3)),
            "lost 4 records: the ring buffer was full, raise --buffer; 3 records: the output is not \
             read, or not fast enough"
        );
        assert_eq!(
            lost(&loss(3, 3)),
            "lost 3 records: the output is not read, or not fast enough"
        );
    }

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
