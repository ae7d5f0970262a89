use std::{fmt, num::IntErrorKind, str::FromStr};

use thiserror::Error;

/// What no pid is ever above: `PID_MAX_LIMIT` in include/linux/threads.h, 64 bits.
pub const PID_MAX_LIMIT: u32 = 4 * 1024 * 1024;

/// A process id that can exist: 1 to [`PID_MAX_LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(u32);

impl Pid {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Pid {
    type Err = PidError;

    fn from_str(text: &str) -> Result<Self, PidError> {
        match text.parse() {
            Ok(pid @ 1..=PID_MAX_LIMIT) => Ok(Self(pid)),
            Ok(_) => Err(PidError::OutOfRange),
            Err(err) => match err.kind() {
                IntErrorKind::PosOverflow => Err(PidError::OutOfRange),
                _ if is_negative(text) => Err(PidError::OutOfRange),
                _ => Err(PidError::NotANumber),
            },
        }
    }
}

fn is_negative(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Why a text is no [`Pid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PidError {
    /// Not a decimal number.
    #[error("not a process ID, such as 1234")]
    NotANumber,
    /// A number that the kernel never gives to a process.
    #[error("no such process can exist: pids go from 1 to {PID_MAX_LIMIT}")]
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        assert_eq!("1".parse(), Ok(Pid(1)));
        assert_eq!("4194304".parse(), Ok(Pid(PID_MAX_LIMIT)));
        for text in ["0", "4194305", "99999999999999999999", "-1"] {
            assert_eq!(text.parse::<Pid>(), Err(PidError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "-", "bash", "12a", "1.5", "0x10", " 1"] {
            assert_eq!(text.parse::<Pid>(), Err(PidError::NotANumber), "{text}");
        }
    }
}
