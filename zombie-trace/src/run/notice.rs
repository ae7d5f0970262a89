//! What a run of the command line says on stderr.

use crate::{
    kernel::{Backend, KernelError},
    run::{session::Warn, warning::Warning},
    stderr::warn,
};

/// Shows warnings there.
pub(crate) fn warnings() -> Warn {
    Box::new(|warning: &Warning| warn(warning.text()))
}

/// Every hook is live. Scripts wait for this line.
pub(crate) fn attached(backend: Backend) -> String {
    format!(
        "attached (backend {backend}, ±{} µs)",
        backend.error_ns() / 1000
    )
}

/// Why a backend is used though there are better ones, in a line.
pub(crate) fn fallback(used: Backend, refusals: &[(Backend, KernelError)]) -> String {
    let reasons: Vec<_> = refusals
        .iter()
        .map(|(backend, error)| format!("{backend}: {}", error.in_a_line()))
        .collect();
    format!(
        "zombie-trace: using the {used} backend, as the better ones do not load here ({})",
        reasons.join("; ")
    )
}
