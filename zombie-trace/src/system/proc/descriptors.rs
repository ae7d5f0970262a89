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

/// The inode of the pipe that a descriptor of a process is.
pub(super) fn pipe(process: &Path, fd: u32) -> Option<PathBuf> {
    let target = fs::read_link(process.join(format!("fd/{fd}"))).ok()?;
    target.to_str()?.starts_with("pipe:[").then_some(target)
}

/// A process that can write to this pipe, and that `reader` or a descendant of it can have made: it is
/// younger, and no ancestor. Others give the reader its input, which is no child's output.
pub(super) fn writer_of(pipe: &Path, reader: u32) -> Option<OtherProcess> {
    let start = |pid| Some(files::Stat::read(&directory(pid)).ok()?.start_ticks);
    let begin = start(reader)?;
    let parent = |pid: &u32| Some(files::Stat::read(&directory(*pid)).ok()?.ppid);
    // Few are so deep; a chain that changes meanwhile must not go on for ever.
    let ancestors: Vec<u32> = successors(Some(reader), parent).take(64).collect();
    let processes = numbers_in(Path::new(ROOT)).ok()?;
    let others = processes.into_iter().filter(|pid| !ancestors.contains(pid));
    others.take(MOST_PROCESSES).find_map(|pid| {
        if start(pid)? < begin {
            return None;
        }
        let process = directory(pid);
        let fds = numbers_in(&process.join("fd")).ok()?;
        let writes = |fd: &u32| {
            let target = fs::read_link(process.join(format!("fd/{fd}")));
            target.is_ok_and(|target| target == pipe) && can_write(&process, *fd)
        };
        fds.iter().any(writes).then(|| other(pid)).flatten()
    })
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
