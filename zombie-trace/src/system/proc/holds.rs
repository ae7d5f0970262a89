//! What holds the processes of a cgroup back: the freezers of both versions, and limits of CPU time. A
//! machine can have both versions, and what holds a cgroup back may be set further up.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::files;
use crate::{
    cause::{CpuLimit, Frozen},
    system::mounts::{self, Mount},
};

/// The hierarchies that can hold processes back.
#[derive(Debug, Default)]
pub(super) struct Hierarchies {
    v2: Option<Mount>,
    /// The freezer of cgroup v1.
    freezer: Option<Mount>,
    /// The CPU controller of cgroup v1.
    cpu: Option<Mount>,
}

impl Hierarchies {
    /// Those that this process sees.
    pub(super) fn read() -> Self {
        Self::of(&mounts::read().unwrap_or_default())
    }

    fn of(mounts: &[Mount]) -> Self {
        let v1 = |controller: &str| {
            let has = |mount: &&Mount| {
                mount.kind == "cgroup" && mount.options.iter().any(|option| option == controller)
            };
            mounts.iter().find(has).cloned()
        };
        Self {
            v2: mounts.iter().find(|mount| mount.kind == "cgroup2").cloned(),
            freezer: v1("freezer"),
            cpu: v1("cpu"),
        }
    }

    /// What holds a process back, given its directory in /proc.
    pub(super) fn holds(&self, process: &Path) -> Holds {
        let Ok(bytes) = files::read(&process.join("cgroup")) else {
            return Holds::default();
        };
        let text = String::from_utf8_lossy(&bytes);
        let levels = |mount: &Option<Mount>, controller| {
            let path = path_of(&text, controller);
            mount.as_ref().zip(path).map_or_else(Vec::new, levels)
        };
        let v2 = levels(&self.v2, None);
        let frozen = || frozen_v2(&v2);
        let freezer = || frozen_v1(&levels(&self.freezer, Some("freezer")));
        let cpu = || limit(&levels(&self.cpu, Some("cpu")), "cpu.cfs_quota_us", "-1");
        Holds {
            frozen: frozen().or_else(freezer),
            cpu_limit: limit(&v2, "cpu.max", "max").or_else(cpu),
        }
    }
}

/// What holds a process back.
#[derive(Debug, Default)]
pub(super) struct Holds {
    pub(super) frozen: Option<Frozen>,
    pub(super) cpu_limit: Option<CpuLimit>,
}

/// The path of a cgroup in the hierarchy of a v1 controller, or in that of v2
/// (`ID:CONTROLLERS:PATH`, cgroups(7)).
fn path_of<'a>(text: &'a str, controller: Option<&str>) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match controller {
            None => id == "0" && controllers.is_empty(),
            Some(wanted) => controllers.split(',').any(|name| name == wanted),
        };
        is_it.then(|| path.strip_suffix(" (deleted)").unwrap_or(path))
    })
}

/// The directories of a cgroup and of those above it.
fn levels((mount, path): (&Mount, &str)) -> Vec<PathBuf> {
    let Some(directory) = mount.directory(path) else {
        return Vec::new();
    };
    let ancestors = directory.ancestors();
    let within = ancestors.take_while(|level| level.starts_with(&mount.point));
    within.map(Path::to_owned).collect()
}

fn text(level: &Path, file: &str) -> Option<String> {
    fs::read_to_string(level.join(file)).ok()
}

/// Of those levels whose file has this value: another file of each.
fn files_where(levels: &[PathBuf], file: &str, value: &str, other: &str) -> Vec<String> {
    let has_it = |level: &&PathBuf| text(level, file).is_some_and(|text| text.trim() == value);
    let found = levels.iter().filter(has_it);
    found
        .map(|level| level.join(other).display().to_string())
        .collect()
}

fn frozen_v2(levels: &[PathBuf]) -> Option<Frozen> {
    let events = text(levels.first()?, "cgroup.events")?;
    let is_frozen = events.lines().any(|line| line == "frozen 1");
    is_frozen.then(|| Frozen {
        files: files_where(levels, "cgroup.freeze", "1", "cgroup.freeze"),
        thaw: "0",
    })
}

fn frozen_v1(levels: &[PathBuf]) -> Option<Frozen> {
    let state = text(levels.first()?, "freezer.state")?;
    (state.trim() == "FROZEN").then(|| Frozen {
        files: files_where(levels, "freezer.self_freezing", "1", "freezer.state"),
        thaw: "THAWED",
    })
}

/// The limit that has held its processes back most often.
fn limit(levels: &[PathBuf], file: &str, none: &str) -> Option<CpuLimit> {
    let limits = levels.iter().filter_map(|level| {
        if text(level, file)?.starts_with(none) {
            return None;
        }
        let stat = text(level, "cpu.stat")?;
        let mut lines = stat.lines();
        let throttled = lines.find_map(|line| line.strip_prefix("nr_throttled "))?;
        Some(CpuLimit {
            file: level.join(file).display().to_string(),
            throttled: throttled.parse().ok()?,
        })
    });
    limits.max_by_key(|limit| limit.throttled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"\
        31 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        32 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 24 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
        34 24 0:29 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n";

    #[test]
    fn each_hierarchy_has_a_path_of_its_own() {
        let text =
            "9:name=systemd:/\n6:freezer:/a\n2:cpuset:/c\n1:cpuacct,cpu:/b:1\n0::/x (deleted)\n";
        assert_eq!(path_of(text, Some("freezer")), Some("/a"));
        assert_eq!(path_of(text, Some("cpu")), Some("/b:1"));
        assert_eq!(path_of(text, Some("pids")), None);
        assert_eq!(path_of(text, None), Some("/x"));
        let found = Hierarchies::of(&mounts::parse(MOUNTS));
        let point = |mount: Option<Mount>| mount.unwrap().point;
        assert_eq!(point(found.cpu), Path::new("/sys/fs/cgroup/cpu"));
        assert_eq!(point(found.freezer), Path::new("/sys/fs/cgroup/freezer"));
    }

    #[test]
    fn a_cgroup_is_within_those_above_it() {
        let mounts = mounts::parse(MOUNTS);
        assert_eq!(
            levels((&mounts[0], "/a/b")),
            [
                Path::new("/sys/fs/cgroup/unified/a/b"),
                Path::new("/sys/fs/cgroup/unified/a"),
                Path::new("/sys/fs/cgroup/unified"),
            ]
        );
    }

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let directory = tempfile::tempdir().unwrap();
        let above = directory.path().join("a");
        let own = above.join("b");
        fs::create_dir_all(&own).unwrap();
        for (file, text) in files {
            fs::write(above.join(file), text).unwrap();
        }
        (directory, vec![own, above])
    }

    #[test]
    fn what_froze_it_can_be_above_it() {
        let (_directory, levels) = tree(&[
            ("b/cgroup.events", "populated 1\nfrozen 1\n"),
            ("b/cgroup.freeze", "0\n"),
            ("cgroup.freeze", "1\n"),
            ("b/freezer.state", "FROZEN\n"),
            ("b/freezer.self_freezing", "1\n"),
            ("freezer.self_freezing", "1\n"),
        ]);
        let file = |level: usize, name| levels[level].join(name).display().to_string();
        let v2 = Frozen {
            files: vec![file(1, "cgroup.freeze")],
            thaw: "0",
        };
        assert_eq!(frozen_v2(&levels), Some(v2));
        let v1 = Frozen {
            files: vec![file(0, "freezer.state"), file(1, "freezer.state")],
            thaw: "THAWED",
        };
        assert_eq!(frozen_v1(&levels), Some(v1));
        assert_eq!(frozen_v2(&[]), None);
    }

    #[test]
    fn the_limit_that_bites_is_named() {
        let (_directory, levels) = tree(&[
            ("b/cpu.max", "max 100000\n"),
            ("b/cpu.stat", "nr_throttled 9\n"),
            ("cpu.max", "2000 100000\n"),
            ("cpu.stat", "nr_periods 8\nnr_throttled 7\n"),
            ("cpu.cfs_quota_us", "-1\n"),
        ]);
        let found = limit(&levels, "cpu.max", "max").unwrap();
        assert_eq!(found.file, levels[1].join("cpu.max").display().to_string());
        assert_eq!(found.throttled, 7);
        assert_eq!(limit(&levels, "cpu.cfs_quota_us", "-1"), None);
    }
}
