use std::{
    fs::{self, File},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::fs::{DirEntryExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use foldhash::{HashMap, HashSet};
use nix::errno::Errno;

use crate::{
    container::Container,
    system::{cgroup2_mount, crowd},
};

/// Finds a cgroup v2 by its id, and remembers it.
#[derive(Debug)]
pub struct CgroupPaths {
    mount: Option<(PathBuf, File)>,
    known: HashMap<u64, Remembered>,
    /// How often one was added or asked for.
    uses: u64,
    /// Those that could not be found: they are gone for good, or we may not look.
    lacking: HashSet<u64>,
    /// The kernel's paths begin where ours do.
    from_root: bool,
    /// We may not look cgroups up, and have said so.
    denied: bool,
}

#[derive(Debug)]
struct Remembered {
    cgroup: KnownCgroup,
    last_use: u64,
}

/// A cgroup v2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCgroup {
    /// The path within the hierarchy.
    pub path: Arc<str>,
    /// The container whose it is.
    pub container: Option<Container>,
}

impl From<&str> for KnownCgroup {
    fn from(path: &str) -> Self {
        Self {
            container: Container::of_path(path),
            path: path.into(),
        }
    }
}

impl CgroupPaths {
    /// As many are remembered at the most.
    const MAX_KNOWN: usize = 16_384;

    /// Without a cgroup v2 mount every path is unknown.
    pub fn new() -> Self {
        let mount = cgroup2_mount().and_then(|mount| {
            let directory = File::open(&mount).inspect_err(|error| {
                log::warn!(
                    "the paths of cgroups stay unknown: {}: {error}",
                    mount.display()
                );
            });
            Some((mount, directory.ok()?))
        });
        Self {
            mount,
            known: HashMap::default(),
            uses: 0,
            lacking: HashSet::default(),
            from_root: sees_root(),
            denied: false,
        }
    }

    /// Takes in the containers' cgroups that there are.
    pub fn add_containers(&mut self) {
        let Some(mount) = self.mount.as_ref().map(|(mount, _)| mount.clone()) else {
            return;
        };
        let mut directories = vec![(mount, String::new())];
        while let Some((directory, path)) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let path = format!("{path}/{}", entry.file_name().to_string_lossy());
                let cgroup = KnownCgroup::from(&*path);
                if cgroup.container.is_some() && self.known.len() < Self::MAX_KNOWN {
                    self.remember(entry.ino(), cgroup);
                }
                directories.push((entry.path(), path));
            }
        }
    }

    /// The paths that are known.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.known.values().map(|known| &*known.cgroup.path)
    }

    /// Takes in a cgroup that was made just now, given its path from the root of the hierarchy.
    pub fn add_new(&mut self, id: u64, path: &str) {
        if self.from_root {
            self.remember(id, path.into());
        }
    }

    /// The cgroup; `None` if it is gone or can't be looked up (which needs CAP_DAC_READ_SEARCH).
    pub fn find(&mut self, id: u64) -> Option<&KnownCgroup> {
        if !self.known.contains_key(&id) && !self.lacking.contains(&id) {
            match self.look_up(id) {
                Some(found) => self.remember(id, found),
                None => self.lacks(id),
            }
        }
        self.uses += 1;
        let known = self.known.get_mut(&id)?;
        known.last_use = self.uses;
        Some(&known.cgroup)
    }

    fn look_up(&mut self, id: u64) -> Option<KnownCgroup> {
        let (mount, directory) = self.mount.as_ref()?;
        let opened = match open_by_id(directory.as_raw_fd(), id) {
            Ok(opened) => opened,
            Err(Errno::EPERM) if !self.denied => {
                self.denied = true;
                log::info!(
                    "some cgroups stay without a path: this process does not have \
                     CAP_DAC_READ_SEARCH (any more)"
                );
                return None;
            }
            // Mostly it is gone.
            Err(_) => return None,
        };
        let path = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).ok()?;
        Some(within(mount, &path)?.as_str().into())
    }

    fn remember(&mut self, id: u64, cgroup: KnownCgroup) {
        if self.known.len() >= Self::MAX_KNOWN {
            let mount = self.mount.as_ref().map(|(mount, _)| mount.clone());
            self.make_room(|id, path| {
                let Some(mount) = &mount else { return false };
                let directory = fs::symlink_metadata(mount.join(path.trim_start_matches('/')));
                directory.is_ok_and(|directory| directory.ino() == id)
            });
        }
        self.lacking.remove(&id);
        self.uses += 1;
        let last_use = self.uses;
        self.known.insert(id, Remembered { cgroup, last_use });
    }

    /// Forgets cgroups that are gone, the least recently used first. If there are too few of those,
    /// whoever has made the most cgroups gives way.
    fn make_room(&mut self, exists: impl Fn(u64, &str) -> bool) {
        const SOME: usize = CgroupPaths::MAX_KNOWN / 4;
        const FEW: usize = CgroupPaths::MAX_KNOWN / 16;
        let gone = self
            .known
            .iter()
            .filter(|(id, known)| !exists(**id, &known.cgroup.path));
        let gone: Vec<_> = gone.map(|(id, known)| (known.last_use, *id)).collect();
        // Records of those that went just now are still to come.
        let some = SOME.min(gone.len().div_ceil(2));
        self.forget_oldest(gone, some);
        if self.known.len() + FEW <= Self::MAX_KNOWN {
            return;
        }
        let (crowded, number) = crowd::largest(self.paths(), Self::MAX_KNOWN / 8);
        let in_crowd = self
            .known
            .iter()
            .filter(|(_, known)| crowd::is_within(&known.cgroup.path, crowded));
        let in_crowd = in_crowd.map(|(id, known)| (known.last_use, *id)).collect();
        self.forget_oldest(in_crowd, number.div_ceil(2));
    }

    fn forget_oldest(&mut self, mut candidates: Vec<(u64, u64)>, number: usize) {
        candidates.sort_unstable();
        for (_, id) in candidates.into_iter().take(number) {
            self.known.remove(&id);
        }
    }

    /// Apart from those that are known, so that they push no names out.
    fn lacks(&mut self, id: u64) {
        if self.lacking.len() >= Self::MAX_KNOWN {
            self.lacking.clear();
        }
        self.lacking.insert(id);
    }
}

impl Default for CgroupPaths {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the root of the mounted hierarchy is the kernel's: not in a cgroup namespace of its own.
fn sees_root() -> bool {
    /// The initial cgroup namespace's (`PROC_CGROUP_INIT_INO`, include/linux/proc_ns.h).
    const INITIAL: u64 = 0xefff_fffb;
    fs::metadata("/proc/self/ns/cgroup").is_ok_and(|namespace| namespace.ino() == INITIAL)
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

fn open_by_id(mount: RawFd, id: u64) -> Result<OwnedFd, Errno> {
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
    let fd = Errno::result(fd)?;
    // SAFETY: a descriptor that was just opened and that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_the_mount_point_off() {
        let mount = Path::new("/sys/fs/cgroup");
        assert_eq!(within(mount, mount).as_deref(), Some("/"));
        assert_eq!(within(mount, &mount.join("a/b")).as_deref(), Some("/a/b"));
        assert_eq!(within(mount, Path::new("/elsewhere")), None);
    }

    #[test]
    fn cgroups_that_are_gone_push_no_names_out() {
        let mut paths = CgroupPaths::new();
        paths.from_root = true;
        paths.add_new(1, "/a");
        for gone in 0..2 * CgroupPaths::MAX_KNOWN as u64 {
            assert_eq!(paths.find(u64::MAX - gone), None);
        }
        assert_eq!(paths.find(1), Some(&KnownCgroup::from("/a")));
        assert!(paths.lacking.len() <= CgroupPaths::MAX_KNOWN);
        // One that is made later can have the number of one that was asked for too early.
        paths.add_new(u64::MAX, "/b");
        assert_eq!(paths.find(u64::MAX), Some(&KnownCgroup::from("/b")));
    }

    fn full_of(path: impl Fn(u64) -> String) -> CgroupPaths {
        let mut paths = CgroupPaths::new();
        // Nothing of this machine's.
        paths.known.clear();
        paths.from_root = true;
        for id in 1..=CgroupPaths::MAX_KNOWN as u64 {
            paths.add_new(id, &path(id));
        }
        paths
    }

    #[test]
    fn what_exists_outlives_a_flood_of_short_lived_cgroups() {
        let mut paths = full_of(|id| match id {
            1..=100 => format!("/system/docker-{id}"),
            _ => format!("/user/mallory/{id}"),
        });
        for id in 1..=4 * CgroupPaths::MAX_KNOWN as u64 {
            if paths.known.len() >= CgroupPaths::MAX_KNOWN {
                paths.make_room(|id, _| id <= 100);
            }
            paths.add_new(u64::MAX - id, "/user/mallory/more");
            // The newest is not forgotten before its record can come.
            assert!(paths.known.contains_key(&(u64::MAX - id.max(1000) + 999)) || id < 1000);
        }
        assert!((1..=100).all(|id| paths.known.contains_key(&id)));
        assert!(paths.known.len() <= CgroupPaths::MAX_KNOWN);
    }

    #[test]
    fn whoever_makes_most_cgroups_gives_way() {
        let mut paths = full_of(|id| match id {
            1..=100 => format!("/system/docker-{id}"),
            101..=3000 => format!("/user/alice/{id}"),
            _ => format!("/user/mallory/{}/{id}", id % 7),
        });
        for id in 0..4 * CgroupPaths::MAX_KNOWN as u64 {
            if paths.known.len() >= CgroupPaths::MAX_KNOWN {
                paths.make_room(|_, _| true);
            }
            paths.add_new(u64::MAX - id, &format!("/user/mallory/x/{id}"));
        }
        assert!((1..=3000).all(|id| paths.known.contains_key(&id)));
        assert!(paths.known.len() <= CgroupPaths::MAX_KNOWN);
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
        assert_eq!(paths.find(id), Some(&KnownCgroup::from("/")));
        assert_eq!(paths.find(u64::MAX), None);
    }
}
