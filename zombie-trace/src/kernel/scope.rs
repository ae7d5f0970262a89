use std::{
    fs, io,
    path::{Path, PathBuf},
};

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
    mount_point(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// The fifth field is the mount point; the type follows a lone dash (proc_pid_mountinfo(5)).
fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        filesystem
            .starts_with("cgroup2 ")
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
        assert_eq!(
            mount_point(mountinfo),
            Some("/sys/fs/cgroup/unified".into())
        );
        assert_eq!(mount_point("24 1 0:22 / /sys rw - sysfs sysfs rw\n"), None);
    }

    #[test]
    fn refuses_what_is_no_cgroup() {
        assert!(Cgroup::from_path(Path::new("/etc")).is_err());
        assert!(Cgroup::from_path(Path::new("/no/such/cgroup")).is_err());
    }
}
