use std::fmt;

/// A way to see processes become zombies and be reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// do_notify_parent and release_task, by BPF trampolines.
    Fentry,
    /// The same functions, by kprobes.
    Kprobe,
    /// BTF tracepoints, and those of the wait system calls.
    Tracepoint,
}

impl Backend {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Tracepoint];

    /// As the command line and the output name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }

    /// Bound on the error of a lifetime whose start and end the backend both sees, ns. It holds 99
    /// times out of 100 (measured on x86-64; docs/kernels.md says how).
    ///
    /// fentry and kprobe see each end in the function that makes it; in the emulated test kernels
    /// their lifetimes differ by less than the sum of both bounds. The tracepoint backend sees each
    /// end late: the start by up to 24 µs if the parent has a handler for SIGCHLD, which is woken
    /// before the tracepoint; the end, at the system call's return, by 12 µs (both p99 on 6.18).
    pub fn error_ns(self) -> u64 {
        match self {
            Self::Fentry => 1_000,
            Self::Kprobe => 2_000,
            Self::Tracepoint => 25_000,
        }
    }

    /// Whether it only infers an autoreap: from an end that nobody was notified of. The others are told
    /// of each by the kernel.
    pub fn infers_autoreap(self) -> bool {
        self == Self::Tracepoint
    }

    /// What its tracepoints add to every system call of every task on the machine, ns (measured on
    /// 6.18 on x86-64, with getppid(2) in a loop); 0 if it needs none.
    pub fn syscall_tax_ns(self) -> u64 {
        match self {
            Self::Fentry | Self::Kprobe => 0,
            Self::Tracepoint => 40,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
