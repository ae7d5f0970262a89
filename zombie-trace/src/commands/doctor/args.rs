use std::path::PathBuf;

use clap::Args;

const DOCTOR_HELP: &str = "\
Examples:
  sudo zombie-trace doctor          what works here, and what is in the way
  zombie-trace doctor --json        the same for programs

Exit status:
  0  tracing works
  1  it does not
  2  invalid command line";

/// Options of `doctor`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(max_term_width = 80, after_help = DOCTOR_HELP)]
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
