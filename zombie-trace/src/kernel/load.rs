//! Loading the programs: their globals, and the sizes of their maps.

use std::{fs, os::unix::fs::MetadataExt as _};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData},
};
use zombie_trace_common::scope as scope_bits;

use super::{
    Config, KernelError,
    facts::KernelFacts,
    fill::{fill, fill_containers},
    mapping::MappedArray,
    object, slots,
};
use crate::{
    container,
    system::{OURS, pid_max},
};

/// The initial pid namespace's inode number (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PIDNS: u32 = 0xeffffffc;

pub(super) fn load(
    loader: EbpfLoader<'static>,
    config: &Config,
    btf: &aya::Btf,
    facts: &KernelFacts,
) -> Result<Ebpf, KernelError> {
    let Config { scope, .. } = config;
    let tests = [
        (scope_bits::PIDS, !scope.pids.is_empty()),
        (scope_bits::PPIDS, !scope.ppids.is_empty()),
        (scope_bits::TREE, scope.tree.is_some()),
        (scope_bits::CGROUP, scope.cgroup.is_some()),
        (scope_bits::CONTAINER, !scope.containers.is_empty()),
    ];
    let scope_tests: u32 = tests
        .iter()
        .filter(|(_, set)| *set)
        .map(|(bit, _)| bit)
        .sum();
    let names = container::patterns(&scope.containers);
    let tree_root = scope.tree.unwrap_or(0);
    let cgroup_id = scope.cgroup.as_ref().map_or(0, |cgroup| cgroup.id);
    let exit_has_group_dead = u8::from(facts.exit_has_group_dead);
    let exit_can_be_skipped = u8::from(facts.exit_can_be_skipped);
    let has_typed_current = u8::from(facts.has_typed_current);
    let has_compare_exchange = u8::from(facts.has_compare_exchange);
    let slots = slots::number(config.max_zombies);
    let slots_mask = slots - 1;
    let wakeup_bytes = u64::from(config.buffer / 4);
    let log_level = if config.debug {
        aya_log::Level::Debug as u8
    } else {
        0
    };
    let tracer_pidns = match fs::metadata("/proc/self/ns/pid") {
        Ok(namespace) if namespace.ino() == u64::from(INITIAL_PIDNS) => 0,
        Ok(namespace) => namespace.ino() as u32,
        Err(source) => return Err(KernelError::io("/proc/self/ns/pid", source)),
    };

    let mut loader: EbpfLoader<'_> = loader;
    loader
        .btf(Some(btf))
        .override_global("ARCH", &OURS.number, true)
        .override_global("SCOPE", &scope_tests, true)
        .override_global("TREE_ROOT", &tree_root, true)
        .override_global("CGROUP_ID", &cgroup_id, true)
        .override_global("TRACER_PIDNS", &tracer_pidns, true)
        .override_global("EXIT_HAS_GROUP_DEAD", &exit_has_group_dead, true)
        .override_global("EXIT_CAN_BE_SKIPPED", &exit_can_be_skipped, true)
        .override_global("HAS_TYPED_CURRENT", &has_typed_current, true)
        .override_global("HAS_COMPARE_EXCHANGE", &has_compare_exchange, true)
        .override_global("SLOTS_MASK", &slots_mask, true)
        .override_global("WAKEUP_BYTES", &wakeup_bytes, true)
        .override_global(aya_log::LEVEL, &log_level, false)
        .map_max_entries("EVENTS", config.buffer)
        .map_max_entries("COUNTERS", possible_cpus()? as u32)
        .map_max_entries("SLOTS", slots)
        .map_max_entries("DISPLACED", config.max_zombies)
        .map_max_entries("ALIASES", config.max_zombies)
        .map_max_entries("WAITIDS", waiting_threads())
        .map_max_entries(
            "TREE",
            if scope.tree.is_some() {
                waiting_threads()
            } else {
                1
            },
        )
        .map_max_entries("CONTAINER_NAMES", names.len().max(1) as u32)
        .map_max_entries("CONTAINER_HOSTS", scope.containers.len().max(1) as u32)
        .map_max_entries("PIDS", scope.pids.len().max(1) as u32)
        .map_max_entries("PPIDS", scope.ppids.len().max(1) as u32);
    for (global, offset) in &facts.offsets {
        loader.override_global(global, offset, true);
    }
    let mut ebpf = loader
        .load(&object::for_kernel(facts)?)
        .map_err(|error| KernelError::refused("the eBPF object", error))?;
    fill(&mut ebpf, "PIDS", &scope.pids)?;
    fill(&mut ebpf, "PPIDS", &scope.ppids)?;
    fill_containers(&mut ebpf, &names, &scope.containers)?;
    Ok(ebpf)
}

/// Maps an array of `length` values for reading.
pub(super) fn share<T: aya::Pod>(
    ebpf: &Ebpf,
    name: &str,
    length: usize,
) -> Result<MappedArray<T>, KernelError> {
    MappedArray::new(array(ebpf, name)?.fd(), length)
        .map_err(|error| KernelError::io(format!("map {name}"), error.into()))
}

pub(super) fn array<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a MapData, KernelError> {
    match ebpf.map(name) {
        Some(Map::Array(map)) => Ok(map),
        _ => Err(KernelError::refused(
            format!("map {name}"),
            "the object lacks it",
        )),
    }
}

pub(super) fn possible_cpus() -> Result<usize, KernelError> {
    aya::util::nr_cpus().map_err(|(what, source)| KernelError::io(what, source))
}

/// As many as there can be threads or processes at all, within reason.
fn waiting_threads() -> u32 {
    // Its usual value on a large machine.
    const PID_MAX_LIMIT: u32 = 4_194_304;
    pid_max().unwrap_or(PID_MAX_LIMIT).clamp(1024, 65_536)
}
