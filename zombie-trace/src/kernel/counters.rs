use std::{num::NonZeroUsize, os::fd::AsFd, ptr::NonNull};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use zombie_trace_common::Counters;

/// The counters of all CPUs, in memory that the programs write to.
pub(super) struct SharedCounters {
    first: NonNull<Counters>,
    cpus: usize,
}

// SAFETY: it is only read from, and by volatile reads.
unsafe impl Send for SharedCounters {}
// SAFETY: as above.
unsafe impl Sync for SharedCounters {}

impl SharedCounters {
    /// Maps the map of counters, which has an entry for each of so many CPUs.
    pub(super) fn map(fd: impl AsFd, cpus: usize) -> nix::Result<Self> {
        let first = unsafe {
            // SAFETY: a new mapping, at an address that the kernel chooses.
            mmap(
                None,
                Self::len(cpus),
                ProtFlags::PROT_READ,
                MapFlags::MAP_SHARED,
                fd,
                0,
            )?
        };
        Ok(Self {
            first: first.cast(),
            cpus,
        })
    }

    fn len(cpus: usize) -> NonZeroUsize {
        const ONE: NonZeroUsize = NonZeroUsize::new(size_of::<Counters>()).unwrap();
        ONE.saturating_mul(NonZeroUsize::new(cpus).unwrap_or(NonZeroUsize::MIN))
    }

    /// All CPUs' together, as they are now.
    pub(super) fn sum(&self) -> Counters {
        let share = |cpu| unsafe {
            // SAFETY: within the mapping, which lives as long as this; any bits are valid counters.
            self.first.add(cpu).read_volatile()
        };
        sum((0..self.cpus).map(share))
    }
}

impl Drop for SharedCounters {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nothing points into it any more.
        let _ = unsafe { munmap(self.first.cast(), Self::len(self.cpus).get()) };
    }
}

/// Adds up the CPUs' shares.
fn sum(shares: impl Iterator<Item = Counters>) -> Counters {
    shares.fold(Counters::default(), |sum, share| Counters {
        exits: sum.exits + share.exits,
        recovered: sum.recovered + share.recovered,
        reaped: sum.reaped + share.reaped,
        autoreaped: sum.autoreaped + share.autoreaped,
        filtered: sum.filtered + share.filtered,
        ring_full: sum.ring_full + share.ring_full,
        map_full: sum.map_full + share.map_full,
        tree_full: sum.tree_full + share.tree_full,
        adopted: sum.adopted + share.adopted,
        pre_existing_reaped: sum.pre_existing_reaped + share.pre_existing_reaped,
        pre_existing_lost: sum.pre_existing_lost + share.pre_existing_lost,
        reserved: sum.reserved,
    })
}
