//! Bits of the global `SCOPE`: which tests a process must pass to belong to the run. All of the
//! set ones must hold.

/// Its pid is in the map `PIDS`.
pub const PIDS: u32 = 1 << 0;
/// Its real parent's pid is in the map `PPIDS`.
pub const PPIDS: u32 = 1 << 1;
/// It is in the map `TREE` as a descendant.
pub const TREE: u32 = 1 << 2;
/// Its cgroup is the one of the global `CGROUP_ID`, or below it.
pub const CGROUP: u32 = 1 << 3;
