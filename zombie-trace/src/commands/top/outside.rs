//! What keys do outside of the screen.

use std::{
    io::{self, Write as _},
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use serde_json::json;

use super::{
    state::{Choice, Content, TopRow, View},
    target::HeldProcess,
};
use crate::{
    args::ColorArgs,
    commands::{
        inspect::{self, InspectArgs},
        report::{self, ReportArgs},
    },
    model::ScopeLine,
    stderr,
    system::write_file,
    text::{ColorWhen, quoted},
};

/// Shows everything about a process on the terminal, until a line is entered.
pub(super) fn inspect(pid: u32, has_color: bool, wake: BorrowedFd<'_>) {
    let color = match has_color {
        true => ColorWhen::Always,
        false => ColorWhen::Never,
    };
    let Ok(pid) = pid.to_string().parse() else {
        return;
    };
    let args = InspectArgs {
        pid,
        duration: None,
        color: ColorArgs { when: color },
    };
    if let Err(error) = inspect::run(&args) {
        stderr::fail(&error);
    }
    let mut stdout = io::stdout();
    let _ = stdout.write_all(b"\nPress Enter to go back to top. ");
    let _ = stdout.flush();
    let stdin = io::stdin();
    let mut fds = [
        PollFd::new(wake, PollFlags::POLLIN),
        PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
    ];
    while poll(&mut fds, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
    if fds[1].revents() == Some(PollFlags::POLLIN) {
        // What was typed is not for the screen.
        let _ = nix::sys::termios::tcflush(&stdin, nix::sys::termios::FlushArg::TCIFLUSH);
    }
}

/// Sends the signal; says what came of it.
pub(super) fn send(target: &HeldProcess, signal: i32) -> String {
    let name = Signal::try_from(signal).map_or("?", Signal::as_str);
    match target.send(signal) {
        Ok(()) => format!("{name} was sent to {}", target.pid),
        Err(error) => format!(
            "{name} could not be sent to {}: {}",
            target.pid,
            error.desc()
        ),
    }
}

/// The command that shows the zombies of a row without a screen.
///
/// `base`: the command that shows what the screen shows.
pub(super) fn equivalent(row: &TopRow, choice: &Choice, base: &str, is_replay: bool) -> String {
    let filter = match choice.filter.is_empty() {
        true => String::new(),
        false => format!(" --filter {}", quoted(&choice.filter.to_string())),
    };
    if is_replay {
        return format!("{base}{filter}");
    }
    let mut command = match (&row.content, row.pid) {
        (Content::Living(..), Some(pid)) => return format!("zombie-trace inspect {pid}"),
        _ => base.to_owned(),
    };
    let name = |comm: &crate::model::Comm| quoted(&comm.to_str());
    match (&row.content, row.pid, &row.comm) {
        (Content::Reaped(zombie), ..) => {
            if let Some(ppid) = zombie.ppid {
                command += &format!(" -P {ppid}");
            }
            command += &format!(" -n {}", name(&zombie.comm));
        }
        (_, Some(pid), _) => command += &format!(" -P {pid}"),
        (_, None, Some(comm)) if choice.view == View::Commands => {
            command += &format!(" -n {}", name(comm));
        }
        (_, None, Some(comm)) => command += &format!(" --parent-comm {}", name(comm)),
        (_, None, None) => {
            if let Some(container) = row.container() {
                command += &format!(" --container {}", quoted(container.name()));
            }
        }
    }
    command + &format!(" -m {}{filter}", threshold(choice.threshold))
}

/// A duration as the command line takes it.
fn threshold(ns: u64) -> String {
    match ns {
        0 => "0".to_owned(),
        ns if ns % 1_000_000 == 0 => format!("{}ms", ns / 1_000_000),
        ns => format!("{ns}ns"),
    }
}

/// What makes a terminal copy a text to its clipboard (OSC 52).
pub(super) fn copied(text: &str) -> Vec<u8> {
    format!("\x1b]52;c;{}\x07", BASE64.encode(text.as_bytes())).into_bytes()
}

/// Writes a row to a file in the current directory; says which, or what is wrong.
pub(super) fn export(row: &TopRow) -> String {
    let path = unused("zombie-trace-row", "json");
    let text = format!("{:#}\n", to_json(row));
    let shown = crate::text::path(&path);
    match write_file(&path, text.as_bytes()) {
        Ok(()) => format!("exported to {shown}"),
        Err(error) => format!("cannot write to {shown}: {error}"),
    }
}

fn to_json(row: &TopRow) -> serde_json::Value {
    let content = match &row.content {
        Content::Group(figures) => json!({
            "alive": figures.alive,
            "oldest_ns": figures.oldest,
            "reaped": figures.reaped,
            "pre_existing_reaped": figures.pre_existing,
            "autoreaped": figures.autoreaped,
            "reaped_per_second": figures.rate,
            "p50_ns": figures.p50,
            "p99_ns": figures.p99,
            "max_ns": figures.max,
            "zombie_time_per_second": figures.zombie_time,
        }),
        Content::Living(alive, age) => json!({ "alive": alive, "age_ns": age }),
        Content::Reaped(zombie) => json!({ "zombie": zombie }),
        Content::Ancestor => serde_json::Value::Null,
    };
    json!({
        "pid": row.pid,
        "comm": row.comm,
        "name": row.name,
        "container": row.container,
        "cause": row.found.as_ref().map(|found| found.cause),
        "cause_text": row.found.as_ref().and_then(|found| found.text.as_deref()),
        "advice": row.found.as_ref().and_then(|found| found.advice.as_deref()),
        "figures": content,
    })
}

/// A name in the current directory that no file has: with the local time.
pub(super) fn unused(stem: &str, extension: &str) -> PathBuf {
    let zone = jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC);
    let now = zone.to_datetime(jiff::Timestamp::now());
    let stem = format!("{stem}-{}", now.strftime("%Y%m%dT%H%M%S"));
    let first = PathBuf::from(format!("{stem}.{extension}"));
    let others = (2..).map(|number| PathBuf::from(format!("{stem}-{number}.{extension}")));
    std::iter::once(first)
        .chain(others)
        .find(|path| path.symlink_metadata().is_err())
        .expect("there is always another number")
}

/// Writes the page of a recording; says where, or what is wrong.
pub(super) fn page(recording: &Path) -> String {
    let path = unused("zombie-trace", "html");
    let args = ReportArgs {
        files: vec![recording.to_owned()],
        html: Some(path.clone()),
        ..ReportArgs::default()
    };
    match report::write_files(&args) {
        Ok(()) => format!("page written to {}", crate::text::path(&path)),
        Err(error) => crate::text::visible(&format!("{error:#}")),
    }
}

/// The command that lists the zombies of a scope.
pub(super) fn base_command(scope: &ScopeLine) -> String {
    let mut command = "zombie-trace".to_owned();
    for pid in &scope.pid {
        command += &format!(" -p {pid}");
    }
    for pid in &scope.ppid {
        command += &format!(" -P {pid}");
    }
    if let Some(pid) = scope.tree {
        command += &format!(" --tree {pid}");
    }
    if let Some(path) = &scope.cgroup {
        command += &format!(" -c {}", quoted(path));
    }
    for name in &scope.container {
        command += &format!(" --container {}", quoted(name));
    }
    command
}
