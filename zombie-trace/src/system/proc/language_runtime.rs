//! What a process runs on, by its executable.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read as _,
    ops::Range,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Mutex,
};

use object::{
    Endianness, FileKind, ReadCache, ReadRef,
    elf::{FileHeader32, FileHeader64},
    read::elf::{FileHeader, SectionHeader as _},
};

use super::{directory, view::Proc};
use crate::model::LanguageRuntime;

/// By device, inode and time of the last change of an executable: it is read once.
static KNOWN: Mutex<Option<HashMap<Executable, LanguageRuntime>>> = Mutex::new(None);

type Executable = (u64, u64, i64);

/// As many executables are remembered, at the most.
const MOST: usize = 1024;

impl Proc {
    /// What a process runs on, as far as its executable says.
    pub fn language_runtime(&self, pid: u32) -> Option<LanguageRuntime> {
        of(pid)
    }
}

/// The runtime of a process; `None` if its executable can't be read.
pub(super) fn of(pid: u32) -> Option<LanguageRuntime> {
    let directory = directory(pid);
    let link = directory.join("exe");
    let path = fs::read_link(&link).ok()?;
    if let Some(runtime) = by_name(&path) {
        return Some(runtime);
    }
    if embeds_java(&directory) {
        return Some(LanguageRuntime::Java);
    }
    // The link itself leads to the file, also if its path is another namespace's or it was deleted.
    let metadata = fs::metadata(&link).ok()?;
    let key = (metadata.dev(), metadata.ino(), metadata.mtime());
    let mut known = KNOWN.lock().ok()?;
    let known = known.get_or_insert_default();
    if let Some(runtime) = known.get(&key) {
        return Some(*runtime);
    }
    let runtime = by_sections(&link)?;
    if known.len() >= MOST {
        known.clear();
    }
    known.insert(key, runtime);
    Some(runtime)
}

/// Interpreters are told by their names.
fn by_name(path: &Path) -> Option<LanguageRuntime> {
    use LanguageRuntime::{Java, Node, Perl, Php, Python, Ruby, Shell};
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    // python3.11, php8.2, perl5.36.0, ruby3.1
    let name = name.trim_end_matches(|char: char| char.is_ascii_digit() || ".-".contains(char));
    Some(match name {
        "node" | "nodejs" => Node,
        "python" | "pypy" => Python,
        "java" => Java,
        "php" | "php-fpm" | "php-cgi" | "php-fpm-cgi" => Php,
        "ruby" => Ruby,
        "perl" => Perl,
        "sh" | "dash" | "bash" | "zsh" | "ksh" | "mksh" | "ash" | "fish" => Shell,
        _ => return None,
    })
}

/// A native launcher can load the JVM.
fn embeds_java(directory: &Path) -> bool {
    /// A process can make hundreds of MiB of this file.
    const ENOUGH: u64 = 4 << 20;
    let mut maps = Vec::new();
    let file = File::open(directory.join("maps"));
    let read = file.and_then(|file| file.take(ENOUGH).read_to_end(&mut maps));
    let name = b"/libjvm.so";
    read.is_ok() && maps.windows(name.len()).any(|part| part == name)
}

/// Native programs are told by what their toolchain leaves in them.
fn by_sections(path: &Path) -> Option<LanguageRuntime> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let data = SmallParts(&cache);
    match FileKind::parse(data).ok()? {
        FileKind::Elf64 => of_elf::<FileHeader64<Endianness>>(data),
        FileKind::Elf32 => of_elf::<FileHeader32<Endianness>>(data),
        _ => None,
    }
}

/// Of a file that can be anybody's: what its headers say may be wrong, and its sections larger than
/// memory.
#[derive(Clone, Copy)]
struct SmallParts<'a>(&'a ReadCache<File>);

impl<'a> ReadRef<'a> for SmallParts<'a> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        /// A thousand section headers.
        const LARGEST: u64 = 64 << 10;
        match size {
            0..=LARGEST => self.0.read_bytes_at(offset, size),
            _ => Err(()),
        }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.0.read_bytes_at_until(range, delimiter)
    }
}

fn of_elf<Elf: FileHeader<Endian = Endianness>>(data: SmallParts<'_>) -> Option<LanguageRuntime> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let find = |name: &[u8]| sections.section_by_name(endian, name);
    if find(b".go.buildinfo").is_some() || find(b".note.go.buildid").is_some() {
        return Some(LanguageRuntime::Go);
    }
    let comment = find(b".comment").and_then(|(_, section)| section.data(endian, data).ok());
    let is_rust = comment.is_some_and(|text| text.windows(6).any(|part| part == b"rustc "));
    Some(match is_rust {
        true => LanguageRuntime::Rust,
        false => LanguageRuntime::C,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_by_name() {
        for (path, runtime) in [
            ("/usr/bin/python3.11", Some(LanguageRuntime::Python)),
            ("/usr/bin/node (deleted)", Some(LanguageRuntime::Node)),
            ("/usr/sbin/php-fpm8.2", Some(LanguageRuntime::Php)),
            ("/usr/bin/perl", Some(LanguageRuntime::Perl)),
            ("/bin/dash", Some(LanguageRuntime::Shell)),
            ("/usr/bin/pythonista", None),
            ("/usr/sbin/sshd", None),
        ] {
            assert_eq!(by_name(Path::new(path)), runtime, "{path}");
        }
    }

    #[test]
    fn this_program_is_rust() {
        assert_eq!(of(std::process::id()), Some(LanguageRuntime::Rust));
    }

    #[test]
    fn a_huge_memory_map_is_read_in_part() {
        let directory = tempfile::tempdir().unwrap();
        let mut maps = File::create(directory.path().join("maps")).unwrap();
        maps.set_len(1 << 40).unwrap();
        assert!(!embeds_java(directory.path()));
        // Whatever bytes are in paths.
        let line = b"7f00-7f01 r-xp 0 08:01 1 /opt/\xff/lib/server/libjvm.so\n";
        std::io::Write::write_all(&mut maps, line).unwrap();
        assert!(embeds_java(directory.path()));
    }

    /// One that its owner has made so large that reading all of it takes all memory.
    #[test]
    fn a_huge_executable_is_read_in_part() {
        for (size, runtime) in [
            (1 << 12, LanguageRuntime::Rust),
            (1 << 20, LanguageRuntime::C),
            (1 << 40, LanguageRuntime::C),
        ] {
            assert_eq!(of_sections(size), Some(runtime), "{size}");
        }
    }

    /// The runtime of an executable whose sections are of this size. `.comment` begins as that of a Rust
    /// program does.
    fn of_sections(size: u64) -> Option<LanguageRuntime> {
        const HEADER: usize = 64;
        const SECTION: usize = 64;
        const PAGE: u64 = 4096;
        let mut bytes = fs::read("/proc/self/exe").unwrap();
        bytes.truncate(HEADER);
        let sections = HEADER as u64;
        bytes[0x28..0x30].copy_from_slice(&sections.to_ne_bytes());
        // The number of sections; the names are in the last.
        bytes[0x3c..0x3e].copy_from_slice(&4u16.to_ne_bytes());
        bytes[0x3e..0x40].copy_from_slice(&3u16.to_ne_bytes());
        let names = b"\0.comment\0";
        // Name, type, offset, size: SHT_SYMTAB, SHT_PROGBITS and SHT_STRTAB (elf(5)).
        for (name, kind, offset, size) in [
            (0u32, 0u32, 0u64, 0u64),
            (0, 2, PAGE, size),
            (1, 1, PAGE, size),
            (0, 3, sections + 4 * SECTION as u64, names.len() as u64),
        ] {
            let mut header = [0; SECTION];
            header[..4].copy_from_slice(&name.to_ne_bytes());
            header[4..8].copy_from_slice(&kind.to_ne_bytes());
            header[24..32].copy_from_slice(&offset.to_ne_bytes());
            header[32..40].copy_from_slice(&size.to_ne_bytes());
            bytes.extend(header);
        }
        bytes.extend(names);
        bytes.resize(PAGE as usize, 0);
        bytes.extend(b"rustc version 1.88.0");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("huge");
        fs::write(&path, bytes).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(PAGE + size).unwrap();
        by_sections(&path)
    }
}
