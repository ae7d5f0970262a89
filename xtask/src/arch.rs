//! The architectures of the packages and of the test kernels.

use clap::ValueEnum;
use object::elf::{EM_AARCH64, EM_X86_64};

use crate::series::Series;

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
pub(crate) struct Arch {
    /// Debian's name, which `--arch` takes.
    pub(crate) name: &'static str,
    /// RPM's name.
    pub(crate) rpm: &'static str,
    /// The number in the header of its programs.
    pub(crate) elf: u16,
    /// Which kernels boot without modules.
    pub(crate) flavours: &'static [Flavour],
    /// The emulator, and the Debian package that has it.
    pub(crate) emulator: (&'static str, &'static str),
    /// The emulated machine.
    pub(crate) machine: &'static [&'static str],
    /// The console's device.
    pub(crate) console: &'static str,
    /// Rust's name for what programs are built for.
    pub(crate) target: &'static str,
    /// From which kernel on a backend loads that needs more than the oldest one.
    pub(crate) since: &'static [(&'static str, Series)],
}

/// Kernels that are built alike.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flavour {
    /// What their releases end with.
    pub(crate) suffix: &'static str,
    /// What the names end with by which they are asked for; nothing for the usual ones.
    pub(crate) variant: &'static str,
    /// Arguments that give the emulator the processor they need.
    pub(crate) processor: &'static [&'static str],
}

pub(crate) const AMD64: Arch = Arch {
    name: "amd64",
    rpm: "x86_64",
    elf: EM_X86_64,
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

pub(crate) const ARM64: Arch = Arch {
    name: "arm64",
    rpm: "aarch64",
    elf: EM_AARCH64,
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
    pub(crate) fn arch(self) -> &'static Arch {
        match self {
            Self::Amd64 => &AMD64,
            Self::Arm64 => &ARM64,
        }
    }
}

impl Arch {
    /// Whether it is this machine's own. Kernels' programs and packages are built on x86-64 alone.
    pub(crate) fn is_native(&self) -> bool {
        self == &AMD64
    }

    /// Why a backend does not load on a kernel, if it can't.
    pub(crate) fn lacks(&self, backend: &str, series: Series) -> Option<String> {
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
