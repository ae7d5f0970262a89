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
/// It is in a container that the maps `CONTAINER_NAMES` or `CONTAINER_HOSTS` name.
pub const CONTAINER: u32 = 1 << 4;

/// Room for the name of a cgroup and its NUL, in a key of `CONTAINER_NAMES`. Longer ones are no
/// container's.
pub const CGROUP_NAME_LEN: usize = 192;

/// What a cgroup is that has a wanted name: value of the map `CONTAINER_NAMES`, whose keys are begins
/// of names, or whole ones with their NUL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NamePattern {
    /// A set of [`name`].
    pub kinds: u32,
    /// How long the name has to be with its NUL, but for `.scope`; 0 for any length.
    pub len: u32,
}

const _: () = assert!(size_of::<NamePattern>() == 8);

/// Values of [`NamePattern::kinds`].
pub mod name {
    /// A wanted container.
    pub const CONTAINER: u32 = 1 << 0;
    /// One, if it is in a [`PARENT`].
    pub const CHILD: u32 = 1 << 1;
    /// Not by itself.
    pub const PARENT: u32 = 1 << 2;
    /// One, if the process is in its [`PAYLOAD`].
    pub const MACHINE: u32 = 1 << 3;
    /// Not by itself.
    pub const PAYLOAD: u32 = 1 << 4;
}
