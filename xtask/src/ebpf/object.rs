//! Stripping and comparing eBPF object files.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::{Context, Result};
use object::build::elf::{Builder, SectionData};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolIndex, elf};

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

/// What differs between two objects, in words; nothing if they are the same program.
pub(crate) fn differences(committed: &[u8], rebuilt: &[u8]) -> Result<Vec<String>> {
    let committed = Content::read(committed).context("cannot read the committed object")?;
    let rebuilt = Content::read(rebuilt).context("cannot read the rebuilt object")?;
    let mut found = compare("section", &committed.sections, &rebuilt.sections);
    found.extend(compare(
        "the relocations of section",
        &committed.relocations,
        &rebuilt.relocations,
    ));
    found.extend(compare("symbol", &committed.symbols, &rebuilt.symbols));
    Ok(found)
}

/// Everything in an object that has a meaning, under its name.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    sections: BTreeMap<String, Vec<u8>>,
    relocations: BTreeMap<String, Vec<RelocationFacts>>,
    symbols: BTreeMap<String, SymbolFacts>,
}

#[derive(Debug, PartialEq, Eq)]
struct RelocationFacts {
    offset: u64,
    target: String,
    flags: String,
    addend: i64,
}

#[derive(Debug, PartialEq, Eq)]
struct SymbolFacts {
    section: Option<String>,
    value: u64,
    size: u64,
    flags: String,
}

impl Content {
    fn read(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes)?;
        let mut content = Self {
            sections: BTreeMap::new(),
            relocations: BTreeMap::new(),
            symbols: BTreeMap::new(),
        };
        for section in file.sections() {
            let name = section.name()?;
            // Relocations, symbols and their names are compared by meaning.
            if name.starts_with(".rel") || matches!(name, ".strtab" | ".symtab" | ".shstrtab") {
                continue;
            }
            let name = unused_name(&content.sections, name);
            let relocations = section.relocations().map(|(offset, relocation)| {
                Ok(RelocationFacts {
                    offset,
                    target: target_name(&file, relocation.target())?,
                    flags: format!("{:?}", relocation.flags()),
                    addend: relocation.addend(),
                })
            });
            content
                .relocations
                .insert(name.clone(), relocations.collect::<Result<_>>()?);
            content.sections.insert(name, section.data()?.to_vec());
        }
        for symbol in file.symbols() {
            let section = section_of(&file, &symbol)?;
            let name = match symbol.name()? {
                "" => format!("of section {}", section.as_deref().unwrap_or("?")),
                name => name.to_owned(),
            };
            let facts = SymbolFacts {
                section,
                value: symbol.address(),
                size: symbol.size(),
                // Section indexes may differ; what is left is binding, type and visibility.
                flags: format!("{:?}", symbol.flags()),
            };
            let name = unused_name(&content.symbols, &name);
            content.symbols.insert(name, facts);
        }
        Ok(content)
    }
}

fn section_of<'data>(
    file: &object::File<'data>,
    symbol: &impl ObjectSymbol<'data>,
) -> Result<Option<String>> {
    symbol
        .section_index()
        .map(|index| Ok(file.section_by_index(index)?.name()?.to_owned()))
        .transpose()
}

fn target_name(file: &object::File<'_>, target: RelocationTarget) -> Result<String> {
    let RelocationTarget::Symbol(SymbolIndex(index)) = target else {
        return Ok(format!("{target:?}"));
    };
    let symbol = file.symbol_by_index(SymbolIndex(index))?;
    Ok(match symbol.name()? {
        "" => section_of(file, &symbol)?.unwrap_or_default(),
        name => name.to_owned(),
    })
}

/// The name, numbered if it is taken: ELF allows several of one name.
fn unused_name<T>(taken: &BTreeMap<String, T>, name: &str) -> String {
    if !taken.contains_key(name) {
        return name.to_owned();
    }
    let mut number = 2;
    while taken.contains_key(&format!("{name} ({number})")) {
        number += 1;
    }
    format!("{name} ({number})")
}

fn compare<T: PartialEq + Debug>(
    kind: &str,
    committed: &BTreeMap<String, T>,
    rebuilt: &BTreeMap<String, T>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in committed {
        match rebuilt.get(name) {
            None => found.push(format!("{kind} {name} is only in the committed object")),
            Some(other) if other != value => found.push(format!("{kind} {name} differs")),
            Some(_) => {}
        }
    }
    for name in rebuilt.keys().filter(|name| !committed.contains_key(*name)) {
        found.push(format!("{kind} {name} is only in the rebuilt object"));
    }
    found
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
        let stripped = strip(&full).unwrap();
        assert_eq!(differences(&stripped, &lean).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn differences_are_named() {
        let committed = elf_with(&[("kprobe", b"code"), ("license", b"GPL")]);
        let rebuilt = elf_with(&[("kprobe", b"CODE"), ("maps", b"map")]);
        let found = differences(&committed, &rebuilt).unwrap();
        assert!(
            found.contains(&"section kprobe differs".into()),
            "{found:?}"
        );
        assert!(
            found.contains(&"section license is only in the committed object".into()),
            "{found:?}"
        );
        assert!(
            found.contains(&"section maps is only in the rebuilt object".into()),
            "{found:?}"
        );
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
