use std::path::PathBuf;

use clap::Args;

use super::{BackendChoice, BufferSize};
use crate::{
    kernel::{Config, DEFAULT_MAX_ZOMBIES, KernelScope},
    value::PID_MAX_LIMIT,
};

/// How the kernel side is set up.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct TuningArgs {
    /// How to hook into the kernel
    #[arg(long, default_value = "auto", help_heading = "Tuning")]
    pub backend: BackendChoice,

    /// BTF of a kernel that has no /sys/kernel/btf/vmlinux
    ///
    /// FILE must describe the running kernel exactly. Where the kernel has BTF of its own, a file
    /// that differs from it is refused; where it has none, only root may give a file.
    #[arg(long, value_name = "FILE", help_heading = "Tuning")]
    pub btf: Option<PathBuf>,

    /// Track up to N dying processes and zombies at once in the kernel
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_ZOMBIES)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(PID_MAX_LIMIT)))]
    #[arg(allow_hyphen_values = true, help_heading = "Tuning")]
    pub max_zombies: u32,

    /// Size of the ring buffer, rounded up to a power of two
    #[arg(long, value_name = "SIZE", default_value_t, allow_hyphen_values = true)]
    #[arg(help_heading = "Tuning")]
    pub buffer: BufferSize,
}

impl TuningArgs {
    /// The kernel side's configuration for such a run.
    pub fn config(&self, scope: KernelScope, debug: bool) -> Config {
        Config {
            backend: self.backend.forced(),
            btf: self.btf.clone(),
            scope,
            max_zombies: self.max_zombies,
            buffer: self.buffer.bytes(),
            debug,
        }
    }
}
