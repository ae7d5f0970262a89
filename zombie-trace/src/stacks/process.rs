//! The code of sampled processes, and the modules that they share. Files stay open, so that their symbols
//! can be read when the process is gone.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    sync::Arc,
    time::{Duration, Instant},
};

use caps::Capability;
use nix::{
    libc,
    sys::{
        memfd::{MFdFlags, memfd_create},
        resource::{Resource, getrlimit},
    },
};
use zombie_trace_common::StackSample;

use super::{mappings::Mapping, module::Module, perf_map, walk::Code};
use crate::system::privilege::raised;

/// Processes whose mappings are remembered.
const MOST_PROCESSES: usize = 256;

/// A process can map another file without any of its figures changing.
const MAPPINGS_HOLD: Duration = Duration::from_secs(1);

/// A longer list of mappings is cut.
const LONGEST_MAPS: u64 = 64 << 20;

/// The name of the kernel's own library.
const VDSO: &str = "[vdso]";

/// Tells a file from every other, and from what it was before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// All modules, by their numbers.
#[derive(Debug)]
pub(super) struct Modules {
    list: Vec<Module>,
    by_file: HashMap<FileId, usize>,
    vdso: Option<Option<usize>>,
    /// How many more files may stay open.
    room: usize,
}

impl Modules {
    pub(super) fn new() -> Self {
        // The rest of the program has the others.
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft / 4);
        Self {
            list: Vec::new(),
            by_file: HashMap::new(),
            vdso: None,
            room: usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn get(&self, number: usize) -> Option<&Module> {
        self.list.get(number)
    }

    pub(super) fn all(&self) -> &[Module] {
        &self.list
    }

    /// The module that a process maps there. Gives its number.
    fn load(&mut self, pid: u32, mapping: &Mapping) -> Option<usize> {
        if &*mapping.name == VDSO {
            return self.vdso();
        }
        if mapping.inode == 0 {
            return None;
        }
        let file = open(pid, mapping)
            .inspect_err(|error| log::debug!("process {pid}: {}: {error}", mapping.name))
            .ok()?;
        let metadata = file.metadata().ok()?;
        let id = FileId {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        if let Some(number) = self.by_file.get(&id) {
            return Some(*number);
        }
        let mut module = Module::of_file(&file).unwrap_or_default();
        module.path = Some(Arc::clone(&mapping.name));
        if self.room > 0 {
            self.room -= 1;
            module.file = Some(file);
        }
        let number = self.list.len();
        self.list.push(module);
        self.by_file.insert(id, number);
        Some(number)
    }

    /// The map of the names of a process's code that is in no file.
    fn perf_map(&mut self, pid: u32) -> Option<usize> {
        let file = perf_map::open(pid)
            .inspect_err(|error| log::debug!("process {pid}: no perf map: {error}"))
            .ok()?;
        let metadata = file.metadata().ok()?;
        // It grows, and stays the same. While it is open, no other file can be in its place.
        let id = FileId {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: 0,
            changed: (0, 0),
        };
        if let Some(number) = self.by_file.get(&id) {
            return Some(*number);
        }
        self.room = self.room.checked_sub(1)?;
        let number = self.list.len();
        self.list.push(Module::of_perf_map(file));
        self.by_file.insert(id, number);
        Some(number)
    }

    /// Ours, which is everyone's.
    fn vdso(&mut self) -> Option<usize> {
        if let Some(known) = self.vdso {
            return known;
        }
        let number = own_vdso().and_then(|bytes| {
            let mut module = Module::of_bytes(&bytes)?;
            module.path = Some(VDSO.into());
            module.file = memory_file(&bytes).ok();
            self.list.push(module);
            Some(self.list.len() - 1)
        });
        self.vdso = Some(number);
        number
    }
}

fn memory_file(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("vdso", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

fn own_vdso() -> Option<Vec<u8>> {
    const LARGEST: u64 = 1 << 20;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let all = Mapping::parse_all(&maps);
    let vdso = all.iter().find(|mapping| &*mapping.name == VDSO)?;
    let length = vdso.range.end.checked_sub(vdso.range.start)?;
    let mut bytes = vec![0; usize::try_from(length.min(LARGEST)).ok()?];
    let memory = File::open("/proc/self/mem").ok()?;
    memory.read_exact_at(&mut bytes, vdso.range.start).ok()?;
    Some(bytes)
}

/// Opens what a process maps, if it is a regular file: anything else could do something when it is opened,
/// or let us wait.
fn open(pid: u32, mapping: &Mapping) -> io::Result<File> {
    let range = &mapping.range;
    // It leads to the very file, even if that is deleted, or in another mount namespace.
    let link = format!("/proc/{pid}/map_files/{:x}-{:x}", range.start, range.end);
    let found = raised(Capability::CAP_SYS_PTRACE, || locate(&link));
    let found = match found {
        Ok(found) => found,
        // It needs more privileges than the way by the process's root directory.
        Err(_) => {
            let path = format!("/proc/{pid}/root{}", mapping.name);
            let found = raised(Capability::CAP_SYS_PTRACE, || locate(&path))?;
            if found.metadata()?.ino() != mapping.inode {
                return Err(io::Error::other("the file has been replaced"));
            }
            found
        }
    };
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// Finds a regular file without opening it.
fn locate(path: &str) -> io::Result<File> {
    let found = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
        .open(path)?;
    match found.metadata()?.is_file() {
        true => Ok(found),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// What must be the same for the mappings to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Generation {
    start_boottime: u64,
    mm: u64,
    map_count: u32,
    total_vm: u64,
    exec_vm: u64,
}

/// The mappings of one process.
#[derive(Debug)]
struct Process {
    generation: Generation,
    read: Instant,
    mappings: Vec<Mapping>,
    /// The module of each mapping, once it was asked for.
    modules: Vec<Option<Option<usize>>>,
    /// The map of its names, once it was asked for.
    perf_map: Option<Option<usize>>,
}

/// The processes that have been sampled.
#[derive(Debug, Default)]
pub(super) struct Processes(HashMap<u32, Process>);

impl Processes {
    /// The code of the process with this pid, as of the moment of the sample.
    pub(super) fn code<'a>(
        &'a mut self,
        modules: &'a mut Modules,
        pid: u32,
        sample: &StackSample,
    ) -> io::Result<impl Code + use<'a>> {
        let generation = Generation {
            start_boottime: sample.start_boottime,
            mm: sample.mm,
            map_count: sample.map_count,
            total_vm: sample.total_vm,
            exec_vm: sample.exec_vm,
        };
        let holds = |process: &Process| {
            process.generation == generation && process.read.elapsed() < MAPPINGS_HOLD
        };
        if !self.0.get(&pid).is_some_and(holds) {
            if self.0.len() >= MOST_PROCESSES {
                self.0.clear();
            }
            match (Process::read(pid, generation), self.0.get_mut(&pid)) {
                (Ok(process), _) => drop(self.0.insert(pid, process)),
                // It may have ended since.
                (Err(_), Some(known)) if known.generation == generation => {}
                (Err(error), _) => return Err(error),
            }
        }
        let process = self.0.get_mut(&pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(CodeOf {
            pid,
            process,
            modules,
        })
    }
}

impl Process {
    fn read(pid: u32, generation: Generation) -> io::Result<Self> {
        let text = raised(Capability::CAP_SYS_PTRACE, || maps(pid))?;
        let mappings = Mapping::parse_all(&String::from_utf8_lossy(&text));
        Ok(Self {
            generation,
            read: Instant::now(),
            modules: vec![None; mappings.len()],
            mappings,
            perf_map: None,
        })
    }
}

fn maps(pid: u32) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = File::open(format!("/proc/{pid}/maps"))?;
    file.take(LONGEST_MAPS).read_to_end(&mut text)?;
    Ok(text)
}

struct CodeOf<'a> {
    pid: u32,
    process: &'a mut Process,
    modules: &'a mut Modules,
}

impl Code for CodeOf<'_> {
    fn mappings(&self) -> &[Mapping] {
        &self.process.mappings
    }

    fn module(&mut self, mapping: usize) -> Option<(usize, &Module)> {
        let known = self.process.modules.get_mut(mapping)?;
        let number = match known {
            Some(number) => *number,
            None => {
                let number = self
                    .modules
                    .load(self.pid, self.process.mappings.get(mapping)?);
                *known = Some(number);
                number
            }
        }?;
        Some((number, self.modules.get(number)?))
    }
    fn perf_map(&mut self) -> Option<usize> {
        let known = &mut self.process.perf_map;
        *known.get_or_insert_with(|| self.modules.perf_map(self.pid))
    }
}
