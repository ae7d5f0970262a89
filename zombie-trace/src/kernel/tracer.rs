use std::{sync::Arc, thread};

use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, MapData, RingBuf},
};
use aya_log::EbpfLogger;
use zombie_trace_common::{Control, Counters, HANDLERS_LEN, HandlerRuns, TaskState, stage};

use super::{
    Backend, Config, KernelError, attach, capability, counters,
    facts::{KernelFacts, KernelTypes},
    load::{array, load, possible_cpus, share},
    mapping::{MappedArray, Setting},
    misses::Misses,
    sealed, slots, tracefs,
};
use crate::system::{Release, check_machine};

/// The programs, live in the kernel until this is dropped or the process ends.
pub struct Tracer {
    pub(super) ebpf: Ebpf,
    pub(super) counters: Arc<MappedArray<Counters>>,
    handlers: MappedArray<HandlerRuns>,
    control: Setting<Control>,
    map_bytes: u64,
    slots: u32,
    pub(super) has_tree: bool,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    backend: Backend,
    refusals: Vec<(Backend, KernelError)>,
    missed_exits: Option<Misses>,
}

impl Tracer {
    /// Loads and attaches every hook of the backend that is asked for, or of the best that loads.
    ///
    /// # Errors
    /// A kernel of another architecture, or one that names a release before 5.10 and does not work;
    /// missing capabilities, missing or incomplete BTF, no tracefs, or a program that the kernel refuses:
    /// each names what is missing. If no backend loads, the error is that of the last.
    pub fn start(config: &Config) -> Result<Self, KernelError> {
        check_machine().map_err(KernelError::ForeignKernel)?;
        capability::check_limits()?;
        capability::check()?;
        Self::load(config).map_err(|error| error.of_release(&Release::running()))
    }

    fn load(config: &Config) -> Result<Self, KernelError> {
        // A new loader parses the kernel's types for itself, even if it is then given others.
        let (loader, kernel_types) = thread::scope(|scope| {
            let loader = scope.spawn(EbpfLoader::new);
            let kernel_types = KernelTypes::read(config.btf.as_deref());
            (loader.join(), kernel_types)
        });
        let loader = loader.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let kernel_types = kernel_types?;
        let _unlimited = capability::LockedMemory::lift(kernel_types.counts_locked_memory)?;
        let facts = KernelFacts::new(&kernel_types);

        let KernelTypes { btf, .. } = kernel_types;
        let mut ebpf = load(loader, config, &btf, &facts)?;
        let logger = if config.debug {
            let logger = EbpfLogger::init(&mut ebpf)
                .map_err(|error| KernelError::refused("the log's ring buffer", error))?;
            Some(logger)
        } else {
            None
        };
        let counters = Arc::new(share(&ebpf, "COUNTERS", possible_cpus()?)?);
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
            attach::attach_one(attachment, &mut self.ebpf, btf)?;
        }
        if let Err(error) = attach::attach_one(attach::CGROUP_MKDIR, &mut self.ebpf, btf) {
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
        attach::attach_one(attach::EXIT, &mut self.ebpf, btf)
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
            return attach::attach_all(backend.attachments(), &mut self.ebpf, btf);
        }
        let ebpf = &mut self.ebpf;
        tracefs::with_tracefs(|| {
            attach::attach_all(backend.attachments(), ebpf, btf)?;
            // Such a reap is still seen when the task is freed.
            if io_uring && let Err(error) = attach::attach_one(attach::IO_URING, ebpf, btf) {
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

    /// From now on no process is newly taken into account. Those that are known are followed on.
    pub fn close(&mut self) {
        self.control
            .update(|control| control.stage = stage::CLOSING);
        // Afterwards, so that none is left out; one that was skipped since is counted in vain.
        if let Some(misses) = &self.missed_exits {
            misses.close();
        }
    }

    /// From now on no process leaves the table, and no counter changes, once the programs that run at
    /// this moment are through.
    pub fn freeze(&mut self) {
        self.control.update(|control| control.stage = stage::FROZEN);
    }

    /// How often the kernel skipped the program that sees exits because it ran already on the CPU
    /// (`recursion_misses`, 5.12 and later).
    pub fn missed_exits(&self) -> u64 {
        self.missed_exits.as_ref().map_or(0, Misses::count)
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
}

fn misses_of_exit(ebpf: &Ebpf) -> Option<Misses> {
    Misses::of(ebpf.program(attach::EXIT.program)?.fd().ok()?).ok()
}

/// The kernel's types take some 20 MiB while they are parsed, which the allocator would keep.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
