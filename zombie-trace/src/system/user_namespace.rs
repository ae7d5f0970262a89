use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

/// Whether our user namespace is the one that the kernel asks for capabilities in.
pub(crate) fn in_initial_user_namespace() -> bool {
    /// `PROC_USER_INIT_INO` (include/linux/proc_ns.h)
    const INITIAL: u64 = 0xeffffffd;
    match fs::metadata("/proc/self/ns/user") {
        Ok(namespace) => namespace.ino() == INITIAL,
        // A kernel without user namespaces.
        Err(error) => {
            error.kind() == io::ErrorKind::NotFound && Path::new("/proc/self/ns").exists()
        }
    }
}
