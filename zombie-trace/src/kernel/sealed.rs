//! Makes sure that whoever came by our descriptors could not change what the programs work with: they
//! follow addresses that they keep in their maps.

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use nix::libc;

use super::{KernelError, misses::number};
use crate::system::privilege;

/// What we still read from: records, and the states of processes.
const KEPT: [&str; 3] = ["EVENTS", "SLOTS", "DISPLACED"];

/// We write into it, by a mapping (how far the ring buffer is read): it can't be frozen.
const WRITTEN: &str = "EVENTS";

/// Lets no system call write to the maps any more, and closes those that only the programs use from
/// now on. Gives what all of them take of the kernel's memory, bytes.
pub(super) fn seal(ebpf: &mut Ebpf) -> Result<u64, KernelError> {
    let mut bytes = 0;
    let mut unused = Vec::new();
    for (name, map) in ebpf.maps() {
        let Some(fd) = data(map).map(|map| map.fd().as_fd()) else {
            continue;
        };
        bytes += memory_of(fd).unwrap_or(0);
        if !KEPT.contains(&name) {
            unused.push(name.to_owned());
        } else if name != WRITTEN {
            freeze(fd).map_err(|source| KernelError::io(format!("map {name}"), source))?;
        }
    }
    for name in unused {
        drop(ebpf.take_map(&name));
    }
    Ok(bytes)
}

/// Of the kinds of maps that we have.
fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data) => Some(data),
        _ => None,
    }
}

fn memory_of(fd: BorrowedFd<'_>) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let info = privilege::with_own_fdinfo(|| fs::read_to_string(path)).ok()?;
    number(&info, "memlock:")
}

/// `BPF_MAP_FREEZE` (since 5.2): the programs still write to it.
fn freeze(fd: BorrowedFd<'_>) -> io::Result<()> {
    const BPF_MAP_FREEZE: libc::c_int = 22;
    // As much of `union bpf_attr` as the command uses (include/uapi/linux/bpf.h).
    let map_fd: u32 = fd.as_raw_fd().cast_unsigned();
    // SAFETY: the attribute is valid and of the size that is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_FREEZE,
            &raw const map_fd,
            size_of_val(&map_fd),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
