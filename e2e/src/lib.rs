//! What the end-to-end tests and the processes they trace have in common.
//!
//! `scenario` (a binary of this package) is a collection of small real programs, each of which
//! prints what truly happened to its processes; `e2e/tests` runs it under the tracer and compares.
//! `load` makes processes at full speed, and the crate `zombie-trace-bench` measures what tracing them costs.

mod load_result;
pub mod picture;
mod recipe;
pub mod recorded;
mod truth;

pub use load_result::LoadResult;
pub use recipe::{Recipe, Step};
pub use truth::{Catalogued, Expect, Line, Many, Span, Truth};

/// `CLOCK_MONOTONIC` now, in ns: the clock of all truths.
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec to write to.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(status, 0, "clock_gettime(CLOCK_MONOTONIC)");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
