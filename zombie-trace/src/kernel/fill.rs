//! What the programs look up: the maps that are filled before they run.

use aya::{
    Ebpf,
    maps::{HashMap, LpmTrie, lpm_trie::Key},
};
use zombie_trace_common::{
    HOST_NAME_LEN,
    scope::{CGROUP_NAME_LEN, NamePattern},
};

use super::KernelError;
use crate::container::ContainerQuery;

pub(super) fn fill(ebpf: &mut Ebpf, name: &str, pids: &[u32]) -> Result<(), KernelError> {
    let refused = |error| KernelError::refused(format!("map {name}"), error);
    let map = ebpf
        .map_mut(name)
        .ok_or_else(|| KernelError::refused(format!("map {name}"), "the object lacks it"))?;
    let mut set: HashMap<_, u32, u8> = map.try_into().map_err(refused)?;
    for pid in pids {
        set.insert(pid, 1, 0).map_err(refused)?;
    }
    Ok(())
}

pub(super) fn fill_containers(
    ebpf: &mut Ebpf,
    names: &std::collections::HashMap<Vec<u8>, NamePattern>,
    containers: &[ContainerQuery],
) -> Result<(), KernelError> {
    const NAMES: &str = "map CONTAINER_NAMES";
    const HOSTS: &str = "map CONTAINER_HOSTS";
    let lacking = |name| KernelError::refused(name, "the object lacks it");
    let map = ebpf
        .map_mut("CONTAINER_NAMES")
        .ok_or_else(|| lacking(NAMES))?;
    let mut trie: LpmTrie<_, [u8; CGROUP_NAME_LEN], NamePattern> = map
        .try_into()
        .map_err(|error| KernelError::refused(NAMES, error))?;
    for (name, pattern) in names {
        let mut data = [0; CGROUP_NAME_LEN];
        data[..name.len()].copy_from_slice(name);
        trie.insert(&Key::new(name.len() as u32 * 8, data), pattern, 0)
            .map_err(|error| KernelError::refused(NAMES, error))?;
    }
    let map = ebpf
        .map_mut("CONTAINER_HOSTS")
        .ok_or_else(|| lacking(HOSTS))?;
    let mut hosts: HashMap<_, [u8; HOST_NAME_LEN], u8> = map
        .try_into()
        .map_err(|error| KernelError::refused(HOSTS, error))?;
    for container in containers {
        let mut name = [0; HOST_NAME_LEN];
        name[..container.as_str().len()].copy_from_slice(container.as_str().as_bytes());
        hosts
            .insert(name, 1, 0)
            .map_err(|error| KernelError::refused(HOSTS, error))?;
    }
    Ok(())
}
