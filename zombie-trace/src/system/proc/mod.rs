//! What /proc shows of zombies and their parents. [`Proc`] is the way in: it knows whose processes
//! that /proc shows. Without privileges it shows less: what a parent is blocked in needs
//! CAP_SYS_PTRACE.

mod clock;
mod descriptors;
mod existing;
mod files;
mod findings;
mod holds;
mod language_runtime;
mod limits;
mod parents;
mod patient;
mod unended;
mod view;

pub use clock::run_queue_clocks;
pub use existing::Existing;
pub use findings::Findings;
pub use limits::{Limit, pids};
pub use parents::Parents;
pub use unended::{Rest, UnendedProcess, since_last_run};
pub use view::{Gap, Proc, ProcError};

use std::{
    collections::HashMap,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

use crate::{cause::Frozen, model::Comm};

/// Where a procfs belongs.
const ROOT: &str = "/proc";

impl Proc {
    /// The path of a process's cgroup v2.
    pub fn cgroup(&self, pid: u32) -> Option<String> {
        files::cgroup(&directory(pid))
    }

    /// What froze the cgroup of a process, if it is frozen.
    pub fn frozen(&self, pid: u32) -> Option<Frozen> {
        holds::Hierarchies::read().holds(&directory(pid)).frozen
    }

    /// The process that a process or thread number belongs to, if /proc shows it.
    pub fn process_of(&self, tid: u32) -> Option<u32> {
        files::Status::read(&directory(tid)).ok()?.number("Tgid")
    }

    /// A process, its parent, and so on: pid and name.
    pub fn ancestors(&self, pid: u32) -> Vec<(u32, Comm)> {
        let mut ancestors = Vec::new();
        let mut next = pid;
        while next != 0
            && ancestors.iter().all(|(pid, _)| *pid != next)
            && let Ok(stat) = files::Stat::read(&directory(next))
        {
            ancestors.push((next, stat.comm));
            next = stat.ppid;
        }
        ancestors
    }

    /// The name of a thread.
    pub fn thread_comm(&self, pid: u32, tid: u32) -> Option<Comm> {
        let thread = directory(pid).join("task").join(tid.to_string());
        Some(files::Stat::read(&thread).ok()?.comm)
    }

    /// Which of these processes has this number in a pid namespace so many levels below ours.
    pub fn numbered(&self, number: u32, level: usize, among: &[u32]) -> Option<u32> {
        let has_it = |pid: &&u32| {
            let status = files::Status::read(&directory(**pid));
            status.is_ok_and(|status| status.numbers("NSpid").get(level) == Some(&number))
        };
        among.iter().find(has_it).copied()
    }

    /// The children of a process that live, and those that are zombies.
    ///
    /// # Errors
    /// /proc can't be listed.
    pub fn children(&self, pid: u32) -> io::Result<(Vec<u32>, Vec<u32>)> {
        let mut children: Vec<(u32, u8)> = numbers_in(Path::new(ROOT))?
            .into_iter()
            .filter_map(|child| {
                let stat = files::Stat::read(&directory(child)).ok()?;
                (stat.ppid == pid).then_some((child, stat.state))
            })
            .collect();
        children.sort_unstable();
        let (zombies, living): (Vec<_>, Vec<_>) =
            children.into_iter().partition(|(_, state)| *state == b'Z');
        let pids = |children: Vec<(u32, u8)>| children.into_iter().map(|(pid, _)| pid).collect();
        Ok((pids(living), pids(zombies)))
    }

    /// The parent of every process that there is.
    ///
    /// # Errors
    /// /proc can't be listed.
    pub fn parents_of_all(&self) -> io::Result<HashMap<u32, u32>> {
        let parent = |pid| Some((pid, files::Stat::read(&directory(pid)).ok()?.ppid));
        Ok(numbers_in(Path::new(ROOT))?
            .into_iter()
            .filter_map(parent)
            .collect())
    }
}

/// The command line of a process, its arguments parted by spaces; `None` if there is none of this name,
/// or it has none. Its owner can set it to anything.
pub fn command_line(pid: u32, name: Comm) -> Option<String> {
    /// A run must not stand still for longer.
    const PATIENCE: Duration = Duration::from_millis(250);
    patient::within(PATIENCE, move || read_command_line(pid, name))?
}

fn read_command_line(pid: u32, name: Comm) -> Option<String> {
    /// Longer ones are cut: nobody reads them, and each costs.
    const LONGEST: u64 = 4096;
    let directory = directory(pid);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(directory.join("cmdline")).ok()?;
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let now = std::fs::read(directory.join("comm")).ok()?;
    if Comm::from_bytes(now.strip_suffix(b"\n").unwrap_or(&now)) != name {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether there is such a process or thread, as the kernel says it: whatever /proc shows.
pub fn exists(pid: u32) -> bool {
    kill(Pid::from_raw(pid.cast_signed()), None) != Err(Errno::ESRCH)
}

fn directory(pid: u32) -> PathBuf {
    Path::new(ROOT).join(pid.to_string())
}

/// The process of a pid: its name.
fn comm(pid: u32) -> Option<Comm> {
    let stat = files::Stat::read(&directory(pid)).ok()?;
    Some(stat.comm)
}

/// Whether a file of /proc could not be read because its process is gone.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// The numbers that a directory's entries are named by.
fn numbers_in(directory: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(numbers)
}
