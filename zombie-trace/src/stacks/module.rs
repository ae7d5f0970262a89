//! Programs and libraries: where their code is, and how to unwind it. They belong to others, who may have
//! written anything into them, and may change them while they are read.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::Arc,
};

use object::{
    CompressionFormat, LittleEndian, Object as _, ObjectSection as _, ReadCache, ReadRef,
    elf::{PF_X, PT_LOAD},
    read::elf::{ElfFile64, ProgramHeader as _},
};

use super::{
    registers::{Machine, Registers},
    unwind::{Memory, Section, Step, Table},
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
    segments: Vec<Segment>,
    tables: Vec<Table>,
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
            tables.push(Table::eh(entries, section(".eh_frame_hdr"), text, got));
        }
        if let Some(entries) = section(".debug_frame") {
            tables.push(Table::debug(entries, text));
        }
        let build_id = elf.build_id().ok().flatten().map(|id| {
            let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            hex.into()
        });
        Some(Self {
            path: None,
            build_id,
            file: None,
            segments,
            tables,
        })
    }

    /// The module's address of a byte of its file, if that is code.
    pub(super) fn address(&self, offset: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let within = offset.checked_sub(segment.offset)?;
            (within < segment.size).then(|| segment.address.checked_add(within))?
        })
    }

    /// Makes the registers those of the caller. `at`: the module's address of the code.
    pub(super) fn step(
        &self,
        machine: &Machine,
        at: u64,
        registers: &mut Registers,
        is_exact: bool,
        memory: Memory<'_>,
    ) -> Step {
        let mut tables = self.tables.iter();
        tables
            .find_map(|table| table.step(machine, at, registers, is_exact, memory))
            .unwrap_or(Step::Lost)
    }
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
