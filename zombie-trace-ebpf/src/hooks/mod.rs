//! The programs, a file per family of hooks.

mod cgroup_mkdir;
mod do_notify_parent;
mod exit;
mod fork;
mod free;
mod io_uring;
mod reap;
mod release_task;
mod signal_deliver;
mod signal_generate;
mod snapshot;
mod wait;
