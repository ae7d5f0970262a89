//! Which program goes to which hook.

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, TracePoint},
};

use super::KernelError;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// A tracepoint with BTF-typed arguments.
    Tracepoint(&'static str),
    /// A system call's tracepoint, which slows every system call of the machine down.
    Syscall(&'static str),
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

/// Keeps the set of descendants; only where the run is about a tree.
pub(super) const FORK: Attachment = tracepoint("process_fork", "sched_process_fork");

/// Only where the kernel has IORING_OP_WAITID.
pub(super) const IO_URING: Attachment = tracepoint("io_uring_complete", "io_uring_complete");

/// Brings processes into the map: the last to attach, so that no process is known whose further
/// way some hook has not been there to see.
pub(super) const EXIT: Attachment = tracepoint("process_exit", "sched_process_exit");

/// What the tracepoint backend always needs, in the order of attaching.
pub(super) const TRACEPOINT_BACKEND: [Attachment; 6] = [
    tracepoint("process_free", "sched_process_free"),
    tracepoint("process_wait", "sched_process_wait"),
    syscall("sys_exit_wait4"),
    syscall("sys_enter_waitid"),
    syscall("sys_exit_waitid"),
    tracepoint("signal_generate", "signal_generate"),
];

impl Attachment {
    /// Loads the program and attaches it for as long as `ebpf` lives.
    pub(super) fn attach(self, ebpf: &mut Ebpf, btf: &Btf) -> Result<(), KernelError> {
        let refused = |error| KernelError::refused(self.to_string(), error);
        match self.hook {
            Hook::Tracepoint(name) => {
                let program: &mut BtfTracePoint = self.program(ebpf)?;
                program.load(name, btf).map_err(refused)?;
                program.attach().map_err(refused)?;
            }
            Hook::Syscall(name) => {
                let program: &mut TracePoint = self.program(ebpf)?;
                program.load().map_err(refused)?;
                program.attach("syscalls", name).map_err(refused)?;
            }
        }
        Ok(())
    }

    /// Unloads the program: from now on it does not run any more.
    pub(super) fn detach(self, ebpf: &mut Ebpf) -> Result<(), KernelError> {
        let refused = |error| KernelError::refused(format!("to detach {self}"), error);
        match self.hook {
            Hook::Tracepoint(_) => self.program::<BtfTracePoint>(ebpf)?.unload(),
            Hook::Syscall(_) => self.program::<TracePoint>(ebpf)?.unload(),
        }
        .map_err(refused)
    }

    fn program<'a, P>(self, ebpf: &'a mut Ebpf) -> Result<&'a mut P, KernelError>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
    {
        ebpf.program_mut(self.program)
            .ok_or_else(|| KernelError::refused(self.to_string(), "the object lacks the program"))?
            .try_into()
            .map_err(|error| KernelError::refused(self.to_string(), error))
    }
}

impl std::fmt::Display for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.hook {
            Hook::Tracepoint(name) => write!(f, "tp_btf/{name}"),
            Hook::Syscall(name) => write!(f, "tracepoint/syscalls/{name}"),
        }
    }
}
