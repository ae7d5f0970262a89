use std::fmt;

use crate::kernel::KernelError;

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run can't start or go on. The message says what is wrong and what to do.
pub struct Error {
    kind: ErrorKind,
    error: anyhow::Error,
}

/// What an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The process may not trace: it lacks capabilities, or something else forbids it.
    NotPermitted,
    /// The kernel can't be traced: it is too old, or was built without something.
    NotSupported,
    /// The scope names something that can't be.
    Scope,
    /// Anything else, such as a limit of the operating system.
    Other,
}

impl Error {
    /// What it is about.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(super) fn other(text: &'static str) -> Self {
        Self::new(anyhow::Error::msg(text))
    }

    pub(super) fn scope(error: anyhow::Error) -> Self {
        Self {
            kind: ErrorKind::Scope,
            error,
        }
    }
}

impl Error {
    pub(super) fn new(error: anyhow::Error) -> Self {
        let kind = match error.downcast_ref() {
            Some(
                KernelError::Privileges { .. }
                | KernelError::UserNamespace
                | KernelError::BpfRefused { .. }
                | KernelError::PerfParanoid { .. }
                | KernelError::UncheckedBtf { .. },
            ) => ErrorKind::NotPermitted,
            Some(
                KernelError::TooOld { .. }
                | KernelError::NoBtf { .. }
                | KernelError::Btf { .. }
                | KernelError::NoKprobes,
            ) => ErrorKind::NotSupported,
            _ => ErrorKind::Other,
        };
        Self { kind, error }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

/// The message, with its causes: what `main` prints of an error that it returns.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_kind_is_known_by_the_error_in_the_kernel_side() {
        let of = |error: KernelError| Error::new(error.into()).kind();
        assert_eq!(of(KernelError::UserNamespace), ErrorKind::NotPermitted);
        assert_eq!(of(KernelError::NoKprobes), ErrorKind::NotSupported);
        assert_eq!(of(KernelError::ForeignProc), ErrorKind::Other);
    }

    #[test]
    fn causes_are_kept() {
        let failed: Result<(), _> = Err(std::io::Error::other("inner"));
        let error = Error::scope(failed.context("outer").unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Scope);
        assert_eq!(error.to_string(), "outer");
        assert_eq!(error.source().unwrap().to_string(), "inner");
    }
}
