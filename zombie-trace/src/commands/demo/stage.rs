//! What the processes of a demonstration do.

use std::{
    ffi::CStr,
    fs::{self},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        prctl::{set_name, set_pdeathsig},
        signal::{SigSet, Signal},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::{ForkResult, Pid, fork},
};

/// What a parent is given.
pub(super) struct Stage {
    pub(super) ended: OwnedFd,
}

impl Stage {
    /// Blocks until the demonstration is over.
    pub(super) fn wait_for_end(&self) {
        let mut byte = [0];
        let _ = nix::unistd::read(&self.ended, &mut byte);
    }
}

/// A child process; gives its pid.
pub(super) fn child(body: impl FnOnce() -> i32) -> Pid {
    let us = Pid::this();
    // SAFETY: a parent has one thread only when it makes children.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            die_with(us, c"demo-child");
            exit(body());
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(error) => fail(&format!("cannot make a process: {error}")),
    }
}

/// A child that is a zombie already.
pub(super) fn zombie(code: i32) -> Pid {
    let pid = child(|| code);
    until_zombie(pid);
    pid
}

/// Waits until a child is one.
pub(super) fn until_zombie(pid: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::__WALL;
    while waitid(Id::Pid(pid), flags) == Err(Errno::EINTR) {}
}

/// Waits for something that takes a moment.
pub(super) fn until(what: &str, test: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !test() {
        if Instant::now() > deadline {
            fail(what);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Does nothing, for ever.
pub(super) fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Ends with a message, which tells the demonstration that it can't be.
pub(super) fn fail(what: &str) -> ! {
    crate::stderr::say(&format!("zombie-trace: demo: {what}"));
    exit(1)
}

/// Ends without what a forked copy must not do, such as flushing what others have written.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// Goes by this name, with the signal mask of a usual program. Nobody outlives the demonstration.
pub(super) fn die_with(parent: Pid, name: &CStr) {
    let _ = set_name(name);
    let _ = SigSet::empty().thread_set_mask();
    let _ = set_pdeathsig(Signal::SIGKILL);
    if Pid::parent() != parent && Pid::this() != Pid::from_raw(1) {
        exit(1);
    }
}

/// Whether a process or thread is in this state (proc_pid_stat(5)).
pub(super) fn has_state(pid: u32, state: char) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat).into_owned();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with(state))
}
