/// The one value of the map `CONTROL`, which user space writes through a mapping while the programs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Control {
    /// One of [`stage`].
    pub stage: u32,
    /// 1 if a process that ended without a notification was autoreaped: with the tracepoint backend,
    /// which never misses a notification.
    pub silent_autoreap: u32,
}

const _: () = assert!(size_of::<Control>() == 8);

/// Values of [`Control::stage`].
pub mod stage {
    /// Everything is followed.
    pub const RUNNING: u32 = 0;
    /// No new process is taken in; those that are known are followed to their end.
    pub const CLOSING: u32 = 1;
    /// No process leaves the table any more, and no counter changes.
    pub const FROZEN: u32 = 2;
}
