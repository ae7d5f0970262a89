use std::{
    fs, io::Read as _, os::unix::fs::MetadataExt as _, path::PathBuf, thread, time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, LpmTrie, Map, MapData, RingBuf, lpm_trie::Key},
    programs::Iter,
};
use aya_log::EbpfLogger;
use zombie_trace_common::{
    ClockSample, Control, Counters, HANDLERS_LEN, HOST_NAME_LEN, HandlerRuns, RunningDescendant,
    SnapshotEntry, TaskState,
    scope::{self as scope_bits, CGROUP_NAME_LEN, NamePattern},
    stage,
};

use super::{
    Backend, KernelError, Scope,
    attach::{self, Attachment},
    capability, counters,
    facts::{Facts, KernelTypes},
    mapping::{Mapping, Setting},
    misses::Misses,
    object, sealed, slots, tracefs,
};
use crate::{
    container::{self, ContainerQuery},
    kernel::decode,
    system::{Release, deadline::Deadline, pid_max, sample_clocks},
};

/// How long the processes from before the hooks are looked for, at the most.
const ADOPTION: Duration = Duration::from_secs(1);

/// The initial pid namespace's inode number (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PIDNS: u32 = 0xeffffffc;

/// What the kernel side is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The one to use; the best that loads if none is given.
    pub backend: Option<Backend>,
    /// The kernel's BTF, if it is not where it usually is.
    pub btf: Option<PathBuf>,
    /// Which processes the run is about.
    pub scope: Scope,
    /// How many processes can be dying or zombies at once.
    pub max_zombies: u32,
    /// Size of the ring buffer in bytes, a power of two and a multiple of the page size.
    pub buffer: u32,
    /// The programs log what they do.
    pub debug: bool,
}

/// The programs, live in the kernel until this is dropped or the process ends.
pub struct Tracer {
    ebpf: Ebpf,
    counters: Mapping<Counters>,
    handlers: Mapping<HandlerRuns>,
    control: Setting<Control>,
    map_bytes: u64,
    slots: u32,
    has_tree: bool,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    backend: Backend,
    refusals: Vec<(Backend, KernelError)>,
    missed_exits: Option<Misses>,
    /// The run is over: no later reading counts.
    closed: bool,
}

/// What was there before the hooks.
#[derive(Clone, Debug, Default)]
pub struct Adopted {
    /// The zombies and dying processes that are known.
    pub entries: Vec<SnapshotEntry>,
    /// How many new descendants the last walk found that there was time for: if any, there may be
    /// more.
    pub unsettled: u64,
}

impl Tracer {
    /// Loads and attaches every hook of the backend that is asked for, or of the best that loads.
    ///
    /// # Errors
    /// Missing capabilities, a kernel before 5.10, missing or incomplete BTF, no tracefs, or a
    /// program that the kernel refuses: each names what is missing. If no backend loads, the error
    /// is that of the last.
    pub fn start(config: &Config) -> Result<Self, KernelError> {
        capability::check_limits()?;
        capability::check()?;
        let release = Release::running();
        // What can't be understood is given a try.
        if release.is_at_least(5, 10) == Some(false) {
            return Err(KernelError::TooOld {
                release: release.as_str().to_owned(),
            });
        }
        // A new loader parses the kernel's types for itself, even if it is then given others.
        let (loader, kernel_types) = thread::scope(|scope| {
            let loader = scope.spawn(EbpfLoader::new);
            let kernel_types = KernelTypes::read(config.btf.as_deref());
            (loader.join(), kernel_types)
        });
        let loader = loader.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let kernel_types = kernel_types?;
        let facts = Facts::new(&kernel_types, &release);

        let _unlimited = capability::LockedMemory::lift(&release)?;
        let KernelTypes { btf, .. } = kernel_types;
        let mut ebpf = load(loader, config, &btf, &facts)?;
        let logger = if config.debug {
            let logger = EbpfLogger::init(&mut ebpf)
                .map_err(|error| KernelError::refused("the log's ring buffer", error))?;
            Some(logger)
        } else {
            None
        };
        let counters = share(&ebpf, "COUNTERS", possible_cpus()?)?;
        let handlers = share(&ebpf, "HANDLERS", HANDLERS_LEN as usize)?;
        let control = Setting::new(array(&ebpf, "CONTROL")?.fd())
            .map_err(|error| KernelError::io("map CONTROL", error.into()))?;
        let mut tracer = Self {
            ebpf,
            counters,
            handlers,
            control,
            map_bytes: 0,
            has_tree: config.scope.tree.is_some(),
            slots: slots::number(config.max_zombies),
            logger,
            backend: Backend::Tracepoint,
            refusals: Vec::new(),
            missed_exits: None,
            closed: false,
        };
        tracer.attach(config, &btf, facts.has_io_waitid)?;
        // Loading a program needs the descriptors of its maps.
        tracer.map_bytes = sealed::seal(&mut tracer.ebpf)?;
        tracer.missed_exits = misses_of_exit(&tracer.ebpf);
        drop(btf);
        give_back_memory();
        Ok(tracer)
    }

    fn attach(
        &mut self,
        config: &Config,
        btf: &aya::Btf,
        has_io_waitid: bool,
    ) -> Result<(), KernelError> {
        let tree = [attach::FORK, attach::DESCENDANTS];
        let tree = config.scope.tree.map(|_| tree);
        let first: Vec<_> = [attach::FREE]
            .into_iter()
            .chain(attach::PHASES)
            .chain(tree.into_iter().flatten())
            .chain(attach::ITERATORS)
            .collect();
        let all = [&first[..], &[attach::CGROUP_MKDIR, attach::EXIT]].concat();
        attach::load_ahead(&all, &mut self.ebpf, btf);
        for attachment in first {
            attach_one(attachment, &mut self.ebpf, btf)?;
        }
        if let Err(error) = attach_one(attach::CGROUP_MKDIR, &mut self.ebpf, btf) {
            log::warn!("the cgroups of short-lived containers stay unknown: {error}");
        }
        let candidates = config
            .backend
            .as_ref()
            .map_or(&Backend::ALL[..], std::slice::from_ref);
        for (index, backend) in candidates.iter().enumerate() {
            match self.attach_backend(*backend, btf, has_io_waitid) {
                Ok(()) => {
                    self.backend = *backend;
                    // Before the first process is known.
                    self.control.update(|control| {
                        control.silent_autoreap = u32::from(backend.infers_autoreap());
                    });
                    break;
                }
                Err(error) if index + 1 == candidates.len() => return Err(error),
                Err(error) => self.refusals.push((*backend, error)),
            }
        }
        attach_one(attach::EXIT, &mut self.ebpf, btf)
    }

    /// All of a backend's hooks, or none.
    fn attach_backend(
        &mut self,
        backend: Backend,
        btf: &aya::Btf,
        has_io_waitid: bool,
    ) -> Result<(), KernelError> {
        let io_uring = backend == Backend::Tracepoint && has_io_waitid;
        let optional: &[_] = if io_uring { &[attach::IO_URING] } else { &[] };
        let all = [backend.attachments(), optional].concat();
        attach::load_ahead(&all, &mut self.ebpf, btf);
        if backend != Backend::Tracepoint {
            return attach_all(backend.attachments(), &mut self.ebpf, btf);
        }
        let ebpf = &mut self.ebpf;
        tracefs::with_tracefs(|| {
            attach_all(backend.attachments(), ebpf, btf)?;
            // Such a reap is still seen when the task is freed.
            if io_uring && let Err(error) = attach_one(attach::IO_URING, ebpf, btf) {
                log::warn!("reaps by io_uring are seen late: {error}");
            }
            Ok(())
        })?;
        log::info!(
            "the system call tracepoints slow every system call of the machine by some {} ns",
            backend.syscall_tax_ns()
        );
        Ok(())
    }

    /// The backend in use.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The better backends that were tried before, and why each could not be used.
    pub fn refusals(&self) -> &[(Backend, KernelError)] {
        &self.refusals
    }

    /// The ring buffer of records; it can be taken once.
    pub fn take_ring_buffer(&mut self) -> Result<RingBuf<MapData>, KernelError> {
        self.ebpf
            .take_map("EVENTS")
            .ok_or_else(|| KernelError::refused("map EVENTS", "it is taken already"))?
            .try_into()
            .map_err(|error| KernelError::refused("map EVENTS", error))
    }

    /// The counters as they are now, added up over all CPUs.
    pub fn counters(&self) -> Counters {
        counters::sum(self.counters.values())
    }

    /// Takes in the zombies, dying processes and descendants in scope that were there before the
    /// hooks.
    pub fn adopt(&mut self) -> Result<Adopted, KernelError> {
        // A child can come before its father in the order of the list: on until none is new.
        let deadline = Deadline::after(ADOPTION);
        let mut adopted = Adopted::default();
        adopted.unsettled = until_settled(deadline, || {
            let before = self.counters().tree_adopted;
            adopted.entries = self.snapshot("adopt_tasks")?;
            Ok(self.counters().tree_adopted - before)
        })?;
        Ok(adopted)
    }

    /// The zombies and dying processes that are known and still in the kernel's task list.
    pub fn list(&mut self) -> Result<Vec<SnapshotEntry>, KernelError> {
        self.snapshot("list_tasks")
    }

    /// What the SIGCHLD handler of a process has done since the hooks are there, given the address of
    /// its leader's task and its pid in the initial pid namespace; `None` if nothing is known.
    pub fn handler_runs(&self, task: u64, tgid: u32) -> Option<HandlerRuns> {
        let runs = self.handlers.get((tgid % HANDLERS_LEN) as usize)?;
        (runs.task == task).then_some(runs)
    }

    /// What is known of every process that is dying, a zombie, or released but not freed yet.
    pub fn states(&self) -> Result<Vec<TaskState>, KernelError> {
        let mut states = slots::occupied(array(&self.ebpf, "SLOTS")?, self.slots)?;
        let map = self
            .ebpf
            .map("DISPLACED")
            .ok_or_else(|| KernelError::refused("map DISPLACED", "the object lacks it"))?;
        let displaced: HashMap<_, u32, TaskState> = map
            .try_into()
            .map_err(|error| KernelError::refused("map DISPLACED", error))?;
        // An entry that goes away meanwhile is none of them.
        states.extend(
            displaced
                .iter()
                .filter_map(Result::ok)
                .map(|(_, state)| state),
        );
        Ok(states)
    }

    /// Samples of these CPUs' run-queue clocks, several of each.
    pub fn sample_clocks(
        &mut self,
        cpus: impl IntoIterator<Item = u32> + Send,
    ) -> Result<Vec<ClockSample>, KernelError> {
        let program = std::sync::Mutex::new(iterator(&mut self.ebpf, "sample_clock")?);
        sample_clocks(cpus, || {
            let mut program = program
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut bytes = [0; size_of::<ClockSample>()];
            // No more than the sample is asked for, so that the iterator stops at the first task.
            open(&mut program, "sample_clock")?
                .read_exact(&mut bytes)
                .map_err(|source| KernelError::io("iter/task sample_clock", source))?;
            decode::clock_sample(&bytes)
                .map_err(|error| KernelError::refused("iter/task sample_clock", error))
        })
    }

    /// From now on no process is newly taken into account. Those that are known are followed on.
    pub fn close(&mut self) {
        self.control
            .update(|control| control.stage = stage::CLOSING);
        // Afterwards, so that none is left out; one that was skipped since is counted in vain.
        self.missed_exits();
        self.closed = true;
    }

    /// From now on no process leaves the table, and no counter changes, once the programs that run at
    /// this moment are through.
    pub fn freeze(&mut self) {
        self.control.update(|control| control.stage = stage::FROZEN);
    }

    /// How often the kernel skipped the program that sees exits because it ran already on the CPU
    /// (`recursion_misses`, 5.12 and later).
    pub fn missed_exits(&self) -> u64 {
        let read = if self.closed {
            Misses::last
        } else {
            Misses::count
        };
        self.missed_exits.as_ref().map_or(0, read)
    }

    /// Closes the maps that only the end of a run is read from: after this, [`states`](Self::states) has
    /// none.
    pub fn close_maps(&mut self) {
        for name in ["SLOTS", "DISPLACED"] {
            drop(self.ebpf.take_map(name));
        }
    }

    /// What its maps take of the kernel's memory, bytes, as the kernel reckons it (`memlock` in
    /// /proc/PID/fdinfo).
    pub fn map_bytes(&self) -> u64 {
        self.map_bytes
    }

    /// Hands the programs' log messages to the `log` crate.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// The descendants of the traced root that run; none where the run is not about a tree.
    pub fn descendants(&mut self) -> Result<Vec<RunningDescendant>, KernelError> {
        const NAME: &str = "list_descendants";
        if !self.has_tree {
            return Ok(Vec::new());
        }
        let bytes = self.walk(NAME)?;
        decode::descendants(&bytes)
            .map_err(|error| KernelError::refused(format!("iter/task {NAME}"), error))
    }

    fn walk(&mut self, name: &'static str) -> Result<Vec<u8>, KernelError> {
        let mut bytes = Vec::new();
        open(iterator(&mut self.ebpf, name)?, name)?
            .read_to_end(&mut bytes)
            .map_err(|source| KernelError::io(format!("iter/task {name}"), source))?;
        Ok(bytes)
    }

    fn snapshot(&mut self, name: &'static str) -> Result<Vec<SnapshotEntry>, KernelError> {
        let bytes = self.walk(name)?;
        decode::snapshot(&bytes)
            .map_err(|error| KernelError::refused(format!("iter/task {name}"), error))
    }
}

/// The kernel's types take some 20 MiB while they are parsed, which the allocator would keep.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Walks until a walk finds nothing new, or there is no time for another. Gives what the last one
/// found.
fn until_settled<E>(
    deadline: Deadline,
    mut walk: impl FnMut() -> Result<u64, E>,
) -> Result<u64, E> {
    loop {
        let found = walk()?;
        if found == 0 || deadline.has_passed() {
            return Ok(found);
        }
    }
}

fn load(
    loader: EbpfLoader<'static>,
    config: &Config,
    btf: &aya::Btf,
    facts: &Facts,
) -> Result<Ebpf, KernelError> {
    let Config { scope, .. } = config;
    let tests = [
        (scope_bits::PIDS, !scope.pids.is_empty()),
        (scope_bits::PPIDS, !scope.ppids.is_empty()),
        (scope_bits::TREE, scope.tree.is_some()),
        (scope_bits::CGROUP, scope.cgroup.is_some()),
        (scope_bits::CONTAINER, !scope.containers.is_empty()),
    ];
    let scope_tests: u32 = tests
        .iter()
        .filter(|(_, set)| *set)
        .map(|(bit, _)| bit)
        .sum();
    let names = container::patterns(&scope.containers);
    let tree_root = scope.tree.unwrap_or(0);
    let cgroup_id = scope.cgroup.as_ref().map_or(0, |cgroup| cgroup.id);
    let exit_has_group_dead = u8::from(facts.exit_has_group_dead);
    let exit_can_be_skipped = u8::from(facts.exit_can_be_skipped);
    let has_typed_current = u8::from(facts.has_typed_current);
    let has_compare_exchange = u8::from(facts.has_compare_exchange);
    let slots = slots::number(config.max_zombies);
    let slots_mask = slots - 1;
    let wakeup_bytes = u64::from(config.buffer / 4);
    let log_level = if config.debug {
        aya_log::Level::Debug as u8
    } else {
        0
    };
    let tracer_pidns = match fs::metadata("/proc/self/ns/pid") {
        Ok(namespace) if namespace.ino() == u64::from(INITIAL_PIDNS) => 0,
        Ok(namespace) => namespace.ino() as u32,
        Err(source) => return Err(KernelError::io("/proc/self/ns/pid", source)),
    };

    let mut loader: EbpfLoader<'_> = loader;
    loader
        .btf(Some(btf))
        .override_global("SCOPE", &scope_tests, true)
        .override_global("TREE_ROOT", &tree_root, true)
        .override_global("CGROUP_ID", &cgroup_id, true)
        .override_global("TRACER_PIDNS", &tracer_pidns, true)
        .override_global("EXIT_HAS_GROUP_DEAD", &exit_has_group_dead, true)
        .override_global("EXIT_CAN_BE_SKIPPED", &exit_can_be_skipped, true)
        .override_global("HAS_TYPED_CURRENT", &has_typed_current, true)
        .override_global("HAS_COMPARE_EXCHANGE", &has_compare_exchange, true)
        .override_global("SLOTS_MASK", &slots_mask, true)
        .override_global("WAKEUP_BYTES", &wakeup_bytes, true)
        .override_global(aya_log::LEVEL, &log_level, false)
        .map_max_entries("EVENTS", config.buffer)
        .map_max_entries("COUNTERS", possible_cpus()? as u32)
        .map_max_entries("SLOTS", slots)
        .map_max_entries("DISPLACED", config.max_zombies)
        .map_max_entries("ALIASES", config.max_zombies)
        .map_max_entries("WAITIDS", waiting_threads())
        .map_max_entries(
            "TREE",
            if scope.tree.is_some() {
                waiting_threads()
            } else {
                1
            },
        )
        .map_max_entries("CONTAINER_NAMES", names.len().max(1) as u32)
        .map_max_entries("CONTAINER_HOSTS", scope.containers.len().max(1) as u32)
        .map_max_entries("PIDS", scope.pids.len().max(1) as u32)
        .map_max_entries("PPIDS", scope.ppids.len().max(1) as u32);
    for (global, offset) in &facts.offsets {
        loader.override_global(global, offset, true);
    }
    let mut ebpf = loader
        .load(&object::for_kernel(facts)?)
        .map_err(|error| KernelError::refused("the eBPF object", error))?;
    fill(&mut ebpf, "PIDS", &scope.pids)?;
    fill(&mut ebpf, "PPIDS", &scope.ppids)?;
    fill_containers(&mut ebpf, &names, &scope.containers)?;
    Ok(ebpf)
}

fn misses_of_exit(ebpf: &Ebpf) -> Option<Misses> {
    Misses::of(ebpf.program(attach::EXIT.program)?.fd().ok()?).ok()
}

/// Maps an array of `length` values for reading.
fn share<T: aya::Pod>(ebpf: &Ebpf, name: &str, length: usize) -> Result<Mapping<T>, KernelError> {
    Mapping::new(array(ebpf, name)?.fd(), length)
        .map_err(|error| KernelError::io(format!("map {name}"), error.into()))
}

fn array<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a MapData, KernelError> {
    match ebpf.map(name) {
        Some(Map::Array(map)) => Ok(map),
        _ => Err(KernelError::refused(
            format!("map {name}"),
            "the object lacks it",
        )),
    }
}

fn possible_cpus() -> Result<usize, KernelError> {
    aya::util::nr_cpus().map_err(|(what, source)| KernelError::io(what, source))
}

/// As many as there can be threads or processes at all, within reason.
fn waiting_threads() -> u32 {
    // Its usual value on a large machine.
    const PID_MAX_LIMIT: u32 = 4_194_304;
    pid_max().unwrap_or(PID_MAX_LIMIT).clamp(1024, 65_536)
}

fn fill(ebpf: &mut Ebpf, name: &str, pids: &[u32]) -> Result<(), KernelError> {
    let refused = |error| KernelError::refused(format!("map {name}"), error);
    let map = ebpf
        .map_mut(name)
        .ok_or_else(|| KernelError::refused(format!("map {name}"), "the object lacks it"))?;
    let mut set: HashMap<_, u32, u8> = map.try_into().map_err(refused)?;
    for pid in pids {
        set.insert(pid, 1, 0).map_err(refused)?;
    }
    Ok(())
}

fn fill_containers(
    ebpf: &mut Ebpf,
    names: &std::collections::HashMap<Vec<u8>, NamePattern>,
    containers: &[ContainerQuery],
) -> Result<(), KernelError> {
    const NAMES: &str = "map CONTAINER_NAMES";
    const HOSTS: &str = "map CONTAINER_HOSTS";
    let lacking = |name| KernelError::refused(name, "the object lacks it");
    let map = ebpf
        .map_mut("CONTAINER_NAMES")
        .ok_or_else(|| lacking(NAMES))?;
    let mut trie: LpmTrie<_, [u8; CGROUP_NAME_LEN], NamePattern> = map
        .try_into()
        .map_err(|error| KernelError::refused(NAMES, error))?;
    for (name, pattern) in names {
        let mut data = [0; CGROUP_NAME_LEN];
        data[..name.len()].copy_from_slice(name);
        trie.insert(&Key::new(name.len() as u32 * 8, data), pattern, 0)
            .map_err(|error| KernelError::refused(NAMES, error))?;
    }
    let map = ebpf
        .map_mut("CONTAINER_HOSTS")
        .ok_or_else(|| lacking(HOSTS))?;
    let mut hosts: HashMap<_, [u8; HOST_NAME_LEN], u8> = map
        .try_into()
        .map_err(|error| KernelError::refused(HOSTS, error))?;
    for container in containers {
        let mut name = [0; HOST_NAME_LEN];
        name[..container.as_str().len()].copy_from_slice(container.as_str().as_bytes());
        hosts
            .insert(name, 1, 0)
            .map_err(|error| KernelError::refused(HOSTS, error))?;
    }
    Ok(())
}

fn attach_one(attachment: Attachment, ebpf: &mut Ebpf, btf: &aya::Btf) -> Result<(), KernelError> {
    attachment.attach(ebpf, btf)?;
    log::info!("attached {attachment}");
    Ok(())
}

/// All, or none: what was attached before the first that is refused is detached again.
fn attach_all(
    attachments: &[Attachment],
    ebpf: &mut Ebpf,
    btf: &aya::Btf,
) -> Result<(), KernelError> {
    for (index, attachment) in attachments.iter().enumerate() {
        if let Err(error) = attach_one(*attachment, ebpf, btf) {
            for attached in &attachments[..index] {
                attached.detach(ebpf)?;
            }
            return Err(error);
        }
    }
    Ok(())
}

fn iterator<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Iter, KernelError> {
    ebpf.program_mut(name)
        .ok_or_else(|| KernelError::refused(format!("iter/task {name}"), "the object lacks it"))?
        .try_into()
        .map_err(|error| KernelError::refused(format!("iter/task {name}"), error))
}

fn open(program: &mut Iter, name: &str) -> Result<fs::File, KernelError> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
        KernelError::refused(format!("to run iter/task {name}"), error)
    };
    let link = program.attach().map_err(|error| refused(error.into()))?;
    let link = program
        .take_link(link)
        .map_err(|error| refused(error.into()))?;
    link.into_file().map_err(|error| refused(error.into()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn adoption_ends_though_every_walk_finds_more() {
        let mut walks = 0;
        let found = until_settled(Deadline::after(Duration::from_millis(20)), || {
            walks += 1;
            thread::sleep(Duration::from_millis(1));
            Ok::<_, Infallible>(7)
        });
        assert_eq!(found, Ok(7));
        assert!(walks > 1);
    }

    #[test]
    fn adoption_goes_on_until_nothing_is_new() {
        let mut found = [3, 1, 0, 5].into_iter();
        let deadline = Deadline::after(Duration::from_secs(60));
        let last = until_settled(deadline, || Ok::<_, Infallible>(found.next().unwrap()));
        assert_eq!(last, Ok(0));
        assert_eq!(found.next(), Some(5));
    }
}
