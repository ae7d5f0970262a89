//! Stripping eBPF object files.

use anyhow::Result;
use object::build::elf::{Builder, SectionData};
use object::{Object, ObjectSection, elf};

/// Takes out what neither aya nor the kernel reads: DWARF, what the assembler left, and the
/// relocations of BTF, whose values are in place already.
///
/// Doing it here, and not with llvm-objcopy, makes the result depend on our lock file alone.
pub(crate) fn strip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(bytes)?;
    for section in &mut builder.sections {
        section.delete = is_superfluous(&String::from_utf8_lossy(&section.name));
    }
    builder.delete_orphans();
    // LLVM keeps section names among the symbol names; the writer wants a table of their own.
    if !has_section_names(&builder) {
        add_section_names(&mut builder);
    }
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

fn has_section_names(builder: &Builder<'_>) -> bool {
    let mut sections = builder.sections.iter();
    sections.any(|section| matches!(section.data, SectionData::SectionString))
}

fn add_section_names(builder: &mut Builder<'_>) {
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
}

fn is_superfluous(section: &str) -> bool {
    let name = section.strip_prefix(".rel").unwrap_or(section);
    let is_relocation = name != section;
    name.starts_with(".debug_")
        || (is_relocation && name.starts_with(".BTF"))
        || matches!(name, ".comment" | ".llvm_addrsig")
}

/// An absolute path that the object holds, if any, outside the folder in which the distribution
/// compiled its core library.
pub(crate) fn absolute_path(bytes: &[u8], allowed: &str) -> Result<Option<String>> {
    let file = object::File::parse(bytes)?;
    for name in [".BTF", ".rodata", ".data"] {
        let Some(section) = file.section_by_name(name) else {
            continue;
        };
        let mut strings = section.data()?.split(|byte| *byte == 0);
        let path = strings.find(|text| {
            text.len() > 4
                && text[0] == b'/'
                && text.iter().all(u8::is_ascii_graphic)
                && !text.starts_with(allowed.as_bytes())
        });
        if let Some(path) = path {
            return Ok(Some(String::from_utf8_lossy(path).into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::Endianness;

    /// An ELF file with these sections.
    fn elf_with(sections: &[(&str, &'static [u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Endianness::Little, true);
        builder.header.e_type = elf::ET_REL;
        builder.header.e_machine = elf::EM_BPF;
        for (name, bytes) in sections {
            let section = builder.sections.add();
            section.name = name.as_bytes().to_vec().into();
            section.sh_type = elf::SHT_PROGBITS;
            section.sh_addralign = 1;
            section.data = SectionData::Data((*bytes).into());
        }
        add_section_names(&mut builder);
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn dwarf_goes_and_btf_stays() {
        let full = elf_with(&[
            ("kprobe", b"code"),
            (".BTF", b"types"),
            (".BTF.ext", b"lines"),
            (".debug_info", b"dwarf"),
            (".rel.BTF.ext", b"offsets"),
            (".comment", b"rustc"),
        ]);
        let lean = elf_with(&[
            ("kprobe", b"code"),
            (".BTF", b"types"),
            (".BTF.ext", b"lines"),
        ]);
        let sections = |bytes: &[u8]| -> Vec<(String, Vec<u8>)> {
            let file = object::File::parse(bytes).unwrap();
            let named = file.sections().map(|section| {
                let name = section.name().unwrap().to_owned();
                (name, section.data().unwrap().to_vec())
            });
            named.filter(|(name, _)| name != ".shstrtab").collect()
        };
        assert_eq!(sections(&strip(&full).unwrap()), sections(&lean));
    }

    #[test]
    fn absolute_paths_are_found() {
        let clean = elf_with(&[(
            ".BTF",
            b"\0int\0./zombie-trace-ebpf/src/main.rs\0/usr/src/rustc-1/core.rs\0",
        )]);
        assert_eq!(absolute_path(&clean, "/usr/src/rustc").unwrap(), None);
        let dirty = elf_with(&[(".BTF", b"\0int\0/somewhere/src/main.rs\0")]);
        assert_eq!(
            absolute_path(&dirty, "/usr/src/rustc").unwrap().as_deref(),
            Some("/somewhere/src/main.rs")
        );
    }
}
