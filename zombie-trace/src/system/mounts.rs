//! The mounts that this process sees.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// Where the kernel lists them.
pub(crate) const MOUNTINFO: &str = "/proc/self/mountinfo";

/// A mount. Its paths are any bytes: users mount FUSE file systems where they like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// What it shows at the top: a path within its file system.
    pub(crate) root: PathBuf,
    /// Where it is.
    pub(crate) point: PathBuf,
    /// The type of its file system.
    pub(crate) kind: String,
    /// The options of its file system.
    pub(crate) options: Vec<String>,
}

impl Mount {
    /// Where it shows a path of its file system; `None` if the path is not below its root.
    pub(crate) fn directory(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        let within = path.as_ref().strip_prefix(&self.root).ok()?;
        Some(self.point.join(within))
    }
}

/// All of them. A mount on top of another comes later.
///
/// # Errors
/// /proc does not show them.
pub(crate) fn read() -> io::Result<Vec<Mount>> {
    fs::read(MOUNTINFO).map(|bytes| parse(&bytes))
}

/// The fourth field is the root, the fifth the mount point; type, source and options follow a lone dash
/// (proc_pid_mountinfo(5)).
pub(crate) fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    let mount = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let root = path(fields.nth(3)?);
        let point = path(fields.next()?);
        fields.find(|field| *field == b"-")?;
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let kind = text(fields.next()?);
        let options = text(fields.nth(1).unwrap_or_default());
        Some(Mount {
            root,
            point,
            kind,
            options: options.split(',').map(str::to_owned).collect(),
        })
    };
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines.filter_map(mount).collect()
}

/// Bytes that would part fields are written in octal: `\040`.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let escaped = octal(after).filter(|_| *first == b'\\');
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            &after[3..]
        } else {
            after
        };
    }
    OsString::from_vec(bytes).into()
}

/// The byte of the three digits that a text starts with.
fn octal(text: &[u8]) -> Option<u8> {
    let digits = str::from_utf8(text.get(..3)?).ok()?;
    u8::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use super::*;

    #[test]
    fn fields_of_a_mount() {
        let mounts = parse(
            b"24 1 0:22 / /sys rw - sysfs sysfs rw\n\
              31 24 0:26 /a /mnt/with\\040blank rw,nosuid shared:9 master:1 - cgroup2 none rw,nsdelegate\n",
        );
        let [_, mount] = &*mounts else {
            panic!("{mounts:?}")
        };
        assert_eq!(mount.root, Path::new("/a"));
        assert_eq!(mount.point, Path::new("/mnt/with blank"));
        assert_eq!(mount.kind, "cgroup2");
        assert_eq!(mount.options, ["rw", "nsdelegate"]);
    }

    #[test]
    fn a_mount_shows_what_is_below_its_root() {
        let mounts = parse(
            b"31 24 0:26 /a /mnt/with\\040blank rw - cgroup2 cgroup2 rw\n\
              1 1 0:2 / /cg rw - cgroup2 none rw",
        );
        let [part, whole] = &*mounts else {
            panic!("{mounts:?}")
        };
        assert_eq!(part.directory("/a/b"), Some("/mnt/with blank/b".into()));
        assert_eq!(part.directory("/ab"), None);
        assert_eq!(whole.directory("/"), Some("/cg".into()));
        assert_eq!(whole.directory("/a b/c"), Some("/cg/a b/c".into()));
    }

    #[test]
    fn any_byte_can_be_in_a_path() {
        for (field, expected) in [
            (
                &b"/a\\040b\\011c\\012d\\134e\\043"[..],
                &b"/a b\tc\nd\\e#"[..],
            ),
            (b"/\\134040", b"/\\040"),
            (b"/\xff\xfe", b"/\xff\xfe"),
            (b"/a\\", b"/a\\"),
            (b"/a\\04", b"/a\\04"),
            (b"/a\\999", b"/a\\999"),
        ] {
            assert_eq!(path(field), Path::new(OsStr::from_bytes(expected)));
        }
    }

    #[test]
    fn no_mount_hides_the_others() {
        let mounts = parse(
            b"\n1\n2 1 0:3 / /home/u/\xff rw - fuse.x \xff rw,user_id=1000\n3 1 0:4 / /proc rw\n\
              4 1 0:4 / /proc rw - proc proc rw,hidepid=2\n",
        );
        let points: Vec<_> = mounts.iter().map(|mount| mount.kind.as_str()).collect();
        assert_eq!(points, ["fuse.x", "proc"]);
    }

    #[test]
    fn our_own() {
        let mounts = read().unwrap();
        assert!(mounts.iter().any(|mount| mount.kind == "proc"));
    }
}
