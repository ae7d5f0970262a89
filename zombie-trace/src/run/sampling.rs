//! What parents do while their zombies wait, as far as a run has to do with it.

use std::{io, time::Duration};

use jiff::Timestamp;

use crate::{
    kernel::{StackPrograms, Tracer},
    model::StackTotals,
    run::{accounts, pipeline::StackSamples},
    stacks::{self, Sampler},
    system::deadline::Deadline,
};

/// What is to be sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackOptions {
    /// How often, per second.
    pub(crate) hz: u32,
    /// Parents are sampled while they have a zombie older than this.
    pub(crate) after: Duration,
}

impl StackOptions {
    /// What is known before there are samples.
    pub(crate) fn totals(&self) -> StackTotals {
        StackTotals {
            hz: self.hz,
            after_ns: u64::try_from(self.after.as_nanos()).unwrap_or(u64::MAX),
            ..StackTotals::default()
        }
    }
}

/// Takes the samples. It never lets us wait.
pub(crate) trait StackSource {
    /// Asks for what they come to, with names by the deadline; `None` if that is not there yet.
    fn finish(&mut self, ts: Timestamp, deadline: Deadline) -> io::Result<Option<StackSamples>>;
}

/// From now on samples the parents of what this tracer sees.
pub(crate) fn start(
    tracer: &Tracer,
    programs: StackPrograms,
    totals: StackTotals,
) -> io::Result<Box<dyn StackSource>> {
    let mut list = tracer.zombie_list()?;
    let zombies = move || {
        let existing = list.read(|counters| accounts::known(counters) == 0)?;
        let zombies = existing.iter().filter(|entry| accounts::is_zombie(entry));
        Ok(zombies.copied().collect())
    };
    let sampler = Sampler::start(programs, Box::new(zombies), totals)?;
    Ok(Box::new(Running { sampler, totals }))
}

struct Running {
    sampler: Sampler,
    totals: StackTotals,
}

impl StackSource for Running {
    fn finish(&mut self, ts: Timestamp, deadline: Deadline) -> io::Result<Option<StackSamples>> {
        let Some(stacks::Sampled {
            stacks,
            doing,
            counts,
        }) = self.sampler.finish(ts, deadline)?
        else {
            return Ok(None);
        };
        let mut totals = self.totals;
        totals += counts;
        Ok(Some(StackSamples {
            stacks,
            doing,
            totals,
        }))
    }
}
