//! What a process's descriptors tell: pidfds, signalfds, and who else holds a pipe.

use std::{
    fs,
    iter::successors,
    path::{Path, PathBuf},
};

use nix::libc;

use super::{ROOT, comm, directory, files, numbers_in};
use crate::cause::OtherProcess;

/// What matters of a process's descriptors.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    /// It has a signalfd for SIGCHLD; `None` if that can't be read.
    pub(super) has_signalfd: Option<bool>,
    /// The processes that it has pidfds of.
    pub(super) pidfds: Vec<u32>,
}

/// More descriptors are not looked at: each takes some µs.
const MOST: usize = 4096;
/// More processes are not searched for the other end of a pipe.
const MOST_PROCESSES: usize = 4096;

impl Descriptors {
    pub(super) fn read(process: &Path) -> Self {
        let Ok(mut numbers) = numbers_in(&process.join("fd")) else {
            return Self::default();
        };
        let all = numbers.len() <= MOST;
        numbers.truncate(MOST);
        let mut found = Self {
            has_signalfd: all.then_some(false),
            pidfds: Vec::new(),
        };
        for number in numbers {
            let Ok(target) = fs::read_link(process.join(format!("fd/{number}"))) else {
                continue;
            };
            let target = target.to_string_lossy();
            if !target.starts_with("anon_inode:[") && !target.starts_with("pidfd:") {
                continue;
            }
            let Ok(info) = fs::read_to_string(process.join(format!("fdinfo/{number}"))) else {
                continue;
            };
            let line = |key: &str| info.lines().find_map(|line| line.strip_prefix(key));
            if let Some(pid) = line("Pid:").and_then(|pid| pid.trim().parse().ok()) {
                found.pidfds.push(pid);
            }
            let mask = line("sigmask:").and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            if mask.is_some_and(|mask| mask >> (libc::SIGCHLD - 1) & 1 == 1) {
                found.has_signalfd = Some(true);
            }
        }
        found
    }
}

/// What a descriptor is read from.
pub(super) struct Channel {
    /// What the descriptors of its other end lead to.
    target: PathBuf,
    /// It is a pseudoterminal.
    pub(super) is_terminal: bool,
}

/// The pipe or pseudoterminal master behind a descriptor of a process.
pub(super) fn channel(process: &Path, fd: u32) -> Option<Channel> {
    let target = fs::read_link(process.join(format!("fd/{fd}"))).ok()?;
    let text = target.to_str()?;
    if text.starts_with("pipe:[") {
        return Some(Channel {
            target,
            is_terminal: false,
        });
    }
    if !text.ends_with("/ptmx") {
        return None;
    }
    let info = fs::read_to_string(process.join(format!("fdinfo/{fd}"))).ok()?;
    let index = info
        .lines()
        .find_map(|line| line.strip_prefix("tty-index:"))?;
    let index: u32 = index.trim().parse().ok()?;
    Some(Channel {
        target: format!("/dev/pts/{index}").into(),
        is_terminal: true,
    })
}

/// A process that can write to this, and that `reader` or a descendant of it can have made: it is younger,
/// and no ancestor. Others give the reader its input, which is no child's output.
pub(super) fn writer_of(channel: &Channel, reader: u32) -> Option<(OtherProcess, files::Stat)> {
    let stat = |pid| files::Stat::read(&directory(pid)).ok();
    let begin = stat(reader)?.start_ticks;
    let parent = |pid: &u32| Some(stat(*pid)?.ppid);
    // Few are so deep; a chain that changes meanwhile must not go on for ever.
    let ancestors: Vec<u32> = successors(Some(reader), parent).take(64).collect();
    let mounts = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let own_mounts = mounts(&directory(reader));
    let processes = numbers_in(Path::new(ROOT)).ok()?;
    let others = processes.into_iter().filter(|pid| !ancestors.contains(pid));
    others.take(MOST_PROCESSES).find_map(|pid| {
        let stat = stat(pid)?;
        let process = directory(pid);
        // A terminal of the same number in another mount namespace can be another one.
        if stat.start_ticks < begin || (channel.is_terminal && mounts(&process) != own_mounts) {
            return None;
        }
        let writes = holds_open(&process, channel);
        writes.then(|| Some((other(pid)?, stat))).flatten()
    })
}

/// Whether a process can write to this. Whoever reads what it can write to itself, such as a queue or a pipe
/// that wakes it, does not wait for the end of a child's output.
pub(super) fn holds_open(process: &Path, channel: &Channel) -> bool {
    let writes = |fd: &u32| {
        let target = fs::read_link(process.join(format!("fd/{fd}")));
        target.is_ok_and(|target| target == channel.target) && can_write(process, *fd)
    };
    let fds = numbers_in(&process.join("fd")).unwrap_or_default();
    fds.iter().take(MOST).any(writes)
}

/// `flags:` of fdinfo is octal; its last two bits are O_RDONLY, O_WRONLY or O_RDWR.
fn can_write(process: &Path, fd: u32) -> bool {
    let info = fs::read_to_string(process.join(format!("fdinfo/{fd}"))).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
}

/// A process as it is told of; `None` if it is gone.
pub(super) fn other(pid: u32) -> Option<OtherProcess> {
    Some(OtherProcess {
        pid,
        comm: comm(pid)?,
        wchan: files::wchan(&directory(pid)),
    })
}
