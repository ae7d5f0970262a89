use std::path::PathBuf;

use clap::Args;

/// Options of `doctor`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct DoctorArgs {
    /// Write JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// BTF of a kernel that has no /sys/kernel/btf/vmlinux
    ///
    /// FILE must describe the running kernel exactly. Where the kernel has BTF of its own, a file
    /// that differs from it is refused; where it has none, only root may give a file.
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
}
