/// Length of a host name (`__NEW_UTS_LEN`).
pub const HOST_NAME_LEN: usize = 64;

/// A host name other than the machine's, told of by the ring buffer before the first record that
/// refers to it. A namespace that gets another name gets another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct HostName {
    /// What [`Record::host_name`](crate::Record::host_name) refers to it by; never 0.
    pub id: u64,
    /// The cgroup of the process that it was first seen with, as
    /// [`Record::cgroup_id`](crate::Record::cgroup_id).
    pub cgroup_id: u64,
    /// The name, filled up with NUL.
    pub name: [u8; HOST_NAME_LEN],
}

const _: () = assert!(size_of::<HostName>() == 80);

/// Longer paths of cgroups are not told of.
pub const CGROUP_PATH_LEN: usize = 504;

/// A cgroup v2 that has been made just now, told of by the ring buffer: who looks its id up later
/// may find it gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct NewCgroup {
    /// As [`Record::cgroup_id`](crate::Record::cgroup_id).
    pub id: u64,
    /// The path from the root of the hierarchy, ended by NUL.
    pub path: [u8; CGROUP_PATH_LEN],
}

const _: () = assert!(size_of::<NewCgroup>() == 512);
