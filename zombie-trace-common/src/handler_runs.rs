/// How many of the runs' times are kept.
pub const HANDLER_TIMES: usize = 8;

/// How many places the map `HANDLERS` has.
pub const HANDLERS_LEN: u32 = 1 << 12;

/// What a process's SIGCHLD handler has done: value of the map `HANDLERS`, whose key is the thread
/// group id in the initial pid namespace modulo [`HANDLERS_LEN`]. Of two processes with one key it is
/// that of the one which was seen last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct HandlerRuns {
    /// Address of the leader's `task_struct`.
    pub task: u64,
    /// Of how many children's deaths the process was told.
    pub deaths: u64,
    /// How often the handler has run.
    pub runs: u64,
    /// When: a ring. `CLOCK_MONOTONIC`, ns.
    pub times: [u64; HANDLER_TIMES],
}

const _: () = assert!(size_of::<HandlerRuns>() == 24 + HANDLER_TIMES * 8);
