//! The kernel's BPF objects, by id.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A program.
    Program,
    /// A map.
    Map,
    /// A link.
    Link,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Program, Self::Map, Self::Link];

    /// BPF_{PROG,MAP,LINK}_GET_NEXT_ID (include/uapi/linux/bpf.h).
    fn next_id_command(self) -> libc::c_long {
        match self {
            Self::Program => 11,
            Self::Map => 12,
            Self::Link => 31,
        }
    }

    /// Its line in /proc/PID/fdinfo/FD.
    fn fdinfo_key(self) -> &'static str {
        match self {
            Self::Program => "prog_id:",
            Self::Map => "map_id:",
            Self::Link => "link_id:",
        }
    }
}

/// An object of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    /// What it is.
    pub(crate) kind: Kind,
    id: u32,
}

/// All that there are.
pub(crate) fn all() -> Result<BTreeSet<Object>, String> {
    let mut objects = BTreeSet::new();
    for kind in Kind::ALL {
        let mut id = 0;
        while let Some(next) = next_id(kind, id)? {
            objects.insert(Object { kind, id: next });
            id = next;
        }
    }
    Ok(objects)
}

fn next_id(kind: Kind, start: u32) -> Result<Option<u32>, String> {
    /// The part of `union bpf_attr` that GET_NEXT_ID uses.
    #[repr(C)]
    struct Attribute {
        start_id: u32,
        next_id: u32,
        open_flags: u32,
    }
    let mut attribute = Attribute {
        start_id: start,
        next_id: 0,
        open_flags: 0,
    };
    // SAFETY: `attribute` is valid and of the size that is given.
    let result = unsafe {
        let size = size_of::<Attribute>();
        libc::syscall(
            libc::SYS_bpf,
            kind.next_id_command(),
            &raw mut attribute,
            size,
        )
    };
    let error = io::Error::last_os_error();
    match result {
        0 => Ok(Some(attribute.next_id)),
        _ if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        _ => Err(format!("bpf(GET_NEXT_ID) of {kind:?}: {error}")),
    }
}

/// `enum bpf_prog_type` (include/uapi/linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramType(u32);

impl ProgramType {
    /// On kprobes and kretprobes.
    pub(crate) const KPROBE: Self = Self(2);
    /// On tracepoints of tracefs, such as those of system calls.
    pub(crate) const TRACEPOINT: Self = Self(5);
    /// On BTF tracepoints and functions, and iterators.
    pub(crate) const TRACING: Self = Self(26);
}

/// The programs that a process has descriptors of: their types, by id.
pub(crate) fn programs_of(pid: u32) -> BTreeMap<u32, ProgramType> {
    descriptors(pid)
        .filter(|info| value(info, "link_id:").is_none())
        .filter_map(|info| {
            Some((
                value(&info, "prog_id:")?,
                ProgramType(value(&info, "prog_type:")?),
            ))
        })
        .collect()
}

/// The programs of the links that a process has descriptors of: their ids.
pub(crate) fn linked_programs_of(pid: u32) -> Vec<u32> {
    descriptors(pid)
        .filter(|info| value(info, "link_id:").is_some())
        .filter_map(|info| value(&info, "prog_id:"))
        .collect()
}

/// The texts in /proc/PID/fdinfo.
pub(crate) fn descriptors(pid: u32) -> impl Iterator<Item = String> {
    fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|descriptor| fs::read_to_string(descriptor.path()).ok())
}

fn value(info: &str, key: &str) -> Option<u32> {
    let line = info.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().parse().ok()
}

/// Those that a process has descriptors of.
pub(crate) fn held_by(pid: u32) -> BTreeSet<Object> {
    let mut objects = BTreeSet::new();
    for info in descriptors(pid) {
        for kind in Kind::ALL {
            if let Some(id) = value(&info, kind.fdinfo_key()) {
                objects.insert(Object { kind, id });
            }
        }
    }
    objects
}

/// Those that any process has descriptors of.
pub(crate) fn held_by_anyone() -> BTreeSet<Object> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .flat_map(held_by)
        .collect()
}
