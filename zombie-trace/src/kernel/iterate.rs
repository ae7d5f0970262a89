//! Walks over the kernel's tasks.

use std::{fs, io::Read as _, time::Duration};

use aya::{Ebpf, programs::Iter};
use zombie_trace_common::{ClockSample, RunningDescendant, SnapshotEntry};

use super::{KernelError, Tracer, decode};
use crate::system::{deadline::Deadline, sample_clocks};

/// How long the processes from before the hooks are looked for, at the most.
const ADOPTION: Duration = Duration::from_secs(1);

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
    use std::{convert::Infallible, thread};

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
