use std::{collections::HashMap, fs, path::Path};

use super::{
    Proc, ROOT, directory,
    files::{self, Status},
    numbers_in,
};
use crate::system::cgroup2_mount;

/// A limit on the number of processes that zombies count against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What it is called.
    pub name: String,
    /// How many there may be.
    pub limit: u64,
    /// How many there are.
    pub used: u64,
}

impl Limit {
    /// How many more there may be.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl Proc {
    /// Reads limits, for several processes one after the other.
    pub fn limits(&self) -> Limits {
        Limits { threads: None }
    }
}

/// A reader of limits, which counts the threads of all users once.
#[derive(Debug)]
pub struct Limits {
    /// How many threads each user has.
    threads: Option<HashMap<u32, u64>>,
}

impl Limits {
    /// The limits that the children of a process count against, as far as they can be read: pid_max,
    /// `pids.max` of its cgroup v2 and those above, and RLIMIT_NPROC, which does not bind root.
    pub fn of(&mut self, pid: u32) -> Vec<Limit> {
        let mut limits: Vec<_> = pids().into_iter().collect();
        limits.extend(of_cgroups(pid));
        limits.extend(self.of_user(pid));
        limits
    }

    fn of_user(&mut self, pid: u32) -> Option<Limit> {
        let uid = Status::read(&directory(pid)).ok()?.number("Uid")?;
        if uid == 0 {
            return None;
        }
        let limits = fs::read_to_string(directory(pid).join("limits")).ok()?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max processes"))?;
        let limit = line.split_ascii_whitespace().next()?.parse().ok()?;
        let threads = self.threads.get_or_insert_with(threads_by_user);
        Some(Limit {
            name: format!("RLIMIT_NPROC of user {uid}"),
            limit,
            used: threads.get(&uid).copied()?,
        })
    }
}

fn threads_by_user() -> HashMap<u32, u64> {
    let mut threads = HashMap::new();
    for pid in numbers_in(Path::new(ROOT)).unwrap_or_default() {
        if let Ok(status) = Status::read(&directory(pid))
            && let Some(uid) = status.number("Uid")
        {
            *threads.entry(uid).or_default() += u64::from(status.number("Threads").unwrap_or(1));
        }
    }
    threads
}

/// The machine's own limit, pid_max, if it can be read.
pub fn pids() -> Option<Limit> {
    Some(Limit {
        name: "kernel.pid_max".to_owned(),
        limit: number("/proc/sys/kernel/pid_max")?,
        used: threads()?,
    })
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// All threads of the machine: `1.00 0.50 0.20 running/all last` (proc_loadavg(5)).
fn threads() -> Option<u64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let (_, all) = text.split(' ').nth(3)?.split_once('/')?;
    all.parse().ok()
}

fn of_cgroups(pid: u32) -> Vec<Limit> {
    let Some(mount) = cgroup2_mount() else {
        return Vec::new();
    };
    let Some(path) = files::cgroup(&directory(pid)) else {
        return Vec::new();
    };
    let group = mount.join(path.trim_start_matches('/'));
    group
        .ancestors()
        .take_while(|group| group.starts_with(&mount))
        .filter_map(|group| {
            let read = |file| number(group.join(file).to_str()?);
            // The file says `max` where there is none.
            Some(Limit {
                name: format!("pids.max of {}", group.display()),
                limit: read("pids.max")?,
                used: read("pids.current")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_limit() {
        let limits = Proc::open().unwrap().limits().of(std::process::id());
        let pid_max = &limits[0];
        assert_eq!(pid_max.name, "kernel.pid_max");
        assert!(pid_max.used > 0 && pid_max.left() > 0, "{pid_max:?}");
    }
}
