//! The kernel's BPF objects, by id.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
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
    match bpf(kind.next_id_command(), &mut attribute) {
        Ok(_) => Ok(Some(attribute.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(format!("bpf(GET_NEXT_ID) of {kind:?}: {error}")),
    }
}

/// bpf(2) with the part of `union bpf_attr` that the command uses.
fn bpf<A>(command: libc::c_long, attribute: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: `attribute` is valid and of the size that is given.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attribute, size_of::<A>()) };
    match result {
        ..0 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// The first value of each array map that has this name and values of this size.
pub(crate) fn first_values<const SIZE: usize>(
    maps: &BTreeSet<Object>,
    name: &str,
) -> Result<Vec<[u8; SIZE]>, String> {
    /// BPF_MAP_LOOKUP_ELEM, _GET_FD_BY_ID and BPF_OBJ_GET_INFO_BY_FD (include/uapi/linux/bpf.h).
    const LOOKUP: libc::c_long = 1;
    const GET_FD_BY_ID: libc::c_long = 14;
    const GET_INFO: libc::c_long = 15;
    /// The head of `struct bpf_map_info`.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        kind: u32,
        id: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
        name: [u8; 16],
    }
    let mut values = Vec::new();
    for map in maps.iter().filter(|object| object.kind == Kind::Map) {
        // It may be gone by now.
        let Ok(descriptor) = bpf(GET_FD_BY_ID, &mut [map.id, 0, 0]) else {
            continue;
        };
        // SAFETY: it is new, and nobody else's.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) };
        let number = descriptor.as_raw_fd() as u64;
        let mut info = Info::default();
        let length = size_of::<Info>() as u64;
        let address = (&raw mut info) as u64;
        bpf(GET_INFO, &mut [number | length << 32, address])
            .map_err(|error| format!("bpf(GET_INFO): {error}"))?;
        let length = info.name.iter().take_while(|byte| **byte != 0).count();
        if &info.name[..length] != name.as_bytes() || info.value_size as usize != SIZE {
            continue;
        }
        let (key, mut value) = (0u32, [0; SIZE]);
        let (key, target) = ((&raw const key) as u64, (&raw mut value) as u64);
        bpf(LOOKUP, &mut [number, key, target, 0])
            .map_err(|error| format!("bpf(LOOKUP) in {name}: {error}"))?;
        values.push(value);
    }
    Ok(values)
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

/// Those of a process: what it has descriptors of, and the maps of its programs, whose descriptors it may have
/// closed.
pub(crate) fn of(pid: u32) -> BTreeSet<Object> {
    let mut objects = held_by(pid);
    let programs: Vec<_> = objects
        .iter()
        .filter(|object| object.kind == Kind::Program)
        .map(|object| object.id)
        .collect();
    for id in programs {
        let kind = Kind::Map;
        objects.extend(maps_of(id).into_iter().map(|id| Object { kind, id }));
    }
    objects
}

/// The maps of a program; none if it is gone.
fn maps_of(program: u32) -> Vec<u32> {
    /// BPF_PROG_GET_FD_BY_ID and BPF_OBJ_GET_INFO_BY_FD (include/uapi/linux/bpf.h).
    const GET_FD_BY_ID: libc::c_long = 13;
    const GET_INFO: libc::c_long = 15;
    /// No program has more.
    const MOST: usize = 64;
    /// The head of `struct bpf_prog_info`.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        before: [u32; 13],
        maps: u32,
        map_ids: u64,
    }
    let Ok(descriptor) = bpf(GET_FD_BY_ID, &mut [program, 0, 0]) else {
        return Vec::new();
    };
    // SAFETY: it is new, and nobody else's.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) };
    let mut ids = [0_u32; MOST];
    let mut info = Info {
        maps: MOST as u32,
        map_ids: (&raw mut ids) as u64,
        ..Info::default()
    };
    let number = descriptor.as_raw_fd() as u64;
    let length = size_of::<Info>() as u64;
    let address = (&raw mut info) as u64;
    match bpf(GET_INFO, &mut [number | length << 32, address]) {
        Ok(_) => ids[..MOST.min(info.maps as usize)].to_vec(),
        Err(_) => Vec::new(),
    }
}

/// Those of any process, as [`of`] has them.
pub(crate) fn held_by_anyone() -> BTreeSet<Object> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .flat_map(of)
        .collect()
}

/// Has the kernel count how often programs run, until it is dropped.
pub(crate) struct Statistics {
    _descriptor: OwnedFd,
}

impl Statistics {
    /// From now on.
    pub(crate) fn count() -> Result<Self, String> {
        /// BPF_ENABLE_STATS, BPF_STATS_RUN_TIME (include/uapi/linux/bpf.h).
        const ENABLE_STATS: libc::c_long = 32;
        const RUN_TIME: u32 = 0;
        let descriptor = bpf(ENABLE_STATS, &mut [RUN_TIME])
            .map_err(|error| format!("bpf(ENABLE_STATS): {error}"))?;
        // SAFETY: it is new, and nobody else's.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) };
        Ok(Self {
            _descriptor: descriptor,
        })
    }
}

/// How often the programs that a process has descriptors of have run, by name, while that is counted.
pub(crate) fn runs_of(pid: u32) -> BTreeMap<String, u64> {
    let programs = descriptors(pid).filter_map(|info| {
        // Links have an id of a program, too.
        let runs = value(&info, "run_cnt:")?;
        let name = program_name(value(&info, "prog_id:")?)?;
        Some((name, u64::from(runs)))
    });
    programs.collect()
}

/// What a program is called, cut to 15 bytes; `None` if it is gone.
fn program_name(program: u32) -> Option<String> {
    /// BPF_PROG_GET_FD_BY_ID and BPF_OBJ_GET_INFO_BY_FD (include/uapi/linux/bpf.h).
    const GET_FD_BY_ID: libc::c_long = 13;
    const GET_INFO: libc::c_long = 15;
    /// The head of `struct bpf_prog_info`.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        before: [u64; 8],
        name: [u8; 16],
    }
    let descriptor = bpf(GET_FD_BY_ID, &mut [program, 0, 0]).ok()?;
    // SAFETY: it is new, and nobody else's.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) };
    let mut info = Info::default();
    let number = descriptor.as_raw_fd() as u64;
    let length = size_of::<Info>() as u64;
    let address = (&raw mut info) as u64;
    bpf(GET_INFO, &mut [number | length << 32, address]).ok()?;
    let length = info.name.iter().take_while(|byte| **byte != 0).count();
    Some(String::from_utf8_lossy(&info.name[..length]).into_owned())
}
