use std::path::PathBuf;

use super::{Backend, KernelScope};

/// How many processes can be dying or zombies at once, if nothing else is asked for.
pub const DEFAULT_MAX_ZOMBIES: u32 = 65_536;

/// The size of the ring buffer in bytes, if nothing else is asked for.
pub const DEFAULT_BUFFER: u32 = 4 << 20;

/// What the kernel side is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The one to use; the best that loads if none is given.
    pub backend: Option<Backend>,
    /// The kernel's BTF, if it is not where it usually is.
    pub btf: Option<PathBuf>,
    /// Which processes the run is about.
    pub scope: KernelScope,
    /// How many processes can be dying or zombies at once.
    pub max_zombies: u32,
    /// Size of the ring buffer in bytes, a power of two and a multiple of the page size.
    pub buffer: u32,
    /// The programs log what they do.
    pub debug: bool,
}
