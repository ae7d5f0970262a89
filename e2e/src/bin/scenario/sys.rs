//! Thin safe wrappers of the system calls that the scenarios need.

use std::{
    ffi::{CStr, CString},
    io, mem,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
    time::Duration,
};

use libc::{c_int, c_long, pid_t};

/// Ends the scenario with exit code 99: what it needs did not work, so it has no truth to tell.
pub(crate) fn broken(what: &str) -> ! {
    eprintln!("scenario broken: {what}: {}", io::Error::last_os_error());
    exit_group(99)
}

/// The result of a system call that has to succeed.
fn must(result: c_long, what: &str) -> c_long {
    if result < 0 { broken(what) } else { result }
}

/// `exit_group(2)` without any atexit handler.
pub(crate) fn exit_group(code: u8) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code.into()) }
}

/// Ends only the calling thread (`exit(2)` proper, which libc does not offer).
pub(crate) fn exit_thread(code: u8) -> ! {
    // SAFETY: the thread's stack and TLS are simply abandoned; nothing else uses them.
    unsafe { libc::syscall(libc::SYS_exit, c_int::from(code)) };
    unreachable!("exit(2) returned")
}

/// `fork(2)`: 0 in the child.
pub(crate) fn fork() -> pid_t {
    // SAFETY: the scenarios fork while single-threaded, and children end by `_exit`.
    must(unsafe { libc::fork() }.into(), "fork") as pid_t
}

/// `clone(2)` with these flags and exit signal, otherwise like fork: 0 in the child.
pub(crate) fn clone_raw(flags: c_int) -> pid_t {
    assert_eq!(
        flags & libc::CLONE_VM,
        0,
        "the child needs memory of its own"
    );
    // SAFETY: without CLONE_VM it is a fork; a null stack means a copy of the caller's.
    must(
        unsafe { libc::syscall(libc::SYS_clone, flags as c_long, 0, 0, 0, 0) },
        "clone",
    ) as pid_t
}

/// `clone3(2)` with CLONE_PIDFD: the pid (0 in the child) and the pidfd.
pub(crate) fn clone3_pidfd() -> (pid_t, c_int) {
    let mut pidfd: c_int = -1;
    // SAFETY: all zero is a valid clone_args.
    let mut args: libc::clone_args = unsafe { mem::zeroed() };
    args.flags = libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: `args` and `pidfd` outlive the call; without CLONE_VM it is a fork.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
    (must(pid, "clone3") as pid_t, pidfd)
}

/// `pidfd_open(2)`.
pub(crate) fn pidfd_open(pid: pid_t) -> c_int {
    // SAFETY: no pointers.
    must(
        unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) },
        "pidfd_open",
    ) as c_int
}

/// `vfork(2)` by way of clone, so that the child has a stack of its own.
pub(crate) fn vfork(body: extern "C" fn(*mut libc::c_void) -> c_int) -> pid_t {
    let mut stack = vec![0_u128; 4096];
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the stack is 16-byte aligned and lives until the child is done with it: CLONE_VFORK
    // suspends the caller until then.
    let pid = unsafe {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        libc::clone(body, top.cast(), flags, ptr::null_mut())
    };
    must(pid.into(), "vfork") as pid_t
}

/// `wait4(2)`; `None` if there is nothing to wait for (any more, or yet with WNOHANG).
pub(crate) fn wait4(pid: pid_t, options: c_int) -> Option<(pid_t, c_int)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid to write to.
        let result = unsafe { libc::wait4(pid, &raw mut status, options, ptr::null_mut()) };
        match result {
            0 => return None,
            1.. => return Some((result, status)),
            _ => match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::ECHILD) => return None,
                _ => broken("wait4"),
            },
        }
    }
}

/// `waitid(2)`; the pid and the wait status word, `None` if nothing happened (yet).
pub(crate) fn waitid(
    kind: libc::idtype_t,
    id: libc::id_t,
    options: c_int,
) -> Option<(pid_t, c_int)> {
    // SAFETY: all zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    loop {
        // SAFETY: `info` is valid to write to.
        let result = unsafe { libc::waitid(kind, id, &raw mut info, options) };
        if result == 0 {
            break;
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return None,
            _ => broken("waitid"),
        }
    }
    // SAFETY: waitid fills in (or leaves zero) the SIGCHLD fields.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let word = match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    };
    (pid != 0).then_some((pid, word))
}

/// `waitid(2)` for any child; the kernel writes its answer there, and others may, too.
pub(crate) fn waitid_to(answer: *mut libc::siginfo_t, options: c_int) {
    // SAFETY: the kernel checks the address; nobody here reads what it writes.
    unsafe { libc::waitid(libc::P_ALL, 0, answer, options) };
}

/// `waitid(2)` with a null `infop`, which libc's wrapper passes on too: true if it waited.
pub(crate) fn waitid_null(kind: libc::idtype_t, id: libc::id_t, options: c_int) -> bool {
    // SAFETY: the kernel takes null for "no answer wanted".
    unsafe {
        libc::syscall(
            libc::SYS_waitid,
            kind,
            id,
            ptr::null::<()>(),
            options,
            ptr::null::<()>(),
        ) == 0
    }
}

/// `kill(2)`; false if there is no such process.
pub(crate) fn kill(pid: pid_t, signal: c_int) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// Installs a disposition: SIG_DFL, SIG_IGN or the address of a handler.
pub(crate) fn sigaction(signal: c_int, handler: libc::sighandler_t, flags: c_int) {
    // SAFETY: all zero is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is valid; the handlers of the scenarios touch only atomics and wait.
    let result = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    must(result.into(), "sigaction");
}

/// Blocks a signal in the calling thread.
pub(crate) fn block(signal: c_int) {
    // SAFETY: all zero is a valid sigset to be filled by sigemptyset.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is valid for all three.
    let result = unsafe {
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut())
    };
    must(result.into(), "sigprocmask");
}

/// Sends ourselves a SIGCHLD that says that `child` exited. The kernel lets a process forge
/// kernel-like codes to itself alone (`do_rt_sigqueueinfo`).
pub(crate) fn forge_sigchld(child: pid_t) {
    /// siginfo_t as SIGCHLD uses it.
    #[repr(C)]
    struct Forged {
        signo: c_int,
        errno: c_int,
        code: c_int,
        pad: c_int,
        pid: pid_t,
        rest: [c_int; 27],
    }
    const _: () = assert!(size_of::<Forged>() == size_of::<libc::siginfo_t>());
    let info = Forged {
        signo: libc::SIGCHLD,
        errno: 0,
        code: libc::CLD_EXITED,
        pad: 0,
        pid: child,
        rest: [0; 27],
    };
    // SAFETY: `info` has the size and layout of siginfo_t.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigqueueinfo,
            libc::getpid(),
            libc::SIGCHLD,
            &raw const info,
        )
    };
    must(result, "rt_sigqueueinfo");
}

/// `prctl(2)` with a number.
fn prctl(option: c_int, argument: libc::c_ulong, what: &str) {
    // SAFETY: the options in use take a plain number.
    must(
        unsafe { libc::prctl(option, argument, 0, 0, 0) }.into(),
        what,
    );
}

/// Makes this process the reaper of its orphaned descendants.
pub(crate) fn become_subreaper() {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, "PR_SET_CHILD_SUBREAPER");
}

/// Lets any process trace this one where Yama would not.
pub(crate) fn allow_tracing() {
    // SAFETY: no pointers. It fails with EINVAL where there is no Yama, which is fine.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::MAX, 0, 0, 0) };
}

/// Sets the command name of the calling thread, cut to 15 bytes.
pub(crate) fn set_comm(name: &[u8]) {
    let name = CString::new(name).expect("a name without NUL");
    // SAFETY: `name` is NUL-terminated.
    let result = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
    must(result.into(), "PR_SET_NAME");
}

/// `PTRACE_SEIZE` of a process or thread, without options: it does not stop.
pub(crate) fn seize(tid: pid_t) {
    // SAFETY: no pointers are followed.
    let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, 0, 0) };
    must(result, "PTRACE_SEIZE");
}

/// The same, and it stops on its way through `exit`.
pub(crate) fn seize_exits(tid: pid_t) {
    let options = libc::PTRACE_O_TRACEEXIT;
    // SAFETY: no pointers are followed.
    let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, 0, c_long::from(options)) };
    must(result, "PTRACE_SEIZE");
}

/// `PTRACE_TRACEME`.
pub(crate) fn trace_me() {
    // SAFETY: no pointers are followed.
    must(
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) },
        "PTRACE_TRACEME",
    );
}

/// The calling thread's id.
pub(crate) fn gettid() -> pid_t {
    // SAFETY: it cannot fail.
    unsafe { libc::gettid() }
}

/// This process's id in its own pid namespace.
pub(crate) fn getpid() -> pid_t {
    // SAFETY: it cannot fail.
    unsafe { libc::getpid() }
}

/// Real user id.
pub(crate) fn getuid() -> u32 {
    // SAFETY: it cannot fail.
    unsafe { libc::getuid() }
}

/// This process's id in the pid namespace that /proc belongs to, the tracer's; without /proc, in
/// our own.
pub(crate) fn global_pid() -> u32 {
    number_behind(c"/proc/self").unwrap_or_else(|| getpid() as u32)
}

/// The calling thread's id as /proc's pid namespace sees it.
pub(crate) fn global_tid() -> u32 {
    number_behind(c"/proc/thread-self").unwrap_or_else(|| gettid() as u32)
}

/// The number at the end of a symbolic link's target.
fn number_behind(link: &CStr) -> Option<u32> {
    let mut target = [0_u8; 32];
    // SAFETY: the buffer is valid for its length. (No allocation: this runs right after fork.)
    let len = unsafe { libc::readlink(link.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    let target = target.get(..len.max(0) as usize).unwrap_or_default();
    let target = std::str::from_utf8(target).ok()?;
    target.rsplit('/').next()?.parse().ok()
}

/// Pid of the parent, as the pid namespace of /proc sees it.
pub(crate) fn global_ppid() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
        .unwrap_or_else(|| broken("PPid in /proc/self/status"))
}

/// Kills this process (and not its children) after so many seconds, as a last resort.
pub(crate) fn alarm(seconds: u32) {
    // SAFETY: no pointers.
    unsafe { libc::alarm(seconds) };
}

/// Runs on this CPU only.
pub(crate) fn pin(cpu: usize) {
    // SAFETY: the set is a local.
    let done = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    if done != 0 {
        broken("sched_setaffinity");
    }
}

/// Runs before everything of a lower priority, of which usual processes have the least (SCHED_FIFO,
/// sched(7)).
pub(crate) fn run_first(priority: c_int) {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the parameters are a local.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) } != 0 {
        broken("sched_setscheduler");
    }
}

/// Sleeps at least so long, whatever signals arrive.
pub(crate) fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Sleeps until a signal kills the process.
pub(crate) fn pause_forever() -> ! {
    loop {
        // SAFETY: no pointers.
        unsafe { libc::pause() };
    }
}

/// Moves the calling process's future children into a new pid namespace.
pub(crate) fn unshare_pid() {
    // SAFETY: no pointers.
    must(
        unsafe { libc::unshare(libc::CLONE_NEWPID) }.into(),
        "unshare(CLONE_NEWPID)",
    );
}

/// Moves the calling process into a new UTS namespace.
pub(crate) fn unshare_uts() {
    // SAFETY: no pointers.
    must(
        unsafe { libc::unshare(libc::CLONE_NEWUTS) }.into(),
        "unshare(CLONE_NEWUTS)",
    );
}

/// Moves the calling process into a new mount namespace, of whose mounts nobody else hears.
pub(crate) fn unshare_mounts() {
    // SAFETY: no pointers.
    must(
        unsafe { libc::unshare(libc::CLONE_NEWNS) }.into(),
        "unshare(CLONE_NEWNS)",
    );
    let (none, root) = (ptr::null(), c"/".as_ptr());
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the path is NUL-terminated.
    let result = unsafe { libc::mount(none, root, none, flags, ptr::null()) };
    must(result.into(), "mount(MS_PRIVATE)");
}

/// Mounts a file system of this type, which has no source.
pub(crate) fn mount(kind: &str, at: &Path, data: &str) {
    let c_string = |bytes: &[u8]| CString::new(bytes).expect("no NUL");
    let [kind, data] = [kind, data].map(|text| c_string(text.as_bytes()));
    let at = c_string(at.as_os_str().as_bytes());
    // SAFETY: the strings are NUL-terminated.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            0,
            data.as_ptr().cast(),
        )
    };
    must(result.into(), "mount");
}

/// Unmounts a file system whose requests are not answered: they fail.
pub(crate) fn abort_mount(at: &Path) {
    let at = CString::new(at.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: the path is NUL-terminated.
    let result = unsafe { libc::umount2(at.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH) };
    must(result.into(), "umount2");
}

/// Closes a descriptor that a fork has copied.
pub(crate) fn close_copy(fd: c_int) {
    // SAFETY: the copy's owner never runs in this process.
    must(unsafe { libc::close(fd) }.into(), "close");
}

/// Names its UTS namespace.
pub(crate) fn set_host_name(name: &str) {
    // SAFETY: the pointer and the length are those of `name`.
    let result = unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) };
    must(result.into(), "sethostname");
}

/// `execve(2)` with our environment.
pub(crate) fn exec(path: &Path, args: &[&str]) -> ! {
    let c_string = |bytes: &[u8]| CString::new(bytes).expect("no NUL");
    let path = c_string(path.as_os_str().as_bytes());
    let args: Vec<_> = args.iter().map(|arg| c_string(arg.as_bytes())).collect();
    let mut argv: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(ptr::null());
    // SAFETY: `path` and `argv` are valid and NULL-terminated.
    unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) };
    broken("execv")
}

/// Anonymous memory that is really there, `len` bytes of it; never given back.
pub(crate) fn touch_memory(len: usize) {
    const PAGE: usize = 4096;
    // SAFETY: a fresh anonymous mapping aliases nothing.
    let memory = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        broken("mmap");
    }
    // SAFETY: the whole mapping. Kernels without huge pages refuse, which is as good.
    unsafe { libc::madvise(memory, len, libc::MADV_NOHUGEPAGE) };
    for at in (0..len).step_by(PAGE) {
        // SAFETY: within the mapping.
        unsafe { memory.cast::<u8>().add(at).write_volatile(1) };
    }
}

/// `len` bytes of zeroed memory that parent and children share; never given back.
pub(crate) fn map_shared(len: usize) -> *mut libc::c_void {
    // SAFETY: a fresh anonymous mapping aliases nothing.
    let memory = unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        broken("mmap")
    } else {
        memory
    }
}

/// Lets core dumps be of any size.
pub(crate) fn unlimit_core() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is valid.
    must(
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) }.into(),
        "setrlimit",
    );
}

/// Sends standard input, output and error to /dev/null.
pub(crate) fn detach_stdio() {
    // SAFETY: plain descriptors.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for fd in 0..3 {
            libc::dup2(null, fd);
        }
    }
}
