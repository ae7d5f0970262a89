//! The architectures of the test kernels.

use clap::ValueEnum;

use super::series::Series;

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
    /// Which kernels boot without modules.
    pub(super) flavours: &'static [Flavour],
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

/// Kernels that are built alike.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flavour {
    /// What their releases end with.
    pub(super) suffix: &'static str,
    /// What the names end with by which they are asked for; nothing for the usual ones.
    pub(super) variant: &'static str,
    /// Arguments that give the emulator the processor they need.
    pub(super) processor: &'static [&'static str],
}

const AMD64: Arch = Arch {
    name: "amd64",
    // The small kernels for virtual machines.
    flavours: &[Flavour {
        suffix: "-cloud-amd64",
        variant: "",
        processor: &[],
    }],
    emulator: ("qemu-system-x86_64", "qemu-system-x86"),
    machine: &[],
    console: "ttyS0",
    target: "x86_64-unknown-linux-gnu",
    since: &[],
};

const ARM64: Arch = Arch {
    name: "arm64",
    flavours: &[
        Flavour {
            suffix: "-cloud-arm64",
            variant: "",
            processor: &["-cpu", "cortex-a72"],
        },
        // Pages of 16 KiB, which that processor lacks. Its successors sign pointers, which takes long to
        // emulate in the architecture's own way.
        Flavour {
            suffix: "-arm64-16k",
            variant: "-16k",
            processor: &["-cpu", "max,pauth-impdef=on"],
        },
    ],
    emulator: ("qemu-system-aarch64", "qemu-system-arm"),
    machine: &["-machine", "virt"],
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
    /// Whether it is this machine's own: [`super::missing`] wants an x86-64 one.
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
