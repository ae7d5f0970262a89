//! What is left to do once the hooks are attached, and nothing else: read a few directories, answer
//! clients, and push to one collector. Landlock bounds files and connections, seccomp system calls.

use std::{collections::BTreeMap, env, fs, process};

use anyhow::Context as _;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::stderr::say;

/// Limits of processes and cgroups.
const READ_BY_TRACING: [&str; 2] = ["/proc", "/sys"];

/// The resolver's settings, modules and servers.
const READ_BY_RESOLVER: [&str; 6] = ["/etc", "/run", "/var/run", "/usr", "/lib", "/lib64"];

/// Restricts this thread, and all that it starts.
///
/// `port` is the collector's, if there is one. Without Landlock or seccomp in the kernel, or if a
/// container's own filter forbids them, it goes on and says so.
///
/// # Errors
/// The filter cannot be built for this machine.
pub(super) fn enter(port: Option<u16>, quiet: bool) -> anyhow::Result<()> {
    let note = |text: String| {
        if !quiet {
            say(&format!("zombie-trace: {text}"));
        }
    };
    match restrict_files(port) {
        Ok(RulesetStatus::NotEnforced) => {
            note(
                "this kernel has no Landlock: only file permissions limit what serve reads"
                    .to_owned(),
            );
        }
        Ok(status) => log::info!("Landlock: {status:?}"),
        Err(error) => note(format!("cannot use Landlock: {error}")),
    }
    let filter = filter(port.is_some()).context("cannot build the seccomp filter")?;
    if let Err(error) = seccompiler::apply_filter(&filter) {
        note(format!("cannot use seccomp: {error}"));
    }
    Ok(())
}

fn restrict_files(port: Option<u16>) -> Result<RulesetStatus, RulesetError> {
    // 6.12: files, TCP, and signals to other processes. Older kernels restrict what they know.
    let abi = ABI::V6;
    let mut paths: Vec<_> = READ_BY_TRACING.map(Into::into).into();
    if port.is_some() {
        paths.extend(READ_BY_RESOLVER.map(Into::into));
        // Often a link to elsewhere.
        paths.extend(fs::canonicalize("/etc/resolv.conf").ok());
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(&paths, read))?;
    // The resolver asks by TCP what is too long for UDP.
    const DNS: u16 = 53;
    for port in port.into_iter().flat_map(|port| [port, DNS]) {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// What the standard library, tokio and the C library use to read files, serve and sleep.
const ALLOWED: &[libc::c_long] = &[
    // Files.
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads and their end.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_membarrier,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // Time and chance.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    // Clients.
    libc::SYS_accept4,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// The older forms of the above.
#[cfg(target_arch = "x86_64")]
const ALLOWED_ON_X86: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_epoll_wait,
    libc::SYS_lstat,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_stat,
    libc::SYS_time,
];

/// What only a push needs.
const ALLOWED_TO_PUSH: &[libc::c_long] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
];

/// `BPF_MAP_LOOKUP_ELEM`, `BPF_MAP_GET_NEXT_KEY`, `BPF_LINK_CREATE` and `BPF_ITER_CREATE`
/// (include/uapi/linux/bpf.h): what listing zombies takes.
const BPF_COMMANDS: [u64; 4] = [1, 4, 28, 33];

/// `PERF_EVENT_IOC_DISABLE` (include/uapi/linux/perf_event.h): how a kprobe is detached.
const PERF_EVENT_IOC_DISABLE: u64 = 0x2401;

/// `PR_SET_VMA` (include/uapi/linux/prctl.h): the C library names its memory.
const PR_SET_VMA: u64 = 0x5356_4d41;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filter; what it does not allow fails with ENOSYS, for which the C library has fallbacks.
fn filter(pushes: bool) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: Rules = ALLOWED.iter().map(|call| (*call, vec![])).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend(ALLOWED_ON_X86.iter().map(|call| (*call, vec![])));
    let any = |argument, values: &[u64]| -> Result<Vec<_>, _> {
        let rules = values.iter().map(|value| rule(&[equal(argument, *value)?]));
        rules.collect()
    };
    let own_pid = u64::from(process::id());
    // Nothing is opened for writing or created.
    let writes = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64;
    rules.insert(libc::SYS_openat, vec![rule(&[none_of(2, writes)?])?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![rule(&[none_of(1, writes)?])?]);
    // Paths of cgroups by their IDs.
    let path = libc::O_PATH as u64;
    rules.insert(
        libc::SYS_open_by_handle_at,
        vec![rule(&[masked(2, path, path)?])?],
    );
    rules.insert(libc::SYS_bpf, any(0, &BPF_COMMANDS)?);
    // Signal handlers wake their thread by one.
    rules.insert(libc::SYS_socketpair, any(0, &[libc::AF_UNIX as u64])?);
    let requests = [
        libc::FIONBIO,
        libc::FIONREAD,
        libc::TCGETS,
        libc::TIOCGWINSZ,
        PERF_EVENT_IOC_DISABLE,
    ];
    rules.insert(libc::SYS_ioctl, any(1, &requests)?);
    rules.insert(
        libc::SYS_prctl,
        any(0, &[libc::PR_SET_NAME as u64, PR_SET_VMA])?,
    );
    // Limits are read.
    rules.insert(libc::SYS_prlimit64, any(2, &[0])?);
    // To abort.
    rules.insert(libc::SYS_tgkill, any(0, &[own_pid])?);
    // Threads, no processes. What clone3 would do cannot be seen: without it clone is used.
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![rule(&[masked(0, thread, thread)?])?]);
    // Maps stay as they are mapped now; no memory is both written and run.
    let (write, exec) = (libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
    let private = none_of(3, libc::MAP_SHARED as u64)?;
    let mut mappings = vec![rule(&[none_of(2, exec)?, private.clone()])?];
    rules.insert(libc::SYS_mprotect, vec![rule(&[none_of(2, exec)?])?]);
    if pushes {
        // Modules of the resolver.
        mappings.push(rule(&[none_of(2, write)?, private])?);
        let families = [
            libc::AF_UNIX,
            libc::AF_INET,
            libc::AF_INET6,
            libc::AF_NETLINK,
        ];
        let families = families.map(|family| family as u64);
        rules.insert(libc::SYS_socket, any(0, &families)?);
        rules.extend(ALLOWED_TO_PUSH.iter().map(|call| (*call, vec![])));
    }
    rules.insert(libc::SYS_mmap, mappings);
    let arch = env::consts::ARCH.try_into()?;
    let refusal = SeccompAction::Errno(libc::ENOSYS as u32);
    SeccompFilter::new(rules, refusal, SeccompAction::Allow, arch)?.try_into()
}

fn rule(conditions: &[SeccompCondition]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.to_vec())
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn masked(
    argument: u8,
    mask: u64,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    let operator = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn none_of(argument: u8, bits: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    masked(argument, bits, 0)
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::CStr,
        fs::File,
        io,
        net::{Ipv4Addr, TcpListener, TcpStream},
        path::Path,
        ptr::null,
        thread,
    };

    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::{ForkResult, fork},
    };

    use super::*;

    /// The error number of a system call in a process of its own that has the filter; 0 if none.
    fn errno(filter: &BpfProgram, call: impl Fn() -> libc::c_long) -> i32 {
        // SAFETY: the child makes system calls alone.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let code = match seccompiler::apply_filter(filter) {
                    Ok(()) if call() < 0 => io::Error::last_os_error().raw_os_error(),
                    Ok(()) => Some(0),
                    Err(_) => None,
                };
                // SAFETY: it ends the process, and runs nothing else.
                unsafe { libc::_exit(code.unwrap_or(255)) }
            }
            ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
                WaitStatus::Exited(_, code) => code,
                status => panic!("{status:?}"),
            },
        }
    }

    fn open(path: &CStr, flags: libc::c_int) -> libc::c_long {
        // SAFETY: a valid string.
        unsafe { libc::open(path.as_ptr(), flags, 0o600) }.into()
    }

    fn map(protection: libc::c_int, flags: libc::c_int) -> libc::c_long {
        let flags = flags | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
        if mapped == libc::MAP_FAILED { -1 } else { 0 }
    }

    fn socket(family: libc::c_int) -> libc::c_long {
        // SAFETY: no pointers.
        unsafe { libc::socket(family, libc::SOCK_STREAM, 0) }.into()
    }

    #[test]
    fn it_reads_and_nothing_else() {
        let filter = filter(false).unwrap();
        let read = libc::O_RDONLY | libc::O_CLOEXEC;
        assert_eq!(errno(&filter, || open(c"/proc/self/status", read)), 0);
        for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_RDONLY | libc::O_CREAT] {
            let error = errno(&filter, || open(c"/dev/null", flags));
            assert_eq!(error, libc::ENOSYS, "{flags:o}");
        }
        let arguments = [c"/bin/true".as_ptr(), null()];
        // SAFETY: valid strings, and a list that ends with a null pointer.
        let run = || unsafe { libc::execv(arguments[0], arguments.as_ptr()) }.into();
        assert_eq!(errno(&filter, run), libc::ENOSYS);
        let start = || {
            // SAFETY: the child of a child ends at once.
            unsafe {
                match libc::fork() {
                    0 => libc::_exit(0),
                    pid => pid.into(),
                }
            }
        };
        assert_eq!(errno(&filter, start), libc::ENOSYS);
        // SAFETY: no pointers.
        let signal = || unsafe { libc::kill(libc::getppid(), 0) }.into();
        assert_eq!(errno(&filter, signal), libc::ENOSYS);
    }

    /// What a thread of its own sees that is restricted; `None` without Landlock.
    fn restricted<T: Send + 'static>(
        port: Option<u16>,
        look: impl FnOnce(RulesetStatus) -> T + Send + 'static,
    ) -> Option<T> {
        let thread = thread::spawn(move || match restrict_files(port).unwrap() {
            RulesetStatus::NotEnforced => None,
            status => Some(look(status)),
        });
        thread.join().unwrap()
    }

    #[test]
    fn files_and_ports_are_bounded() {
        let denied = |result: io::Result<()>| {
            result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        let read = |path: &Path| File::open(path).map(drop);
        let own = env::current_exe().unwrap();
        let new = env::temp_dir().join(format!("zombie-trace-{}", process::id()));
        restricted(None, move |_| {
            assert!(read("/proc/self/status".as_ref()).is_ok());
            for path in [Path::new("/etc/passwd"), &own] {
                assert!(denied(read(path)), "{}", path.display());
            }
            assert!(denied(File::create(new).map(drop)));
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = move || TcpStream::connect(address).map(drop);
        restricted(Some(address.port()), move |_| {
            assert!(read("/etc/passwd".as_ref()).is_ok());
            connect().unwrap();
        });
        restricted(Some(1), move |status| {
            // Before 6.7 it knows nothing of TCP.
            assert!(denied(connect()) || status == RulesetStatus::PartiallyEnforced);
        });
    }

    #[test]
    fn memory_is_private_and_not_both_written_and_run() {
        let (read, write, exec) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
        let (private, shared) = (libc::MAP_PRIVATE, libc::MAP_SHARED);
        for pushes in [false, true] {
            let filter = filter(pushes).unwrap();
            let map = |protection, flags| errno(&filter, || map(protection, flags));
            assert_eq!(map(read | write, private), 0);
            assert_eq!(map(read | write, shared), libc::ENOSYS);
            assert_eq!(map(read | write | exec, private), libc::ENOSYS);
            let error = if pushes { 0 } else { libc::ENOSYS };
            assert_eq!(map(read | exec, private), error);
        }
    }

    #[test]
    fn only_who_pushes_connects() {
        let (serves, pushes) = (filter(false).unwrap(), filter(true).unwrap());
        assert_eq!(errno(&serves, || socket(libc::AF_INET)), libc::ENOSYS);
        assert_eq!(errno(&pushes, || socket(libc::AF_INET)), 0);
        assert_eq!(errno(&pushes, || socket(libc::AF_PACKET)), libc::ENOSYS);
    }

    #[test]
    fn programs_cannot_be_loaded() {
        const BPF_PROG_LOAD: libc::c_int = 5;
        const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
        let filter = filter(true).unwrap();
        for command in [BPF_PROG_LOAD, BPF_MAP_UPDATE_ELEM] {
            // SAFETY: no attributes at all, which the kernel would refuse.
            let call = || unsafe { libc::syscall(libc::SYS_bpf, command, 0, 0) };
            assert_eq!(errno(&filter, call), libc::ENOSYS, "{command}");
        }
    }
}
