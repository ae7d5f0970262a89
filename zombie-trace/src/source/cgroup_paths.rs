use std::{
    collections::HashMap,
    fs::{self, File},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::kernel::cgroup2_mount;

/// Finds the path of a cgroup v2 by its id, and remembers it.
#[derive(Debug)]
pub struct CgroupPaths {
    mount: Option<(PathBuf, File)>,
    known: HashMap<u64, Arc<str>>,
}

impl CgroupPaths {
    /// As many paths are remembered at the most.
    const MAX_KNOWN: usize = 16_384;

    /// Without a cgroup v2 mount every path is unknown.
    pub fn new() -> Self {
        let mount = cgroup2_mount().and_then(|mount| {
            let directory = File::open(&mount).ok()?;
            Some((mount, directory))
        });
        Self {
            mount,
            known: HashMap::new(),
        }
    }

    /// The path within the hierarchy; `None` if the cgroup is gone or can't be looked up (which
    /// needs CAP_DAC_READ_SEARCH).
    pub fn path(&mut self, id: u64) -> Option<Arc<str>> {
        if let Some(path) = self.known.get(&id) {
            return Some(Arc::clone(path));
        }
        let (mount, directory) = self.mount.as_ref()?;
        let opened = open_by_id(directory.as_raw_fd(), id)?;
        let path = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).ok()?;
        let path: Arc<str> = within(mount, &path)?.into();
        if self.known.len() >= Self::MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(id, Arc::clone(&path));
        Some(path)
    }
}

impl Default for CgroupPaths {
    fn default() -> Self {
        Self::new()
    }
}

fn within(mount: &Path, path: &Path) -> Option<String> {
    let within = path.strip_prefix(mount).ok()?;
    Some(format!("/{}", within.to_string_lossy()))
}

/// `struct file_handle` (open_by_handle_at(2)) with an inode number of kernfs in it.
#[repr(C)]
struct KernfsHandle {
    bytes: u32,
    kind: i32,
    id: [u8; 8],
}

fn open_by_id(mount: RawFd, id: u64) -> Option<OwnedFd> {
    /// `FILEID_KERNFS` (include/linux/exportfs.h, since 5.5)
    const FILEID_KERNFS: i32 = 0xfe;
    let mut handle = KernfsHandle {
        bytes: 8,
        kind: FILEID_KERNFS,
        id: id.to_ne_bytes(),
    };
    // SAFETY: the handle is laid out as the system call expects it and says how long it is.
    let fd = unsafe {
        libc::open_by_handle_at(
            mount,
            (&raw mut handle).cast(),
            libc::O_PATH | libc::O_CLOEXEC,
        )
    };
    // SAFETY: a descriptor that was just opened and that nobody else has.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn cuts_the_mount_point_off() {
        let mount = Path::new("/sys/fs/cgroup");
        assert_eq!(within(mount, mount).as_deref(), Some("/"));
        assert_eq!(within(mount, &mount.join("a/b")).as_deref(), Some("/a/b"));
        assert_eq!(within(mount, Path::new("/elsewhere")), None);
    }

    #[test]
    fn finds_the_root_by_its_id() {
        let mut paths = CgroupPaths::new();
        let Some((_, directory)) = &paths.mount else {
            eprintln!("skipped: no cgroup v2 is mounted");
            return;
        };
        let id = directory.metadata().unwrap().ino();
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: looking cgroups up by id needs root");
            return;
        }
        assert_eq!(paths.path(id).as_deref(), Some("/"));
        assert_eq!(paths.path(u64::MAX), None);
    }
}
