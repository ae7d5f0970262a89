//! What /proc says about the processes on the screen.

use std::sync::LazyLock;

use caps::Capability;

use super::data::{Lineage, ProcessText};
use crate::{
    commands::inspect::threads,
    system::{
        privilege::raised,
        proc::{Proc, ProcError},
    },
    text::{printable, visible},
};

/// As many threads are described.
const MOST_THREADS: usize = 20;

static PROC: LazyLock<Result<Proc, ProcError>> = LazyLock::new(Proc::open);

/// Looks at a process: what it does with SIGCHLD, its threads, its ancestors.
pub(super) fn look(pid: u32) -> ProcessText {
    let mut process = ProcessText {
        pid,
        ..ProcessText::default()
    };
    let Ok(proc) = &*PROC else {
        return process;
    };
    raised(Capability::CAP_SYS_PTRACE, || {
        let parents = proc.parents([pid]);
        let Some(facts) = parents.get(pid) else {
            return;
        };
        process.sigchld = format!(
            "{}; blocked {}",
            threads::disposition(facts),
            threads::blocked(facts)
        );
        let threads = threads::of(facts, proc, MOST_THREADS);
        process.threads = threads.iter().map(|thread| visible(thread)).collect();
        let ancestors = proc.ancestors(pid);
        let ancestors = ancestors.iter().skip(1);
        process.ancestors = ancestors
            .map(|(pid, comm)| format!("{} ({pid})", printable(comm)))
            .collect();
    });
    process
}

/// The ancestors of processes.
pub(super) fn lineage(pids: impl Iterator<Item = u32>) -> Lineage {
    let mut lineage = Lineage::default();
    if let Ok(proc) = &*PROC {
        pids.for_each(|pid| lineage.add(&proc.ancestors(pid)));
    }
    lineage
}
