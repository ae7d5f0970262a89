use clap::ValueEnum;

use crate::kernel::Backend;

/// Which of the ways to hook into the kernel is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// The first of these that this kernel allows
    #[default]
    Auto,
    /// BPF trampolines on the functions that make and reap zombies
    Fentry,
    /// The same functions by kprobes
    Kprobe,
    /// BTF tracepoints, and those of the wait system calls
    Tracepoint,
}

impl BackendChoice {
    /// The one that is asked for by name.
    pub fn forced(self) -> Option<Backend> {
        match self {
            Self::Auto => None,
            Self::Fentry => Some(Backend::Fentry),
            Self::Kprobe => Some(Backend::Kprobe),
            Self::Tracepoint => Some(Backend::Tracepoint),
        }
    }
}
