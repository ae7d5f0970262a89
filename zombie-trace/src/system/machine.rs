//! Which architecture the kernel is for. In emulation (qemu-user, Rosetta) a program can run on another
//! one: system calls have other numbers there, and registers other places.

use std::fs;

use zombie_trace_common::arch;

/// An architecture that this program can be built for.
#[derive(Debug)]
pub(crate) struct Machine {
    /// As people call it.
    name: &'static str,
    /// As uname(2) calls a kernel of it; the first is the kernel's own name, the others are what it
    /// tells programs with a 32-bit personality (`setarch`).
    kernels: &'static [&'static str],
    /// As the eBPF programs know it.
    pub(crate) number: u8,
    /// A field of the kernel's `pt_regs` that the other one lacks.
    pub(crate) register: &'static str,
}

const X86_64: Machine = Machine {
    name: "x86-64",
    kernels: &["x86_64", "i686", "i586", "i486", "i386"],
    number: arch::X86_64,
    register: "pt_regs.orig_ax",
};

const ARM64: Machine = Machine {
    name: "arm64",
    kernels: &["aarch64", "armv8l"],
    number: arch::ARM64,
    register: "pt_regs.orig_x0",
};

/// What this program is built for. The build script refuses everything else.
pub(crate) const OURS: &Machine = if cfg!(target_arch = "aarch64") {
    &ARM64
} else {
    &X86_64
};

/// From Linux 6.1 on, the machine as the kernel was built for it. uname(2) says what an emulator or a
/// personality (`setarch`) makes of it.
const ARCH: &str = "/proc/sys/kernel/arch";

/// The kernel is for another architecture than this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this program is for {ours}, and this kernel is for {machine}: the program runs in emulation, \
     where its figures and causes would be wrong; {advice}"
)]
pub struct ForeignKernel {
    ours: &'static str,
    machine: String,
    advice: String,
}

impl ForeignKernel {
    /// A kernel of this name, or of none that is known.
    pub(crate) fn new(machine: Option<&str>) -> Self {
        Self::of(OURS, machine)
    }

    fn of(ours: &Machine, machine: Option<&str>) -> Self {
        let runs = |other: &&Machine| machine.is_some_and(|name| other.kernels[0] == name);
        Self {
            ours: ours.name,
            machine: machine.unwrap_or("another architecture").to_owned(),
            advice: match [&X86_64, &ARM64].into_iter().find(runs) {
                Some(other) => format!("run the zombie-trace that is built for {}", other.name),
                None => format!("run it on an {} machine", ours.name),
            },
        }
    }
}

/// Checks that the kernel is for this program's architecture, if it can be told.
///
/// # Errors
/// It is for another one.
pub fn check_machine() -> Result<(), ForeignKernel> {
    let machine = fs::read_to_string(ARCH).or_else(|_| {
        let name = nix::sys::utsname::uname()?;
        Ok::<_, nix::Error>(name.machine().to_string_lossy().into_owned())
    });
    machine.map_or(Ok(()), |machine| supported(OURS, machine.trim()))
}

fn supported(ours: &Machine, machine: &str) -> Result<(), ForeignKernel> {
    match ours.kernels.contains(&machine) {
        true => Ok(()),
        false => Err(ForeignKernel::of(ours, Some(machine))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(ours: &Machine, machine: &str) -> String {
        supported(ours, machine).unwrap_err().to_string()
    }

    #[test]
    fn our_own_kernels_are_taken() {
        for machine in ["x86_64", "i686", "i386"] {
            assert_eq!(supported(&X86_64, machine), Ok(()), "{machine}");
        }
        for machine in ["aarch64", "armv8l"] {
            assert_eq!(supported(&ARM64, machine), Ok(()), "{machine}");
        }
    }

    #[test]
    fn kernels_of_other_architectures_are_refused() {
        for ours in [&X86_64, &ARM64] {
            for machine in [
                "aarch64_be",
                "armv7l",
                "riscv64",
                "s390x",
                "ppc64le",
                "ia64",
                "loongarch64",
            ] {
                let message = refusal(ours, machine);
                let kernel = format!("this kernel is for {machine}:");
                assert!(message.contains(&kernel), "{message}");
                let advice = format!("run it on an {} machine", ours.name);
                assert!(message.contains(&advice), "{message}");
            }
        }
    }

    #[test]
    fn the_other_build_is_named_where_there_is_one() {
        let message = refusal(&X86_64, "aarch64");
        assert!(
            message.starts_with("this program is for x86-64"),
            "{message}"
        );
        assert!(message.ends_with("that is built for arm64"), "{message}");
        let message = refusal(&ARM64, "x86_64");
        assert!(
            message.starts_with("this program is for arm64"),
            "{message}"
        );
        assert!(message.ends_with("that is built for x86-64"), "{message}");
    }

    #[test]
    fn this_one_is_ours() {
        check_machine().unwrap();
    }
}
