//! Raw bytes from the kernel to typed records. Never panics, whatever the bytes are.

use zerocopy::FromBytes;
use zombie_trace_common::{
    ClockSample, HostName, NewCgroup, Record, RunningDescendant, SnapshotEntry,
};

/// What the ring buffer brings. Their lengths tell them apart.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "the one that there is most of is not the smallest"
)]
pub enum KernelEvent {
    /// A process is gone.
    Record(Record),
    /// A host name that records refer to.
    HostName(HostName),
    /// A cgroup that was made.
    NewCgroup(NewCgroup),
}

const _: () = assert!(
    size_of::<HostName>() < size_of::<Record>() && size_of::<Record>() < size_of::<NewCgroup>()
);

/// Bytes that are no record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes are not a whole number of {what} of {size} bytes")]
pub struct DecodeError {
    what: &'static str,
    size: usize,
    len: usize,
}

/// The payload of a ring-buffer record.
pub fn event(bytes: &[u8]) -> Result<KernelEvent, DecodeError> {
    if bytes.len() == size_of::<HostName>() {
        return one(bytes, "host name").map(KernelEvent::HostName);
    }
    if bytes.len() == size_of::<NewCgroup>() {
        return one(bytes, "cgroup").map(KernelEvent::NewCgroup);
    }
    one(bytes, "record").map(KernelEvent::Record)
}

/// What an iterator wrote about its reader.
pub fn clock_sample(bytes: &[u8]) -> Result<ClockSample, DecodeError> {
    one(bytes, "clock sample")
}

/// What an iterator wrote about the task list.
pub fn snapshot(bytes: &[u8]) -> Result<Vec<SnapshotEntry>, DecodeError> {
    many(bytes, "snapshot entry")
}

/// What an iterator wrote about the descendants that run.
pub fn descendants(bytes: &[u8]) -> Result<Vec<RunningDescendant>, DecodeError> {
    many(bytes, "running descendant")
}

fn many<T: FromBytes>(bytes: &[u8], what: &'static str) -> Result<Vec<T>, DecodeError> {
    let size = size_of::<T>();
    let len = bytes.len();
    if !len.is_multiple_of(size) {
        return Err(DecodeError { what, size, len });
    }
    bytes
        .chunks_exact(size)
        .map(|chunk| one(chunk, what))
        .collect()
}

fn one<T: FromBytes>(bytes: &[u8], what: &'static str) -> Result<T, DecodeError> {
    T::read_from_bytes(bytes).map_err(|_| DecodeError {
        what,
        size: size_of::<T>(),
        len: bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        lifecycle::{Lifecycle, RunQueueClocks, WallClock},
        model::Place,
    };

    #[test]
    fn only_an_exact_length_is_an_event() {
        for len in 0..600 {
            let bytes = vec![0xa5; len];
            let expected = match len {
                _ if len == size_of::<Record>() => "record",
                80 => "host name",
                512 => "cgroup",
                _ => "none",
            };
            let found = match event(&bytes) {
                Ok(KernelEvent::Record(_)) => "record",
                Ok(KernelEvent::HostName(_)) => "host name",
                Ok(KernelEvent::NewCgroup(_)) => "cgroup",
                Err(_) => "none",
            };
            assert_eq!(found, expected, "{len}");
        }
    }

    #[test]
    fn fields_stand_where_the_kernel_side_puts_them() {
        let mut bytes = vec![0; size_of::<Record>()];
        bytes[..8].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[152..156].copy_from_slice(&42_u32.to_ne_bytes());
        let KernelEvent::Record(record) = event(&bytes).unwrap() else {
            panic!("it has the length of a record");
        };
        assert_eq!((record.task, record.pid), (7, 42));
    }

    #[test]
    fn a_snapshot_is_whole_entries() {
        let size = size_of::<SnapshotEntry>();
        assert_eq!(snapshot(&vec![0; 3 * size]).unwrap().len(), 3);
        assert!(snapshot(&vec![0; 3 * size - 1]).is_err());
        assert_eq!(snapshot(&[]).unwrap(), []);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = event(&bytes);
            let _ = clock_sample(&bytes);
            let _ = snapshot(&bytes);
            let _ = descendants(&bytes);
        }
    }

    proptest! {
        #[test]
        fn any_record_is_interpreted(bytes in proptest::collection::vec(any::<u8>(), size_of::<Record>())) {
            let Ok(KernelEvent::Record(record)) = event(&bytes) else {
                panic!("it has the length of a record");
            };
            let wall = WallClock {
                wall: SignedDuration::from_secs(1_700_000_000),
                suspended_ns: 5_000_000,
            };
            let mut lifecycle = Lifecycle::new(12_000);
            lifecycle.adopt(
                &SnapshotEntry { record, ..SnapshotEntry::default() },
                &RunQueueClocks::default(),
                &wall,
            );
            lifecycle.alive(&record, u64::MAX, &wall, Place::default());
            lifecycle.zombie(&record, &wall, Place::default());
        }
    }
}
