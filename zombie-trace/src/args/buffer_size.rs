use std::{fmt, str::FromStr};

use nix::unistd::{SysconfVar, sysconf};
use parse_size::Config;
use thiserror::Error;

use crate::kernel::DEFAULT_BUFFER;

const MAX: u32 = 1 << 30;

/// The size of the ring buffer: a power of two from one page to 1 GiB, as the kernel wants it
/// (`ringbuf_map_alloc` in kernel/bpf/ringbuf.c). The default is 4 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BufferSize(u32);

impl BufferSize {
    /// In bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// The smallest size that is at least `bytes`, on a machine with pages of `page` bytes.
    fn at_least(bytes: u64, page: u32) -> Result<Self, BufferSizeError> {
        match u32::try_from(bytes) {
            Ok(0) => Err(BufferSizeError::Zero),
            Ok(bytes @ 1..=MAX) => Ok(Self(bytes.next_power_of_two().max(page))),
            _ => Err(BufferSizeError::TooLarge),
        }
    }
}

impl Default for BufferSize {
    fn default() -> Self {
        Self(DEFAULT_BUFFER)
    }
}

impl fmt::Display for BufferSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 30 => write!(f, "{}GiB", bytes >> 30),
            bytes if bytes >= 1 << 20 => write!(f, "{}MiB", bytes >> 20),
            bytes => write!(f, "{}KiB", bytes >> 10),
        }
    }
}

impl FromStr for BufferSize {
    type Err = BufferSizeError;

    /// K, M and G are powers of 1024, with or without `B` or `iB`; a number alone is in bytes.
    fn from_str(text: &str) -> Result<Self, BufferSizeError> {
        let bytes = Config::new()
            .with_binary()
            .parse_size(text)
            .map_err(|err| match err {
                parse_size::Error::PosOverflow => BufferSizeError::TooLarge,
                _ => BufferSizeError::Unreadable,
            })?;
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        Self::at_least(
            bytes,
            page.and_then(|page| u32::try_from(page).ok())
                .unwrap_or(4096),
        )
    }
}

/// Why a text is no [`BufferSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BufferSizeError {
    /// Not a size.
    #[error("not a size: write bytes, or a number and K, M or G, such as 4MiB")]
    Unreadable,
    /// Zero.
    #[error("must be more than 0, such as 4MiB")]
    Zero,
    /// More than the largest.
    #[error("too large: the most is 1GiB")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for text in [
            "4MiB", "4M", "4m", "4MB", "4 MiB", "4194304", "4096K", "3.5MiB",
        ] {
            assert_eq!(text.parse(), Ok(BufferSize(4 << 20)), "{text}");
        }
        assert_eq!("1G".parse(), Ok(BufferSize(MAX)));
    }

    #[test]
    fn rounded_up_to_a_power_of_two_of_at_least_a_page() {
        let at_least = |bytes, page| BufferSize::at_least(bytes, page).unwrap().bytes();
        assert_eq!(at_least(1, 4096), 4096);
        assert_eq!(at_least(4097, 4096), 8192);
        assert_eq!(at_least(1, 65_536), 65_536);
        assert_eq!(at_least((1 << 29) + 1, 4096), MAX);
    }

    #[test]
    fn limits() {
        assert_eq!("0".parse::<BufferSize>(), Err(BufferSizeError::Zero));
        assert_eq!(
            "1073741825".parse::<BufferSize>(),
            Err(BufferSizeError::TooLarge)
        );
        assert_eq!(
            "99999999E".parse::<BufferSize>(),
            Err(BufferSizeError::TooLarge)
        );
        for text in ["", "big", "-4M", "4X"] {
            assert_eq!(
                text.parse::<BufferSize>(),
                Err(BufferSizeError::Unreadable),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for size in [BufferSize(4096), BufferSize::default(), BufferSize(MAX)] {
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
