//! The architectures of the test kernels.

use clap::ValueEnum;

use super::kernels::Series;

/// By Debian's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// x86-64
    #[default]
    Amd64,
    /// 64-bit Arm
    Arm64,
}

/// What differs between them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arch {
    /// Debian's name, which `--arch` takes.
    pub(super) name: &'static str,
    /// Which kernels boot without modules: the end of their release, and what their series' name ends
    /// with.
    pub(super) flavours: &'static [(&'static str, &'static str)],
    /// The emulator, and the Debian package that has it.
    pub(super) emulator: (&'static str, &'static str),
    /// The emulated machine.
    pub(super) machine: &'static [&'static str],
    /// The console's device.
    pub(super) console: &'static str,
    /// Rust's name for what the tests are built for.
    pub(super) target: &'static str,
    /// From which kernel on a backend loads that needs more than the oldest one.
    pub(super) since: &'static [(&'static str, Series)],
}

const AMD64: Arch = Arch {
    name: "amd64",
    // The small kernels for virtual machines.
    flavours: &[("-cloud-amd64", "")],
    emulator: ("qemu-system-x86_64", "qemu-system-x86"),
    machine: &[],
    console: "ttyS0",
    target: "x86_64-unknown-linux-gnu",
    since: &[],
};

const ARM64: Arch = Arch {
    name: "arm64",
    // Pages of 4 KiB, and of 16 KiB.
    flavours: &[("-cloud-arm64", ""), ("-arm64-16k", "-16k")],
    emulator: ("qemu-system-aarch64", "qemu-system-arm"),
    // The processor with most features: most others lack pages of 16 KiB. Its way to sign pointers takes
    // long to emulate, the emulator's own does not.
    machine: &["-machine", "virt", "-cpu", "max,pauth-impdef=on"],
    console: "ttyAMA0",
    target: "aarch64-unknown-linux-gnu",
    // Direct calls of ftrace (arch/arm64/kernel/entry-ftrace.S).
    since: &[("fentry", Series(6, 4))],
};

impl Name {
    pub(super) fn arch(self) -> &'static Arch {
        match self {
            Self::Amd64 => &AMD64,
            Self::Arm64 => &ARM64,
        }
    }
}

impl Arch {
    /// Whether the tests are built for this machine's own architecture.
    pub(super) fn is_native(&self) -> bool {
        self == &AMD64
    }

    /// Why a backend does not load on a kernel, if it can't.
    pub(super) fn lacks(&self, backend: &str, series: Series) -> Option<String> {
        let (_, since) = self.since.iter().find(|(name, _)| *name == backend)?;
        (series < *since).then(|| format!("on {}, {backend} needs {since} or later", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trampolines_came_late_to_arm64() {
        let reason = ARM64.lacks("fentry", Series(6, 1));
        assert_eq!(
            reason.as_deref(),
            Some("on arm64, fentry needs 6.4 or later")
        );
        assert_eq!(ARM64.lacks("fentry", Series(6, 12)), None);
        assert_eq!(ARM64.lacks("kprobe", Series(5, 10)), None);
        assert_eq!(AMD64.lacks("fentry", Series(5, 10)), None);
    }
}
