//! Which program goes to which hook.

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, FEntry, FExit, Iter, KProbe, Program, ProgramError, RawTracePoint,
        TracePoint,
    },
    sys::SyscallError,
};

use super::{Backend, KernelError};

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// None: a walk over all tasks that the tracer itself makes.
    TaskIterator,
    /// A tracepoint with BTF-typed arguments.
    Tracepoint(&'static str),
    /// A tracepoint whose arguments have no types.
    RawTracepoint(&'static str),
    /// A system call's tracepoint, which slows every system call of the machine down.
    Syscall(&'static str),
    /// A function's entry, by a BPF trampoline.
    Fentry(&'static str),
    /// A function's return, by a BPF trampoline.
    Fexit(&'static str),
    /// A function's entry or return, by a breakpoint or ftrace.
    Kprobe(&'static str),
}

/// A program of the eBPF object and its hook.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attachment {
    pub(super) program: &'static str,
    pub(super) hook: Hook,
}

const fn tracepoint(program: &'static str, name: &'static str) -> Attachment {
    Attachment {
        program,
        hook: Hook::Tracepoint(name),
    }
}

const fn syscall(name: &'static str) -> Attachment {
    Attachment {
        program: name,
        hook: Hook::Syscall(name),
    }
}

const fn hook(program: &'static str, hook: Hook) -> Attachment {
    Attachment { program, hook }
}

/// Look at what there is.
pub(super) const ITERATORS: [Attachment; 3] = [
    hook("adopt_tasks", Hook::TaskIterator),
    hook("list_tasks", Hook::TaskIterator),
    hook("sample_clock", Hook::TaskIterator),
];

/// Lists the descendants that run; only where the run is about a tree.
pub(super) const DESCENDANTS: Attachment = hook("list_descendants", Hook::TaskIterator);

/// Keeps the set of descendants; only where the run is about a tree.
pub(super) const FORK: Attachment = tracepoint("process_fork", "sched_process_fork");

/// Tells the paths of cgroups that are made, which are gone when a short-lived container's are asked
/// for.
pub(super) const CGROUP_MKDIR: Attachment =
    hook("cgroup_mkdir", Hook::RawTracepoint("cgroup_mkdir"));

/// Only where the kernel has IORING_OP_WAITID.
pub(super) const IO_URING: Attachment = tracepoint("io_uring_complete", "io_uring_complete");

/// Brings processes into the map: the last to attach, so that no process is known whose further
/// way some hook has not been there to see.
pub(super) const EXIT: Attachment = tracepoint("process_exit", "sched_process_exit");

/// When parents are told of zombies and come to wait for them, in every backend.
pub(super) const PHASES: [Attachment; 2] = [
    tracepoint("process_wait", "sched_process_wait"),
    tracepoint("signal_deliver", "signal_deliver"),
];

/// Tells of whatever end no other hook has seen, in every backend; the first to attach.
pub(super) const FREE: Attachment = tracepoint("process_free", "sched_process_free");

/// How perf events on kprobes show in sysfs (since 4.17).
const KPROBE_EVENTS: &str = "/sys/bus/event_source/devices/kprobe";

const NOTIFY: &str = "do_notify_parent";
const RELEASE: &str = "release_task";

impl Backend {
    /// What it needs beside the hooks that all have, in the order of attaching: nothing may become
    /// known of a process before the hooks are there that see its further way.
    pub(super) fn attachments(self) -> &'static [Attachment] {
        const FENTRY: &[Attachment] = &[
            hook("release_fentry", Hook::Fentry(RELEASE)),
            hook("notify_fexit", Hook::Fexit(NOTIFY)),
            hook("notify_fentry", Hook::Fentry(NOTIFY)),
        ];
        const KPROBE: &[Attachment] = &[
            hook("release_kprobe", Hook::Kprobe(RELEASE)),
            hook("notify_kretprobe", Hook::Kprobe(NOTIFY)),
            hook("notify_kprobe", Hook::Kprobe(NOTIFY)),
        ];
        const TRACEPOINT: &[Attachment] = &[
            syscall("sys_exit_wait4"),
            syscall("sys_enter_waitid"),
            syscall("sys_exit_waitid"),
            tracepoint("signal_generate", "signal_generate"),
        ];
        match self {
            Self::Fentry => FENTRY,
            Self::Kprobe => KPROBE,
            Self::Tracepoint => TRACEPOINT,
        }
    }
}

/// Who may use perf events: below 3 CAP_PERFMON is enough (perf_event_open(2)).
fn perf_event_paranoid() -> Option<i32> {
    let text = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?;
    text.trim().parse().ok()
}

impl Attachment {
    /// Loads the program, unless that is done.
    fn load(self, program: &mut Program, btf: &Btf) -> Result<(), KernelError> {
        if program.fd().is_ok() {
            return Ok(());
        }
        match self.hook {
            Hook::TaskIterator => self.kind::<Iter>(program)?.load("task", btf),
            Hook::Tracepoint(name) => self.kind::<BtfTracePoint>(program)?.load(name, btf),
            Hook::RawTracepoint(_) => self.kind::<RawTracePoint>(program)?.load(),
            Hook::Syscall(_) => self.kind::<TracePoint>(program)?.load(),
            Hook::Fentry(function) => self.kind::<FEntry>(program)?.load(function, btf),
            Hook::Fexit(function) => self.kind::<FExit>(program)?.load(function, btf),
            Hook::Kprobe(_) => {
                if !Path::new(KPROBE_EVENTS).exists() {
                    return Err(KernelError::NoKprobes);
                }
                self.kind::<KProbe>(program)?.load()
            }
        }
        .map_err(|error| self.refused(error))
    }

    /// Loads the program, unless that is done, and attaches it for as long as `ebpf` lives.
    pub(super) fn attach(self, ebpf: &mut Ebpf, btf: &Btf) -> Result<(), KernelError> {
        self.load(self.program_in(ebpf)?, btf)?;
        match self.hook {
            // It runs when it is read.
            Hook::TaskIterator => Ok(()),
            Hook::Tracepoint(_) => self.program::<BtfTracePoint>(ebpf)?.attach().map(drop),
            Hook::RawTracepoint(name) => {
                let program: &mut RawTracePoint = self.program(ebpf)?;
                program.attach(name).map(drop)
            }
            Hook::Syscall(name) => {
                let program: &mut TracePoint = self.program(ebpf)?;
                program.attach("syscalls", name).map(drop)
            }
            Hook::Fentry(_) => self.program::<FEntry>(ebpf)?.attach().map(drop),
            Hook::Fexit(_) => self.program::<FExit>(ebpf)?.attach().map(drop),
            Hook::Kprobe(function) => {
                let program: &mut KProbe = self.program(ebpf)?;
                program.attach(function, 0).map(drop)
            }
        }
        .map_err(|error| self.refused(error))
    }

    /// Unloads the program: from now on it does not run any more.
    pub(super) fn detach(self, ebpf: &mut Ebpf) -> Result<(), KernelError> {
        let refused = |error| KernelError::refused(format!("to detach {self}"), error);
        match self.hook {
            Hook::TaskIterator => self.program::<Iter>(ebpf)?.unload(),
            Hook::Tracepoint(_) => self.program::<BtfTracePoint>(ebpf)?.unload(),
            Hook::RawTracepoint(_) => self.program::<RawTracePoint>(ebpf)?.unload(),
            Hook::Syscall(_) => self.program::<TracePoint>(ebpf)?.unload(),
            Hook::Fentry(_) => self.program::<FEntry>(ebpf)?.unload(),
            Hook::Fexit(_) => self.program::<FExit>(ebpf)?.unload(),
            Hook::Kprobe(_) => self.program::<KProbe>(ebpf)?.unload(),
        }
        .map_err(refused)
    }

    fn refused(self, error: ProgramError) -> KernelError {
        let what = self.to_string();
        match (&error, perf_event_paranoid()) {
            (ProgramError::SyscallError(SyscallError { call, io_error }), Some(level @ 3..))
                if call.starts_with("perf_event_open")
                    && io_error.kind() == io::ErrorKind::PermissionDenied =>
            {
                KernelError::PerfParanoid { what, level }
            }
            _ => KernelError::refused(what, error),
        }
    }

    fn program<'a, P>(self, ebpf: &'a mut Ebpf) -> Result<&'a mut P, KernelError>
    where
        &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        self.kind(self.program_in(ebpf)?)
    }

    fn program_in(self, ebpf: &mut Ebpf) -> Result<&mut Program, KernelError> {
        ebpf.program_mut(self.program)
            .ok_or_else(|| KernelError::refused(self.to_string(), "the object lacks the program"))
    }

    fn kind<'a, P>(self, program: &'a mut Program) -> Result<&'a mut P, KernelError>
    where
        &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        program
            .try_into()
            .map_err(|error| KernelError::refused(self.to_string(), error))
    }
}

/// Loads programs on as many threads as there are CPUs: nearly all of the time that a start takes is
/// the verifier's. The last to attach are the largest, and come first. Attaching tells of what is
/// refused.
pub(super) fn load_ahead(attachments: &[Attachment], ebpf: &mut Ebpf, btf: &Btf) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut programs: HashMap<_, _> = ebpf.programs_mut().collect();
    let queue: Vec<_> = attachments
        .iter()
        .rev()
        .filter_map(|attachment| Some((attachment, programs.remove(attachment.program)?)))
        .collect();
    let threads = threads.min(queue.len());
    let queue = Mutex::new(queue.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((attachment, program)) = next() {
                    if let Err(error) = attachment.load(program, btf) {
                        log::debug!("{attachment}: {error}");
                    }
                }
            });
        }
    });
}

impl std::fmt::Display for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.hook {
            Hook::TaskIterator => write!(f, "iter/task {}", self.program),
            Hook::Tracepoint(name) => write!(f, "tp_btf/{name}"),
            Hook::RawTracepoint(name) => write!(f, "raw_tracepoint/{name}"),
            Hook::Syscall(name) => write!(f, "tracepoint/syscalls/{name}"),
            Hook::Fentry(name) => write!(f, "fentry/{name}"),
            Hook::Fexit(name) => write!(f, "fexit/{name}"),
            Hook::Kprobe(name) if self.program.ends_with("kretprobe") => {
                write!(f, "kretprobe/{name}")
            }
            Hook::Kprobe(name) => write!(f, "kprobe/{name}"),
        }
    }
}

pub(super) fn attach_one(
    attachment: Attachment,
    ebpf: &mut Ebpf,
    btf: &Btf,
) -> Result<(), KernelError> {
    attachment.attach(ebpf, btf)?;
    log::info!("attached {attachment}");
    Ok(())
}

/// All, or none: what was attached before the first that is refused is detached again.
pub(super) fn attach_all(
    attachments: &[Attachment],
    ebpf: &mut Ebpf,
    btf: &Btf,
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
