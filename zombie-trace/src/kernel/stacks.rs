//! Copies of threads' registers and stacks, by programs that are an object of their own.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    maps::{MapData, RingBuf},
    programs::{
        Iter, PerfEvent, ProgramError,
        perf_event::{
            PerfEventConfig, PerfEventLinkId, PerfEventScope, SamplePolicy, SoftwareEvent,
        },
    },
};
use nix::libc;
use zerocopy::FromBytes as _;
use zombie_trace_common::{Counters, SnapshotEntry, StackSample};

use super::{
    KernelError, Tracer, capability::LockedMemory, counters, decode, facts::KernelTypes,
    mapping::MappedArray,
};
use crate::system::{OURS, Release};

static OBJECT: &[u8] = include_bytes_aligned!(env!("ZOMBIE_TRACE_STACKS_OBJECT"));

/// Room for some 80 samples of running threads.
const RUNNING_BYTES: u32 = 1 << 20;

/// How often a running thread is sampled, per second of its CPU time.
const RUNNING_HZ: u64 = 99;

/// As many running threads are sampled at a time: each takes two descriptors.
const MOST_WATCHED: usize = 16;

/// The programs. They do nothing until they are asked to.
pub struct StackPrograms {
    /// Holds the programs, and with them the maps.
    ebpf: Ebpf,
    running: RingBuf<MapData>,
    watched: HashMap<u32, PerfEventLinkId>,
    buffer: Vec<u8>,
}

impl StackPrograms {
    /// Loads them. `btf`: the kernel's types, if they are not where they usually are.
    ///
    /// # Errors
    /// Missing capabilities or types, or a kernel that can't do this.
    pub fn load(btf: Option<&Path>) -> Result<Self, KernelError> {
        let types = KernelTypes::read(btf)?;
        let offsets = types.stack_offsets.map_err(|source| KernelError::Btf {
            path: types.path,
            source,
        })?;
        // An older kernel would walk all tasks.
        if !types.iterates_one_thread {
            return Err(KernelError::NoStacks {
                release: Release::running().as_str().to_owned(),
            });
        }
        let _unlimited = LockedMemory::lift(types.counts_locked_memory)?;
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&types.btf))
            .override_global("ARCH", &OURS.number, true)
            .map_max_entries("RUNNING_STACKS", RUNNING_BYTES);
        for (global, offset) in &offsets {
            loader.override_global(global, offset, true);
        }
        let refused = |what, error: ProgramError| KernelError::refused(what, error);
        let mut ebpf = loader
            .load(OBJECT)
            .map_err(|error| KernelError::refused("the eBPF object for stacks", error))?;
        iterator(&mut ebpf)?
            .load("task", &types.btf)
            .map_err(|error| refused("iter.s/task thread_stack", error))?;
        perf_event(&mut ebpf)?
            .load()
            .map_err(|error| refused("perf_event running_stack", error))?;
        let running = ebpf
            .take_map("RUNNING_STACKS")
            .ok_or_else(|| KernelError::refused("map RUNNING_STACKS", "the object lacks it"))?
            .try_into()
            .map_err(|error| KernelError::refused("map RUNNING_STACKS", error))?;
        drop(ebpf.take_map("SAMPLE"));
        Ok(Self {
            ebpf,
            running,
            watched: HashMap::new(),
            buffer: vec![0; size_of::<StackSample>()],
        })
    }

    /// Copies what a thread has, as our pid namespace numbers it; `None` if it is gone.
    ///
    /// # Errors
    /// The kernel refuses to walk.
    pub fn sample(&mut self, tid: u32) -> io::Result<Option<Box<StackSample>>> {
        let program = iterator(&mut self.ebpf).map_err(io::Error::other)?;
        let program = program.fd().map_err(io::Error::other)?;
        let mut walk = walk(program.as_fd().as_raw_fd(), tid)?;
        match walk.read_exact(&mut self.buffer) {
            Ok(()) => Ok(StackSample::read_from_bytes(&self.buffer)
                .ok()
                .map(Box::new)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// From now on samples a thread while it runs. Gives whether it does.
    ///
    /// # Errors
    /// The thread is gone, or the kernel refuses.
    pub fn watch(&mut self, tid: u32) -> Result<bool, KernelError> {
        if self.watched.contains_key(&tid) {
            return Ok(true);
        }
        if self.watched.len() >= MOST_WATCHED {
            return Ok(false);
        }
        let link = perf_event(&mut self.ebpf)?
            .attach(
                PerfEventConfig::Software(SoftwareEvent::CpuClock),
                PerfEventScope::OneProcess {
                    pid: tid,
                    cpu: None,
                },
                SamplePolicy::Frequency(RUNNING_HZ),
                false,
            )
            .map_err(|error| KernelError::refused("perf_event running_stack", error))?;
        self.watched.insert(tid, link);
        Ok(true)
    }

    /// Ends the sampling of all but these threads.
    pub fn watch_only(&mut self, wanted: impl Fn(u32) -> bool) {
        let ended: Vec<u32> = self.watched.keys().copied().collect();
        for tid in ended.into_iter().filter(|&tid| !wanted(tid)) {
            if let Some(link) = self.watched.remove(&tid)
                && let Ok(program) = perf_event(&mut self.ebpf)
            {
                // A thread that is gone has taken its event along.
                let _ = program.detach(link);
            }
        }
    }

    /// The oldest sample of a running thread that is there.
    pub fn running(&mut self) -> Option<Box<StackSample>> {
        let bytes = self.running.next()?;
        StackSample::read_from_bytes(&bytes).ok().map(Box::new)
    }
}

/// Lists zombies beside the tracer.
pub struct ZombieList {
    program: OwnedFd,
    counters: Arc<MappedArray<Counters>>,
    /// What the last walk has found, when, and with which counters.
    last: Option<(Counters, Instant, Vec<SnapshotEntry>)>,
}

impl Tracer {
    /// For another thread.
    ///
    /// # Errors
    /// There can be no other descriptor.
    pub fn zombie_list(&self) -> io::Result<ZombieList> {
        let program = self
            .ebpf
            .program("list_tasks")
            .ok_or(io::ErrorKind::NotFound)?;
        let program = program.fd().map_err(io::Error::other)?;
        Ok(ZombieList {
            program: program.as_fd().try_clone_to_owned()?,
            counters: Arc::clone(&self.counters),
            last: None,
        })
    }
}

impl ZombieList {
    /// The zombies and dying processes that are known and still in the kernel's task list. The last list is
    /// used again while no process has come or gone. `is_empty` says by the counters whether there is none.
    ///
    /// # Errors
    /// The kernel refuses to walk.
    pub fn read(&mut self, is_empty: impl Fn(&Counters) -> bool) -> io::Result<&[SnapshotEntry]> {
        /// A parent can end unseen, and leave its zombies to another one.
        const HOLDS: Duration = Duration::from_secs(1);
        let counters = counters::sum(self.counters.values());
        if is_empty(&counters) {
            return Ok(&[]);
        }
        let holds =
            |(then, at, _): &(Counters, Instant, _)| *then == counters && at.elapsed() < HOLDS;
        if !self.last.as_ref().is_some_and(holds) {
            let mut bytes = Vec::new();
            walk(self.program.as_raw_fd(), 0)?.read_to_end(&mut bytes)?;
            let entries = decode::snapshot(&bytes).map_err(io::Error::other)?;
            self.last = Some((counters, Instant::now(), entries));
        }
        Ok(self.last.as_ref().map_or(&[], |(.., entries)| entries))
    }
}

fn iterator(ebpf: &mut Ebpf) -> Result<&mut Iter, KernelError> {
    ebpf.program_mut("thread_stack")
        .ok_or_else(|| KernelError::refused("iter.s/task thread_stack", "the object lacks it"))?
        .try_into()
        .map_err(|error| KernelError::refused("iter.s/task thread_stack", error))
}

fn perf_event(ebpf: &mut Ebpf) -> Result<&mut PerfEvent, KernelError> {
    ebpf.program_mut("running_stack")
        .ok_or_else(|| KernelError::refused("perf_event running_stack", "the object lacks it"))?
        .try_into()
        .map_err(|error| KernelError::refused("perf_event running_stack", error))
}

/// The part of `union bpf_attr` that BPF_LINK_CREATE and BPF_ITER_CREATE use (include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    padding: u32,
}

/// `bpf_iter_link_info.task` (6.1 and later).
#[repr(C)]
#[derive(Default)]
struct TaskInfo {
    tid: u32,
    pid: u32,
    pid_fd: u32,
}

/// An iterator over one thread, which aya can't make, or over all if `tid` is 0.
fn walk(program: RawFd, tid: u32) -> io::Result<File> {
    const BPF_LINK_CREATE: libc::c_long = 28;
    const BPF_ITER_CREATE: libc::c_long = 33;
    const BPF_TRACE_ITER: u32 = 28;
    let info = TaskInfo {
        tid,
        ..TaskInfo::default()
    };
    let create = LinkCreate {
        program: program.cast_unsigned(),
        attach_type: BPF_TRACE_ITER,
        ..LinkCreate::default()
    };
    let create = match tid {
        0 => create,
        _ => LinkCreate {
            iter_info: (&raw const info).addr() as u64,
            iter_info_len: size_of::<TaskInfo>() as u32,
            ..create
        },
    };
    let link = bpf(BPF_LINK_CREATE, &create)?;
    let iterate = [link.as_raw_fd().cast_unsigned(), 0];
    Ok(bpf(BPF_ITER_CREATE, &iterate)?.into())
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the attributes, and what they point to, live longer than the call, which reads no more
    // than their size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw const *attributes,
            size_of::<T>(),
        )
    };
    match RawFd::try_from(result) {
        // SAFETY: the kernel has just opened it for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_those_of_the_kernel() {
        assert_eq!(std::mem::offset_of!(LinkCreate, iter_info), 16);
        assert_eq!(std::mem::offset_of!(LinkCreate, iter_info_len), 24);
        assert_eq!(size_of::<LinkCreate>(), 32);
        assert_eq!(size_of::<TaskInfo>(), 12);
    }
}
