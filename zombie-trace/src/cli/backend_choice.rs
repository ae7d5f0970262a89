use clap::ValueEnum;

/// Which of the ways to hook into the kernel is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// The best that this kernel allows
    #[default]
    Auto,
    /// BTF tracepoints, and those of the wait system calls
    Tracepoint,
}
