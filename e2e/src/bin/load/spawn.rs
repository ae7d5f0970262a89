//! Processes that end at once.

use std::{
    env,
    ffi::CString,
    os::unix::ffi::OsStrExt as _,
    ptr,
    sync::LazyLock,
    time::{Duration, Instant},
};

use clap::ValueEnum;

/// How a process is made.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Method {
    /// fork(2)
    Fork,
    /// clone(2) as vfork(2) does it: no memory is copied
    Vfork,
    /// posix_spawn(3): another program
    PosixSpawn,
}

const STACK: usize = 16 << 10;

impl Method {
    /// A child that ends at once; gives its pid.
    pub(crate) fn child(self) -> libc::pid_t {
        match self {
            Self::Fork => fork_into(|| {}),
            Self::Vfork => vfork(),
            Self::PosixSpawn => posix_spawn(),
        }
    }
}

/// A child that does this and ends.
pub(crate) fn fork_into(body: impl FnOnce()) -> libc::pid_t {
    // SAFETY: this program has one thread.
    match unsafe { libc::fork() } {
        0 => {
            body();
            exit_now();
        }
        pid => checked(pid, "fork"),
    }
}

fn vfork() -> libc::pid_t {
    extern "C" fn end(_: *mut libc::c_void) -> libc::c_int {
        exit_now()
    }
    let mut stack = [0_u128; STACK / 16];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the parent sleeps, its stack frame untouched, until the child has ended.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len());
        libc::clone(end, top.cast(), flags, ptr::null_mut())
    };
    checked(pid, "clone")
}

fn posix_spawn() -> libc::pid_t {
    static PROGRAM: LazyLock<CString> = LazyLock::new(|| {
        let path = env::current_exe().expect("/proc is mounted");
        CString::new(path.as_os_str().as_bytes()).expect("no NUL in a path")
    });
    let mut pid = 0;
    let argv = [c"load".as_ptr(), c"exit".as_ptr(), ptr::null()];
    let envp: [*mut libc::c_char; 1] = [ptr::null_mut()];
    // SAFETY: all pointers are valid, and the arrays end with a null pointer.
    let error = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            PROGRAM.as_ptr(),
            ptr::null(),
            ptr::null(),
            argv.as_ptr().cast(),
            envp.as_ptr(),
        )
    };
    assert_eq!(error, 0, "posix_spawn");
    pid
}

fn checked(pid: libc::pid_t, call: &str) -> libc::pid_t {
    assert!(pid > 0, "{call}: {}", std::io::Error::last_os_error());
    pid
}

fn exit_now() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}

/// Forks without end until the deadline, and so does every child; then reaps them all.
pub(crate) fn bomb(deadline: Instant) {
    let bomber = std::process::id();
    // SAFETY: no pointers.
    let status = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    assert_eq!(status, 0, "prctl");
    while Instant::now() < deadline {
        // SAFETY: this program has one thread. A status of null is allowed.
        unsafe {
            if libc::fork() == -1 && libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) <= 0 {
                libc::sched_yield();
            }
        }
    }
    if std::process::id() != bomber {
        exit_now();
    }
    // SAFETY: a null status is allowed.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), 0) } > 0 {}
}

/// Reaps this child.
pub(crate) fn wait_for(pid: libc::pid_t) {
    // SAFETY: a null status is allowed.
    let reaped = unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    assert_eq!(reaped, pid, "waitpid: {}", std::io::Error::last_os_error());
}

/// Reaps so many children.
pub(crate) fn wait_all(count: u64) {
    for _ in 0..count {
        // SAFETY: a null status is allowed.
        let reaped = unsafe { libc::waitpid(-1, ptr::null_mut(), 0) };
        assert!(reaped > 0, "waitpid: {}", std::io::Error::last_os_error());
    }
}

/// Waits until the last of the children, which were made in order, is a zombie.
pub(crate) fn await_zombies(count: u64) {
    if count == 0 {
        return;
    }
    let children = format!("/proc/self/task/{}/children", std::process::id());
    let listed = std::fs::read_to_string(children).unwrap_or_default();
    for pid in listed.split_whitespace() {
        await_zombie(pid.parse().expect("a pid"));
    }
}

/// Waits until this child is a zombie, and leaves it one.
pub(crate) fn await_zombie(pid: libc::pid_t) {
    // SAFETY: all zeroes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is valid to write to.
    let status = unsafe {
        let options = libc::WEXITED | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, options)
    };
    assert_eq!(status, 0, "waitid: {}", std::io::Error::last_os_error());
}

/// Whether the other end of the pipe that is standard input is closed.
pub(crate) fn input_has_ended() -> bool {
    let mut input = libc::pollfd {
        fd: 0,
        events: 0,
        revents: 0,
    };
    // SAFETY: one valid structure.
    unsafe { libc::poll(&raw mut input, 1, 0) > 0 }
}

/// Computes for so long.
pub(crate) fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}
