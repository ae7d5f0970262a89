//! Which privileges a task keeps, and when they are in force.
//!
//! With file capabilities this program can do more than whoever starts it. What it opens on their
//! behalf must not profit from that: a task keeps the capabilities that it has a use for, and those
//! that open files are in force only while it uses them. Root is left alone: files are open to it
//! anyway.

use anyhow::{Context as _, bail};
use caps::{CapSet, Capability, CapsHashSet};
use nix::{
    sys::prctl,
    unistd::{getresgid, getresuid},
};

/// What a task does that needs privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing.
    Unprivileged,
    /// Reads what /proc hides of other users' processes.
    ReadProcesses,
    /// Traces, and may run a command.
    Trace,
    /// Traces, and listens on a port.
    Serve,
}

impl Purpose {
    /// In force for as long as the task has not given them up.
    fn in_force(self) -> &'static [Capability] {
        const TRACING: [Capability; 5] = [
            Capability::CAP_BPF,
            Capability::CAP_PERFMON,
            // Stands for both on kernels that have neither, and mounts tracefs.
            Capability::CAP_SYS_ADMIN,
            Capability::CAP_SYS_RESOURCE,
            Capability::CAP_NET_BIND_SERVICE,
        ];
        match self {
            Self::Unprivileged | Self::ReadProcesses => &[],
            Self::Trace => &TRACING[..4],
            Self::Serve => &TRACING,
        }
    }

    /// In force while [`raised`].
    fn in_reserve(self) -> &'static [Capability] {
        match self {
            Self::Unprivileged => &[],
            Self::ReadProcesses => &[Capability::CAP_SYS_PTRACE],
            Self::Trace | Self::Serve => {
                &[Capability::CAP_DAC_READ_SEARCH, Capability::CAP_SYS_PTRACE]
            }
        }
    }
}

/// Gives up what a task has no use for. Capabilities are a thread's own: there must be no other
/// thread yet, nor an open file.
///
/// # Errors
/// The program is set-user-ID or set-group-ID, or the kernel refuses to take something back.
pub fn restrict(purpose: Purpose) -> anyhow::Result<()> {
    let (users, groups) = (getresuid()?, getresgid()?);
    if users.real != users.effective || groups.real != groups.effective {
        bail!(
            "this program must not be set-user-ID or set-group-ID: remove the bit, and give it \
             file capabilities instead ('zombie-trace doctor' names them)"
        );
    }
    let permitted = caps::read(None, CapSet::Permitted).context("cannot read capabilities")?;
    if permitted.is_empty() {
        return Ok(());
    }
    if matches!(purpose, Purpose::Trace | Purpose::Serve) {
        // Another process of the same user must not take our descriptors: maps and programs.
        prctl::set_dumpable(false).context("cannot set PR_SET_DUMPABLE")?;
    }
    if users.effective.is_root() {
        return Ok(());
    }
    let among = |wanted: &[Capability]| -> CapsHashSet {
        let wanted = wanted.iter().copied();
        wanted.filter(|it| permitted.contains(it)).collect()
    };
    let effective = among(purpose.in_force());
    let mut kept = &effective | &among(purpose.in_reserve());
    if purpose == Purpose::Trace {
        // A command has what the caller gives it.
        kept.extend(caps::read(None, CapSet::Ambient).unwrap_or_default());
    }
    for (set, capabilities) in [
        (CapSet::Effective, &CapsHashSet::new()),
        (CapSet::Permitted, &kept),
        (CapSet::Effective, &effective),
    ] {
        caps::set(None, set, capabilities)
            .with_context(|| format!("cannot give capabilities up ({set:?})"))?;
    }
    Ok(())
}

/// Runs `work` where this process can open its own /proc/self/fdinfo: before 5.14 those files belong
/// to root while the process is not dumpable.
///
/// For as long as it has capabilities, nobody who has fewer can use that.
pub fn with_own_fdinfo<T>(work: impl FnOnce() -> T) -> T {
    let hidden = matches!(prctl::get_dumpable(), Ok(false));
    if hidden {
        let _ = prctl::set_dumpable(true);
    }
    let outcome = work();
    if hidden {
        let _ = prctl::set_dumpable(false);
    }
    outcome
}

/// Runs `work` with a capability in force, if this process has it. Threads that `work` starts have
/// it too.
pub fn raised<T>(capability: Capability, work: impl FnOnce() -> T) -> T {
    let _raised = Raised::new(capability);
    work()
}

/// Lowers a capability when dropped.
struct Raised(Option<Capability>);

impl Raised {
    fn new(capability: Capability) -> Self {
        let has = |set| caps::has_cap(None, set, capability).unwrap_or(false);
        let raised = has(CapSet::Permitted)
            && !has(CapSet::Effective)
            && caps::raise(None, CapSet::Effective, capability).is_ok();
        Self(raised.then_some(capability))
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(capability) = self.0 {
            // Lowering needs no privilege.
            let _ = caps::drop(None, CapSet::Effective, capability);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: Capability = Capability::CAP_DAC_READ_SEARCH;

    #[test]
    fn no_task_has_other_users_files_open_all_the_time() {
        for purpose in [
            Purpose::Unprivileged,
            Purpose::ReadProcesses,
            Purpose::Trace,
            Purpose::Serve,
        ] {
            let in_force = purpose.in_force();
            for capability in [
                FILES,
                Capability::CAP_DAC_OVERRIDE,
                Capability::CAP_SYS_PTRACE,
            ] {
                assert!(!in_force.contains(&capability), "{purpose:?} {capability}");
            }
        }
    }

    #[test]
    fn a_capability_is_in_force_only_while_it_is_raised() {
        let in_force = || caps::has_cap(None, CapSet::Effective, FILES).unwrap();
        if !caps::has_cap(None, CapSet::Permitted, FILES).unwrap() {
            assert!(!raised(FILES, in_force));
            return;
        }
        // The thread's own; the test has one for itself.
        caps::drop(None, CapSet::Effective, FILES).unwrap();
        assert!(raised(FILES, in_force));
        assert!(!in_force());
        caps::raise(None, CapSet::Effective, FILES).unwrap();
        assert!(raised(FILES, in_force) && in_force());
    }
}
