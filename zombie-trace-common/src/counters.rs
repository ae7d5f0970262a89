/// One CPU's counters of the kernel side; user space adds them up. All count processes in the
/// run's scope since attach, and leave out the ones that were zombies before
/// ([`pre_existing_reaped`](Self::pre_existing_reaped) apart).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Thread groups whose last thread ended.
    pub exits: u64,
    /// Of them, those whose exit was not seen, but their becoming a zombie.
    pub recovered: u64,
    /// Zombies that were released.
    pub reaped: u64,
    /// Processes that the kernel released without ever showing a zombie.
    pub autoreaped: u64,
    /// Records that the ring buffer had no room for.
    pub ring_full: u64,
    /// Processes that the map of dying processes had no room for.
    pub map_full: u64,
    /// Descendants of the traced root that the set of descendants had no room for.
    pub tree_full: u64,
    /// Zombies and dying processes from before the attach that were found then.
    pub adopted: u64,
    /// Of them, those that were released since.
    pub pre_existing_reaped: u64,
    /// Of them, those whose record found no room in the ring buffer.
    pub pre_existing_lost: u64,
    /// Notifications and reaps that were rejected because the kernel did not make them.
    pub suspicious: u64,
    /// Descendants of the traced root that an adoption walk put into the set of descendants.
    pub tree_adopted: u64,
    /// Always 0; keeps CPUs off each other's cache lines.
    pub reserved: [u64; 4],
}

const _: () = assert!(size_of::<Counters>() == 128);
