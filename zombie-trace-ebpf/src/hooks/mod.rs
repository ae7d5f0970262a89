//! The programs, a file per family of hooks.

mod exit;
mod fork;
mod free;
mod io_uring;
mod notify;
pub mod reap;
mod snapshot;
mod wait;
