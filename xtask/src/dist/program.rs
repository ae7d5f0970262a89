//! Checks a package's program: it is for the right processor, static, and names no folder of this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, elf};

use crate::arch::Arch;
use crate::paths;

pub(super) fn check(program: &[u8], arch: &Arch) -> Result<()> {
    let file = ElfFile64::<Endianness>::parse(program).context("it is no 64-bit ELF file")?;
    let endian = file.endian();
    let machine = file.elf_header().e_machine(endian);
    if machine != arch.elf {
        bail!(
            "it is for ELF machine {machine}, not {} ({})",
            arch.elf,
            arch.name
        );
    }
    let mut segments = file.elf_program_headers().iter();
    if segments.any(|segment| segment.p_type(endian) == elf::PT_INTERP) {
        bail!("it is not static");
    }
    let mut sections = file.sections();
    if sections.any(|section| section.name().is_ok_and(|name| name.starts_with(".debug_"))) {
        bail!("it has debug information");
    }
    for folder in folders() {
        if mentions(program, &folder) {
            bail!("it names {}", folder.display());
        }
    }
    Ok(())
}

/// Where sources and compilers are on this machine.
fn folders() -> [PathBuf; 4] {
    [
        paths::root().to_owned(),
        paths::target_dir(),
        paths::cargo_home(),
        paths::rustup_home(),
    ]
}

/// Whether some path in `bytes` is below `folder`.
fn mentions(bytes: &[u8], folder: &Path) -> bool {
    let prefix = format!("{}/", folder.display());
    let prefix = prefix.as_bytes();
    let starts_path = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        before.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"_-.".contains(byte))
    };
    let mut windows = bytes.windows(prefix.len()).enumerate();
    windows.any(|(at, window)| window == prefix && starts_path(at))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::arch::{AMD64, ARM64};

    #[test]
    fn a_program_for_another_machine_or_with_shared_libraries_is_refused() {
        let ours = fs::read("/proc/self/exe").unwrap();
        let (right, wrong) = match cfg!(target_arch = "x86_64") {
            true => (&AMD64, &ARM64),
            false => (&ARM64, &AMD64),
        };
        let error = |arch| check(&ours, arch).unwrap_err().to_string();
        assert!(error(wrong).contains("ELF machine"), "{}", error(wrong));
        assert_eq!(error(right), "it is not static");
        let none = check(b"#!/bin/sh\n", right).unwrap_err().to_string();
        assert_eq!(none, "it is no 64-bit ELF file");
    }

    #[test]
    fn paths_are_found_at_their_start_only() {
        let folder = Path::new("/src");
        assert!(mentions(b"\0/src/main.rs\0", folder));
        assert!(mentions(b"/src/main.rs", folder));
        assert!(!mentions(b"\0zombie-trace/src/main.rs\0", folder));
        assert!(!mentions(b"\0/srcs/main.rs\0", folder));
    }
}
