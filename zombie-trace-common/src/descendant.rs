/// Value of the map `TREE`, whose key is the tgid in the initial pid namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Descendant {
    /// `task->start_boottime` (ns), which tells a reused pid apart.
    pub start_boottime: u64,
    /// 1 for the root of the tree, whose descendants are in scope but not itself; else 0.
    pub root: u64,
    /// Address of the leader's task of the process that was seen to fork it; 0 if it was there before.
    pub maker: u64,
}

const _: () = assert!(size_of::<Descendant>() == 24);

/// A descendant of the traced root that is running, as the iterator `list_descendants` writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct RunningDescendant {
    /// Its pid in the tracer's pid namespace.
    pub pid: u32,
    /// Its parent's.
    pub ppid: u32,
    /// Its command name.
    pub comm: [u8; crate::COMM_LEN],
}

const _: () = assert!(size_of::<RunningDescendant>() == 24);
