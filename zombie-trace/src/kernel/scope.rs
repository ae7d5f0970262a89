use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::container::ContainerQuery;

/// Which processes a run is about, as the kernel side decides it. What is set must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only these processes.
    pub pids: Vec<u32>,
    /// Only children of these.
    pub ppids: Vec<u32>,
    /// Only descendants of this one, itself left out.
    pub tree: Option<u32>,
    /// Only processes in this cgroup v2 or below it.
    pub cgroup: Option<Cgroup>,
    /// Only processes in one of these containers, or in one that is nested in it.
    pub containers: Vec<ContainerQuery>,
}

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
        use std::os::unix::fs::MetadataExt as _;

        let directory = if is_cgroup2(path) {
            path.to_owned()
        } else {
            let mount = cgroup2_mount().ok_or_else(|| {
                io::Error::other("no cgroup v2 hierarchy is mounted on this machine")
            })?;
            let within = mount.join(path.strip_prefix("/").unwrap_or(path));
            if !is_cgroup2(&within) {
                return Err(io::Error::other(format!(
                    "it is no cgroup v2: neither a directory of the hierarchy at {} nor a path within it",
                    mount.display()
                )));
            }
            within
        };
        Ok(Self {
            id: fs::metadata(directory)?.ino(),
        })
    }
}

fn is_cgroup2(path: &Path) -> bool {
    nix::sys::statfs::statfs(path)
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
        && path.is_dir()
}

/// Where the cgroup v2 hierarchy is mounted.
pub fn cgroup2_mount() -> Option<PathBuf> {
    Cgroups::mounted().v2
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
    pub fn mounted() -> Self {
        Self::of(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    fn of(mountinfo: &str) -> Self {
        Self {
            v2: mount_point(mountinfo, "cgroup2"),
            v1: mount_point(mountinfo, "cgroup").is_some(),
        }
    }
}

/// The fifth field is the mount point; the type follows a lone dash (proc_pid_mountinfo(5)).
fn mount_point(mountinfo: &str, kind: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        (filesystem.split(' ').next() == Some(kind))
            .then(|| PathBuf::from(point.replace("\\040", " ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mount_among_others() {
        let mountinfo = "\
            24 1 0:22 / /sys rw - sysfs sysfs rw\n\
            31 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n\
            32 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let hybrid = Cgroups {
            v2: Some("/sys/fs/cgroup/unified".into()),
            v1: true,
        };
        assert_eq!(Cgroups::of(mountinfo), hybrid);
        let none = Cgroups {
            v2: None,
            v1: false,
        };
        assert_eq!(Cgroups::of("24 1 0:22 / /sys rw - sysfs sysfs rw\n"), none);
    }

    #[test]
    fn refuses_what_is_no_cgroup() {
        assert!(Cgroup::from_path(Path::new("/etc")).is_err());
        assert!(Cgroup::from_path(Path::new("/no/such/cgroup")).is_err());
    }
}
