//! Which architecture the kernel is for. In emulation (qemu-user, Rosetta) a program can run on another
//! one: system calls have other numbers there, and registers other places.

use std::fs;

/// As `uname -m` on a machine that this program is built for.
const OURS: &str = "x86_64";

/// From Linux 6.1 on, the machine as the kernel was built for it. uname(2) says what an emulator or a
/// personality (`setarch`) makes of it.
const ARCH: &str = "/proc/sys/kernel/arch";

/// The kernel is for another architecture than this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "zombie-trace supports x86-64 only, and this kernel is for {machine}: this program runs in \
     emulation, where its figures and causes would be wrong; run it on an x86-64 machine"
)]
pub struct ForeignKernel {
    machine: String,
}

impl ForeignKernel {
    /// A kernel of this name.
    pub(crate) fn new(machine: &str) -> Self {
        Self {
            machine: machine.to_owned(),
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
    machine.map_or(Ok(()), |machine| supported(machine.trim()))
}

fn supported(machine: &str) -> Result<(), ForeignKernel> {
    // With a 32-bit personality an x86-64 kernel calls itself i686.
    let is_ours = machine == OURS || (machine.starts_with('i') && machine.ends_with("86"));
    match is_ours {
        true => Ok(()),
        false => Err(ForeignKernel::new(machine)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_other_architectures_are_refused() {
        for machine in ["x86_64", "i686", "i386"] {
            assert_eq!(supported(machine), Ok(()), "{machine}");
        }
        for machine in [
            "aarch64",
            "armv7l",
            "riscv64",
            "s390x",
            "ppc64le",
            "ia64",
            "loongarch64",
        ] {
            let message = supported(machine).unwrap_err().to_string();
            assert!(message.contains(&format!("for {machine}")), "{message}");
            assert!(message.contains("supports x86-64 only"), "{message}");
        }
    }

    #[test]
    fn this_one_is_ours() {
        check_machine().unwrap();
    }
}
