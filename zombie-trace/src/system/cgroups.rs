use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::mounts::{self, MOUNTINFO, Mount};

/// A cgroup v2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its directory's inode number, which is its id.
    pub id: u64,
}

impl Cgroup {
    /// From a directory of the cgroup v2 hierarchy, or from a path within it
    /// (`/system.slice/foo.service`), as /proc/PID/cgroup shows it.
    pub fn from_path(path: &Path) -> io::Result<Self> {
        Ok(Self {
            id: fs::metadata(Self::directory(path)?)?.ino(),
        })
    }

    /// Whether a process runs in it or below it. Zombies do not.
    pub fn is_populated(path: &Path) -> bool {
        let events = Self::directory(path).map(|directory| directory.join("cgroup.events"));
        let events = events.and_then(fs::read_to_string);
        // The root has no such file.
        !events.is_ok_and(|events| events.lines().any(|line| line == "populated 0"))
    }

    fn directory(path: &Path) -> io::Result<PathBuf> {
        let directory = if is_cgroup2(path) {
            path.to_owned()
        } else {
            let mount = Cgroups::read()?.v2.ok_or_else(no_hierarchy)?;
            let within = mount.join(path.strip_prefix("/").unwrap_or(path));
            if !is_cgroup2(&within) {
                return Err(io::Error::other(format!(
                    "no such cgroup v2: give a directory of the hierarchy at {0}, or a path \
                     within it",
                    mount.display()
                )));
            }
            within
        };
        Ok(directory)
    }
}

fn is_cgroup2(path: &Path) -> bool {
    nix::sys::statfs::statfs(path)
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
        && path.is_dir()
}

/// The processes of a cgroup v2 and of those below it, told by their cgroups' paths, as the kernel
/// side tells them by id.
#[derive(Debug)]
pub struct Subtree {
    cgroup: Cgroup,
    mount: Mount,
    known: HashMap<PathBuf, bool>,
}

impl Subtree {
    /// That of a cgroup which exists.
    ///
    /// # Errors
    /// No cgroup v2 hierarchy is mounted, or it can't be told.
    pub fn new(cgroup: Cgroup) -> io::Result<Self> {
        let hierarchy = mounts::read()?
            .into_iter()
            .find(|mount| mount.kind == "cgroup2");
        Ok(Self {
            cgroup,
            mount: hierarchy.ok_or_else(no_hierarchy)?,
            known: HashMap::new(),
        })
    }

    /// Whether a process is in it, given the path that /proc/PID/cgroup shows. A cgroup that has
    /// been removed is judged by the one above it: another one can have its name by now.
    pub fn contains(&mut self, path: &str, is_removed: bool) -> bool {
        let Some(mut directory) = self.mount.directory(path) else {
            return false;
        };
        if is_removed {
            directory.pop();
        }
        let (cgroup, mount) = (&self.cgroup, &self.mount.point);
        *self.known.entry(directory).or_insert_with_key(|directory| {
            directory
                .ancestors()
                .take_while(|directory| directory.starts_with(mount))
                .filter_map(|directory| fs::metadata(directory).ok())
                .any(|metadata| metadata.ino() == cgroup.id)
        })
    }
}

fn no_hierarchy() -> io::Error {
    io::Error::other("no cgroup v2 hierarchy is mounted on this machine")
}

/// Where the cgroup v2 hierarchy is mounted.
pub fn cgroup2_mount() -> Option<PathBuf> {
    Cgroups::read().ok()?.v2
}

/// How a machine's cgroups are mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cgroups {
    /// Where the v2 hierarchy is; containers are told by its paths alone.
    pub v2: Option<PathBuf>,
    /// There are v1 hierarchies, which the processes of containers can be in instead.
    pub v1: bool,
}

impl Cgroups {
    /// As this process sees it.
    ///
    /// # Errors
    /// /proc does not show our mounts.
    pub fn read() -> io::Result<Self> {
        let mounts = mounts::read()
            .map_err(|error| io::Error::new(error.kind(), format!("{MOUNTINFO}: {error}")))?;
        Ok(Self::of(&mounts))
    }

    fn of(mounts: &[Mount]) -> Self {
        let first = |kind| mounts.iter().find(|mount| mount.kind == kind);
        Self {
            v2: first("cgroup2").map(|mount| mount.point.clone()),
            v1: first("cgroup").is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mount_among_others() {
        let mountinfo = b"\
            24 1 0:22 / /sys rw - sysfs sysfs rw\n\
            31 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n\
            32 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let hybrid = Cgroups {
            v2: Some("/sys/fs/cgroup/unified".into()),
            v1: true,
        };
        assert_eq!(Cgroups::of(&mounts::parse(mountinfo)), hybrid);
        let none = Cgroups {
            v2: None,
            v1: false,
        };
        let mounts = mounts::parse(b"24 1 0:22 / /sys rw - sysfs sysfs rw\n");
        assert_eq!(Cgroups::of(&mounts), none);
    }

    #[test]
    fn refuses_what_is_no_cgroup() {
        assert!(Cgroup::from_path(Path::new("/etc")).is_err());
        assert!(Cgroup::from_path(Path::new("/no/such/cgroup")).is_err());
    }
}
