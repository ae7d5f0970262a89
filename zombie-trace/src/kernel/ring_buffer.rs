use aya::maps::{MapData, RingBuf};
use tokio::io::{Interest, unix::AsyncFd};

use crate::kernel::decode::{self, DecodeError, KernelEvent};

/// The ring buffer of records, as an asynchronous source.
pub struct RecordSource {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl RecordSource {
    /// Must be called within a tokio runtime.
    pub fn new(ring: RingBuf<MapData>) -> std::io::Result<Self> {
        // SAFETY: a ring buffer has the same open descriptor for as long as it lives.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        Ok(Self { ring })
    }

    /// Waits until the kernel side says that a good part of the buffer is full.
    ///
    /// It does not say so for a single record: look at the buffer every now and then too.
    pub async fn filled(&mut self) -> std::io::Result<()> {
        self.ring.readable_mut().await?.clear_ready();
        Ok(())
    }

    /// The oldest event that is there.
    pub fn take(&mut self) -> Option<Result<KernelEvent, DecodeError>> {
        self.ring
            .get_mut()
            .next()
            .map(|bytes| decode::event(&bytes))
    }
}
