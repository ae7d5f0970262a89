//! Programs and libraries: where their code is, and how to unwind it. They belong to others, who may have
//! written anything into them, and may change them while they are read.

use std::{
    cell::OnceCell,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use object::{
    CompressionFormat, LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, ReadCache,
    ReadRef, SymbolKind,
    elf::{PF_X, PT_LOAD, R_AARCH64_RELATIVE, R_X86_64_RELATIVE},
    read::elf::{ElfFile64, ProgramHeader as _},
};

use super::{
    frame_pointers::{self, FrameState},
    pclntab::GoTable,
    registers::{Architecture, Registers},
    unwind::{FrameTable, Memory, Section, Step},
};

/// Larger sections are not read. The `.eh_frame` of the largest browsers has some 30 MiB.
const LARGEST_SECTION: u64 = 128 << 20;

/// More segments than any linker writes.
const MOST_SEGMENTS: usize = 256;

/// Executable bytes of a file, and the address that they have in the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    offset: u64,
    size: u64,
    address: u64,
}

/// What is known of a program or library.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// Its path, in the mount namespace of the process that maps it.
    pub(super) path: Option<Arc<str>>,
    pub(super) build_id: Option<Arc<str>>,
    /// Open for reading. `None` if there is no file, or no room for another one.
    pub(super) file: Option<File>,
    /// The file is no program, but the map of the names of code that is in no file.
    pub(super) is_perf_map: bool,
    segments: Vec<Segment>,
    go: Option<GoTable>,
    tables: Vec<FrameTable>,
    /// Where its functions start, once somebody has asked.
    functions: OnceCell<Vec<u64>>,
}

impl Module {
    /// Reads an open file.
    pub(super) fn of_file(file: &File) -> Option<Self> {
        Self::parse(&ReadCache::new(file))
    }

    /// Reads an image that is in memory.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes)
    }

    /// The map of the names of code that is in no file.
    pub(super) fn of_perf_map(file: File) -> Self {
        Self {
            file: Some(file),
            is_perf_map: true,
            ..Self::default()
        }
    }

    fn parse<'a, R: ReadRef<'a>>(data: R) -> Option<Self> {
        let elf = ElfFile64::<LittleEndian, R>::parse(data).ok()?;
        let endian = elf.endian();
        let segments = elf.elf_program_headers().iter().take(MOST_SEGMENTS);
        let segments = segments.filter(|header| {
            header.p_type(endian) == PT_LOAD && header.p_flags(endian) & PF_X != 0
        });
        let segments = segments
            .map(|header| Segment {
                offset: header.p_offset(endian),
                size: header.p_filesz(endian),
                address: header.p_vaddr(endian),
            })
            .collect();
        let address = |name| elf.section_by_name(name).map_or(0, |it| it.address());
        let (text, got) = (address(".text"), address(".got"));
        let section = |name| section(&elf, name);
        let mut tables = Vec::new();
        if let Some(entries) = section(".eh_frame") {
            tables.push(FrameTable::eh(entries, section(".eh_frame_hdr"), text, got));
        }
        if let Some(entries) = section(".debug_frame") {
            tables.push(FrameTable::debug(entries, text));
        }
        let build_id = elf.build_id().ok().flatten().map(|id| {
            let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            hex.into()
        });
        Some(Self {
            build_id,
            segments,
            go: go_table(&elf),
            tables,
            ..Self::default()
        })
    }

    /// The module's address of a byte of its file, if that is code.
    pub(super) fn address(&self, offset: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let within = offset.checked_sub(segment.offset)?;
            (within < segment.size).then(|| segment.address.checked_add(within))?
        })
    }

    /// Makes the registers those of the caller. `at`: the module's address of the code. `None` if no table
    /// is about it.
    pub(super) fn step(
        &self,
        machine: &Architecture,
        at: u64,
        registers: &mut Registers,
        is_exact: bool,
        memory: Memory<'_>,
    ) -> Option<Step> {
        // Of Go's code, call frame information says less: where a function changes to another stack, it is
        // wrong.
        let go = self.go.as_ref();
        if let Some(step) =
            go.and_then(|table| table.step(machine, at, registers, is_exact, memory))
        {
            return Some(step);
        }
        let mut tables = self.tables.iter();
        tables.find_map(|table| table.step(machine, at, registers, is_exact, memory))
    }

    /// What the function at an address has done with its frame there, as far as its code shows that.
    pub(super) fn frame(
        &self,
        machine: &Architecture,
        at: u64,
        is_exact: bool,
    ) -> Option<FrameState> {
        /// Functions set their frames up near their start.
        const MOST_CODE: u64 = 4096;
        let file = self.file.as_ref()?;
        let functions = self
            .functions
            .get_or_init(|| functions(file).unwrap_or_default());
        let after = functions.partition_point(|start| *start <= at);
        let start = *functions.get(after.checked_sub(1)?)?;
        let code = |from: u64, length: u64| -> Option<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(length).ok()?];
            file.read_exact_at(&mut bytes, self.offset(from)?).ok()?;
            Some(bytes)
        };
        let before = code(start, (at - start).min(MOST_CODE))?;
        let next = if is_exact { code(at, 1)? } else { Vec::new() };
        frame_pointers::frame(machine, &before, &next)
    }

    /// Where a byte of the code is in the file.
    fn offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            (within < segment.size).then(|| segment.offset.checked_add(within))?
        })
    }
}

/// Where the functions of a file start, by its symbols.
fn functions(file: &File) -> Option<Vec<u64>> {
    /// More than the largest browsers have.
    const MOST: usize = 4 << 20;
    let data = ReadCache::new(file);
    let elf = ElfFile64::<LittleEndian, _>::parse(&data).ok()?;
    let symbols = elf.symbols().chain(elf.dynamic_symbols()).take(MOST);
    let functions =
        symbols.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
    let mut starts: Vec<u64> = functions.map(|symbol| symbol.address()).collect();
    starts.sort_unstable();
    starts.dedup();
    Some(starts)
}

/// Go's table of an open file, if that is a Go program.
pub(super) fn go_table_of(file: &File) -> Option<GoTable> {
    let data = ReadCache::new(file);
    go_table(&ElfFile64::<LittleEndian, _>::parse(&data).ok()?)
}

fn go_table<'a, R: ReadRef<'a>>(elf: &ElfFile64<'a, LittleEndian, R>) -> Option<GoTable> {
    let mut names = [".gopclntab", ".data.rel.ro.gopclntab"].into_iter();
    let section = names.find_map(|name| section(elf, name))?;
    GoTable::parse(section, |field, value| match value {
        // The loader writes it; or the version of Go has no use for it.
        0 => relocated(elf, field).or_else(|| Some(elf.section_by_name(".text")?.address())),
        value => Some(value),
    })
}

/// What the loader writes to an address of a position-independent program, relative to its base.
fn relocated<'a, R: ReadRef<'a>>(
    elf: &ElfFile64<'a, LittleEndian, R>,
    address: u64,
) -> Option<u64> {
    let mut names = [".rela.dyn", ".rela"].into_iter();
    let relocations = names.find_map(|name| section(elf, name))?;
    const RELATIVE: [u64; 2] = [R_X86_64_RELATIVE as u64, R_AARCH64_RELATIVE as u64];
    // `Elf64_Rela`: address, kind and symbol, addend.
    relocations.bytes.chunks_exact(24).find_map(|entry| {
        let number = |at: usize| Some(u64::from_le_bytes(entry.get(at..at + 8)?.try_into().ok()?));
        let is_relative = RELATIVE.contains(&number(8)?);
        (number(0)? == address && is_relative).then(|| number(16))?
    })
}

/// A section's bytes, decompressed.
fn section<'a, R: ReadRef<'a>>(
    elf: &ElfFile64<'a, LittleEndian, R>,
    name: &str,
) -> Option<Section> {
    let section = elf.section_by_name(name)?;
    if section.size() > LARGEST_SECTION {
        return None;
    }
    let data = section.compressed_data().ok()?;
    let size = data.uncompressed_size;
    if size > LARGEST_SECTION {
        return None;
    }
    let bytes = match data.format {
        CompressionFormat::None => data.data.to_vec(),
        CompressionFormat::Zlib => inflate(data.data, size).ok()?,
        CompressionFormat::Zstandard => {
            zstd::bulk::decompress(data.data, usize::try_from(size).ok()?).ok()?
        }
        _ => return None,
    };
    Some(Section {
        bytes,
        address: section.address(),
    })
}

fn inflate(data: &[u8], size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::ZlibDecoder::new(data)
        .take(size)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_program() -> (Vec<u8>, Module) {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let module = Module::of_bytes(&bytes).unwrap();
        (bytes, module)
    }

    #[test]
    fn code_has_an_address_and_a_table() {
        let (_, module) = this_program();
        assert!(!module.tables.is_empty());
        let segment = module.segments[0];
        assert_eq!(module.address(segment.offset), Some(segment.address));
        let last = segment.offset + segment.size - 1;
        assert_eq!(
            module.address(last),
            Some(segment.address + segment.size - 1)
        );
        assert_eq!(module.address(last + 1), None);
        assert_eq!(module.address(u64::MAX), None);
        let file = File::open("/proc/self/exe").unwrap();
        let same = Module::of_file(&file).unwrap();
        assert_eq!(same.segments, module.segments);
        assert_eq!(same.build_id, module.build_id);
    }

    #[test]
    fn a_file_that_is_cut_is_read_or_refused() {
        let (bytes, _) = this_program();
        for length in [
            0,
            1,
            16,
            63,
            64,
            100,
            1000,
            4096,
            bytes.len() / 2,
            bytes.len() - 1,
        ] {
            let _ = Module::of_bytes(&bytes[..length]);
        }
        for at in 0..64 {
            let mut header = bytes[..bytes.len().min(1 << 16)].to_vec();
            header[at] ^= 0xff;
            let _ = Module::of_bytes(&header);
        }
    }
}
