use std::{num::NonZeroUsize, os::fd::AsFd, ptr::NonNull};

use aya::Pod;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The values of an array map, in memory that the programs write to.
pub(super) struct MappedArray<T> {
    first: NonNull<T>,
    length: usize,
}

// SAFETY: it is only read from, and by volatile reads.
unsafe impl<T: Send> Send for MappedArray<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for MappedArray<T> {}

impl<T: Pod> MappedArray<T> {
    /// Maps an array of `length` values. The kernel aligns each to 8 bytes.
    pub(super) fn new(fd: impl AsFd, length: usize) -> nix::Result<Self> {
        Self::with(fd, length, ProtFlags::PROT_READ)
    }

    fn with(fd: impl AsFd, length: usize, protection: ProtFlags) -> nix::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        let first = unsafe {
            // SAFETY: a new mapping, at an address that the kernel chooses.
            mmap(
                None,
                Self::bytes(length),
                protection,
                MapFlags::MAP_SHARED,
                fd,
                0,
            )?
        };
        Ok(Self {
            first: first.cast(),
            length,
        })
    }

    /// The values as they are now.
    pub(super) fn values(&self) -> impl Iterator<Item = T> {
        (0..self.length).filter_map(|index| self.get(index))
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> Option<T> {
        (index < self.length).then(|| unsafe {
            // SAFETY: within the mapping, which lives as long as this; any bits are a valid value.
            self.first.add(index).read_volatile()
        })
    }
}

/// The only value of an array map, which the programs read and we write.
pub(super) struct Setting<T> {
    mapping: MappedArray<T>,
    value: T,
}

impl<T: Pod + Default> Setting<T> {
    /// Maps it.
    pub(super) fn new(fd: impl AsFd) -> nix::Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        Ok(Self {
            mapping: MappedArray::with(fd, 1, protection)?,
            value: T::default(),
        })
    }

    /// Changes it.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut T)) {
        change(&mut self.value);
        // SAFETY: within the mapping, which is writable and lives as long as this.
        unsafe { self.mapping.first.write_volatile(self.value) };
    }
}

impl<T> MappedArray<T> {
    fn bytes(length: usize) -> NonZeroUsize {
        let bytes = length.saturating_mul(size_of::<T>());
        NonZeroUsize::new(bytes).unwrap_or(NonZeroUsize::MIN)
    }
}

impl<T> Drop for MappedArray<T> {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nothing points into it any more.
        let _ = unsafe { munmap(self.first.cast(), Self::bytes(self.length).get()) };
    }
}
